"""Stages that leave vectors in the work folder: encoding, and drawing the training sample."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cluscomp import errors
from cluscomp.arrays import require_finite
from cluscomp.files import flush
from cluscomp.indexes.storage.texts import DocumentStore

if TYPE_CHECKING:
    from cluscomp.encoders import Encoder
    from cluscomp.inputs.sources import VectorSource

Tick = Callable[[int, int], None]

_SAMPLE_STRATUM = 1 << 20


def check_vectors(vectors: VectorSource, block_rows: int, tick: Tick, *, largest: float) -> None:
    """Read all rows once and raise NonFiniteError or TooLargeError naming the id of the first that holds NaN,
    infinity or a magnitude above `largest`.

    Takes the time of one pass over the file, so that a fault at its end does not show after hours of
    training.
    """
    done = 0
    for block in vectors.blocks(block_rows):
        names = None if vectors.ids is None else vectors.ids[done : done + len(block)]
        require_finite(block, name="embeddings", ids=names, first_row=done, largest=largest)
        done += len(block)
        tick(done, vectors.n)


def encode_documents(
    store: DocumentStore, n: int, encoder: Encoder, target: Path, *, cache: bool, tick: Tick
) -> VectorSource:
    """Vectors (n, dim) float32 of the texts of a store, in a file of the cache of encodings, or in `target`.

    Both ways go on with the finished blocks of an interrupted encoding.
    """
    from cluscomp.encoders.cache import cache_dir, encode_cached, encode_to_file
    from cluscomp.inputs.embeddings import open_embeddings

    if cache and _is_writable(cache_dir()):
        found = encode_cached(encoder, store.iter_contents(n), side="document", progress=tick)
        target = Path(getattr(found, "filename", None) or target)
    else:
        encode_to_file(encoder, store.iter_contents(n), target, n=n, progress=tick)
    vectors = open_embeddings(target)
    if (vectors.n, vectors.dim) != (n, encoder.info.dim):
        raise errors.DimensionError(
            f"the encoder {encoder.info.name!r} made {vectors.n} vectors of dim {vectors.dim} of {n} texts, "
            f"{n} of dim {encoder.info.dim} are needed: one vector a text can be indexed"
        )
    return vectors


def _is_writable(folder: Path) -> bool:
    """Whether files can be made in the folder, or the folder itself."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def sample_rows(n: int, size: int, seed: int) -> np.ndarray:
    """Ascending row numbers (size,) int64, uniform without replacement, in memory of the sample alone.

    Goes through the rows in strata; how many each gives is hypergeometric.
    """
    rng = np.random.default_rng((seed, 0x5A))
    picked: list[np.ndarray] = []
    left = size
    for start in range(0, n, _SAMPLE_STRATUM):
        rows = min(_SAMPLE_STRATUM, n - start)
        rest = n - start - rows
        count = left if rest == 0 else int(rng.hypergeometric(rows, rest, left)) if left else 0
        if count:
            picked.append(start + np.sort(rng.choice(rows, size=count, replace=False, shuffle=False)))
            left -= count
    return np.concatenate(picked).astype(np.int64)


def write_sample(vectors: VectorSource, size: int, seed: int, target: Path) -> None:
    """Write a random sample of the rows to a .npy file, in the dtype of the source."""
    rows = vectors.take(sample_rows(vectors.n, size, seed))
    with target.open("wb") as file:
        np.lib.format.write_array(file, rows, allow_pickle=False)
        flush(file)


def blocks_with_ids(
    vectors: VectorSource, store: DocumentStore | None, rows: int
) -> Iterator[tuple[np.ndarray, Any]]:
    """Blocks of rows with their ids: those of the documents, those of the vectors, or None."""
    done = 0
    for block in vectors.blocks(rows):
        stop = done + len(block)
        if store is not None:
            ids: Any = store.ids(done, stop)
        else:
            ids = None if vectors.ids is None else vectors.ids[done:stop]
        yield block, ids
        done = stop
