"""Token vectors kept on disk, in blocks: once encoded, never again.

`encode_cached` keeps one row a text; token vectors are hundreds of rows a text, so they are kept as float16
(an error of at most 0.0005 of a value). Every block of texts is a file of its own, named by the content of
its texts, so that an interrupted encoding goes on behind its last block.
"""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.encoders.base import check_texts, encode_side
from cluscomp.encoders.cache import texts_hash, usable_cache
from cluscomp.encoders.resume import FINISHED_ARE_KEPT
from cluscomp.files import atomic_file, full_disk
from cluscomp.progress import Progress
from cluscomp.vocabulary import Side

log = logging.getLogger(__name__)

BLOCK_TEXTS = 512
"""Texts of one block: about 90 MB of float16 vectors for texts of 240 tokens."""


def encode_tokens_cached(
    encoder: Any, texts: Sequence[str], *, side: Side, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (N, dim) float16 of all texts below each other, and lengths (n,) int64, from the cache or new.

    encoder: of kind "tokens" or "multivector" (`load_encoder`). A damaged block is reported in the log and
    made again; without a cache folder that takes files nothing is kept. Raises what the encoder raises, and
    DiskFullError.
    """
    checked = check_texts(texts)
    folder = usable_cache(encoder.info.fingerprint)
    if folder is None:
        rows, counts = encode_side(encoder, checked, side, progress)
        return rows.astype(np.float16), counts
    blocks = [checked[start : start + BLOCK_TEXTS] for start in range(0, len(checked), BLOCK_TEXTS)]
    files = [folder / f"{side}-tokens-{texts_hash(block)}.npz" for block in blocks]
    lengths, done = [np.empty(0, np.int64)], 0
    for block, file in zip(blocks, files, strict=True):
        known = _lengths(file, len(block))
        lengths.append(_encode(encoder, block, side, file) if known is None else known)
        done += len(block)
        if progress is not None:
            progress("encode", done, len(checked))
    counts = np.concatenate(lengths)
    return _rows(files, int(counts.sum()), encoder.info.dim), counts


def _encode(encoder: Any, texts: list[str], side: Side, file: Path) -> np.ndarray:
    rows, lengths = encode_side(encoder, texts, side)
    half = rows.astype(np.float16)
    with full_disk(file, half.nbytes, FINISHED_ARE_KEPT), atomic_file(file) as out:
        np.savez(out, rows=half, lengths=lengths)
    return lengths


def _lengths(file: Path, texts: int) -> np.ndarray | None:
    """Lengths of a whole block, None where there is none. zipfile checks the sum of every byte."""
    if not file.exists():
        return None
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip() is not None
        with np.load(file, allow_pickle=False) as arrays:
            lengths = np.asarray(arrays["lengths"])
        damaged = damaged or len(lengths) != texts
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        damaged = True
    if damaged:
        log.warning("the cached token vectors %s are truncated or altered; they are computed again", file)
        return None
    return lengths


def _rows(files: Sequence[Path], total: int, dim: int) -> np.ndarray:
    rows, at = np.empty((total, dim), np.float16), 0
    for file in files:
        with np.load(file, allow_pickle=False) as arrays:
            part = arrays["rows"]
        rows[at : at + len(part)] = part
        at += len(part)
    return rows
