"""Encodings kept on disk: once computed, never again, and never lost half-way.

`encode_to_file` streams texts into one .npy file with bounded memory and goes on where an earlier run
stopped. `encode_cached` puts such files under `cache_dir()`, addressed by the content of model and texts.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path

import numpy as np

from cluscomp import checks
from cluscomp.cache import cache_dir
from cluscomp.encoders.base import SIDES, Encoder, check_texts, encode_side, refuse_single_text
from cluscomp.encoders.resume import BlockFile, matches_seal, open_block_file
from cluscomp.encoders.spool import TextSpool
from cluscomp.errors import InputError
from cluscomp.progress import Progress
from cluscomp.vocabulary import Side

log = logging.getLogger(__name__)

BLOCK_TEXTS = 1024
"""Texts of one block: seconds of work on two cores, so that little is lost, and enough to sort by length."""


def usable_cache(*parts: str) -> Path | None:
    """A folder of the cache that exists now and takes files; None, with a warning in the log, where there is
    none.

    parts: its name below `cache_dir`. Permissions do not tell: a file is made, renamed and removed.
    """
    folder: Path | None = None
    try:
        folder = cache_dir().joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe", delete=False) as probe:
            probe.write(b"\0")
        moved = Path(probe.name + ".moved")
        os.replace(probe.name, moved)
        moved.unlink()
    except InputError as exc:
        log.warning("encodings are not cached: %s", exc)
    except OSError as exc:
        reason = exc.strerror or exc
        log.warning(
            "encodings are not cached: %s cannot be written (%s); set CLUSCOMP_CACHE to a folder that can",
            folder,
            reason,
        )
    else:
        return folder
    return None


def encode_to_file(
    encoder: Encoder,
    texts: Iterable[str],
    path: str | os.PathLike[str],
    *,
    side: Side = "document",
    n: int | None = None,
    block_texts: int = BLOCK_TEXTS,
    progress: Progress | None = None,
) -> np.ndarray:
    """Encode texts into a float32 .npy file, block by block, and return it memory-mapped: (texts, dim).

    texts: read once and held one block at a time, so an iterator over a corpus larger than memory will do.
    n: number of texts when known, for progress; another number found is an InputError. While it runs,
    PATH.partial and PATH.partial.jsonl hold the finished blocks. A later call with the same encoder, side and
    block size keeps those whose texts are still the same, and encodes the rest. A file at `path` is replaced
    when the new one is complete.

    Raises UsageError, DTypeError and InputError (positions count over all texts), NonFiniteError (position in
    its block), DiskFullError.
    """
    checks.one_of("side", side, SIDES)
    checks.integer("block_texts", block_texts, 1)
    target = checks.path("path", path)
    with _open_for(encoder, target, side, block_texts) as out:
        _encode_blocks(encoder, texts, out, side, n, block_texts, progress)
        out.finish()
    return _open_array(target)


def encode_cached(
    encoder: Encoder,
    texts: Iterable[str],
    *,
    side: Side,
    cache: bool = True,
    progress: Progress | None = None,
) -> np.ndarray:
    """Encode texts, or take their vectors from the cache: (n, dim) float32, memory-mapped read-only.

    The key of an entry is a hash of the encoder's fingerprint, the side and all texts in order. An
    interrupted encoding goes on with its finished blocks; an entry that is truncated or altered is reported
    in the log and made again. An iterator that can be read only once is spooled to a temporary file in the
    cache folder. cache=False computes in memory and leaves no file.

    Raises as `encode_to_file`; an unusable cache folder is a warning in the log, and the work is done
    without it.
    """
    checks.one_of("side", side, SIDES)
    folder = usable_cache("encodings", encoder.info.fingerprint) if cache else None
    if folder is None:
        return encode_side(encoder, check_texts(_as_sequence(texts)), side, progress)
    if isinstance(texts, Sequence):
        return _encode_cached(encoder, check_texts(texts), side, folder, progress)
    with TextSpool(_checked(texts), folder) as spool:
        return _encode_cached(encoder, spool, side, folder, progress)


def _encode_cached(
    encoder: Encoder, texts: Sequence[str] | TextSpool, side: Side, folder: Path, progress: Progress | None
) -> np.ndarray:
    n, dim = len(texts), encoder.info.dim
    path = folder / f"{side}-{texts_hash(texts)}.npy"
    if not _is_valid(path, n, dim):
        with _open_for(encoder, path, side, BLOCK_TEXTS) as out:
            if _is_valid(path, n, dim):  # another process made it while this one waited
                out.discard()
            else:
                _encode_blocks(encoder, texts, out, side, n, BLOCK_TEXTS, progress)
                out.finish(_seal_path(path))
    if progress is not None:
        progress("encode", n, n)
    return _open_array(path)


def _open_for(
    encoder: Encoder, path: Path, side: Side, block_texts: int
) -> AbstractContextManager[BlockFile]:
    owner = {"encoder": encoder.info.fingerprint, "side": side, "block_texts": block_texts}
    return open_block_file(path, encoder.info.dim, owner)


def _encode_blocks(
    encoder: Encoder,
    texts: Iterable[str],
    out: BlockFile,
    side: Side,
    n: int | None,
    block_texts: int,
    progress: Progress | None,
) -> None:
    """Bring `out` to hold the vectors of all texts; finished blocks whose texts are the same stay."""
    kept, done = len(out.finished), 0
    for number, block in enumerate(_blocks_of(texts, block_texts)):
        digest = texts_hash(block)
        if number >= kept or out.finished[number].texts != digest:
            if number < kept:
                out.truncate(number)
                kept = number
            out.append(encode_side(encoder, block, side, _offset(progress, done, n)), digest)
        done += len(block)
        if progress is not None:
            progress("encode", done, done if n is None else n)
    out.truncate(-(-done // block_texts))
    if n is not None and done != n:
        raise InputError(f"{n} texts were announced, but {done} came; count them again")


def _blocks_of(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    """Checked blocks of at most `size` texts."""
    refuse_single_text(texts)
    iterator = iter(texts)
    first = 0
    while block := list(islice(iterator, size)):
        yield check_texts(block, first=first)
        first += len(block)


def _offset(progress: Progress | None, done: int, n: int | None) -> Progress | None:
    """The progress of one block as part of the whole."""
    if progress is None:
        return None
    return lambda stage, part, total: progress(stage, done + part, done + total if n is None else n)


def _checked(texts: Iterable[str]) -> Iterator[str]:
    for block in _blocks_of(texts, BLOCK_TEXTS):
        yield from block


def _as_sequence(texts: Iterable[str]) -> Sequence[str]:
    return texts if isinstance(texts, Sequence) else list(texts)


def texts_hash(texts: Iterable[str]) -> str:
    """Hash of texts and of the places where they end."""
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        data = text.encode("utf-8")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def _is_valid(path: Path, rows: int, dim: int) -> bool:
    """Whether a finished entry is there and whole. A damaged one is reported and removed."""
    if not path.exists():
        return False
    if matches_seal(path, _seal_path(path), rows, dim):
        return True
    log.warning("the cached encodings %s are truncated or altered; they are computed again", path)
    path.unlink(missing_ok=True)
    return False


def _seal_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _open_array(path: Path) -> np.ndarray:
    """The array memory-mapped read-only; without rows there is nothing to map, and it is read."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:
        return np.load(path, allow_pickle=False)
