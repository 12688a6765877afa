"""Stages that leave vectors in the work folder: encoding, and drawing the training sample."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cluscomp import errors
from cluscomp.arrays import require_finite
from cluscomp.indexes.build_documents import DocumentStore
from cluscomp.indexes.folder import HEADER_BYTES, npy_header

if TYPE_CHECKING:
    from cluscomp.encoders import Encoder
    from cluscomp.inputs.sources import VectorSource

Tick = Callable[[int, int], None]

# Documents that one call of the encoder gets: a fixed number, since the vectors depend in their last bits on
# which texts share a batch, and an interrupted build must continue to the same bits. Also what a kill can
# cost.
ENCODE_ROWS = 2048
_SAMPLE_STRATUM = 1 << 20


def check_vectors(vectors: VectorSource, block_rows: int, tick: Tick) -> None:
    """Read all rows once and raise NonFiniteError naming the id of the first that holds NaN or infinity.

    Takes the time of one pass over the file, so that a fault at its end does not show after hours of
    training.
    """
    done = 0
    for block in vectors.blocks(block_rows):
        names = None if vectors.ids is None else vectors.ids[done : done + len(block)]
        require_finite(block, name="embeddings", ids=names, first_row=done)
        done += len(block)
        tick(done, vectors.n)


def encode_documents(store: DocumentStore, n: int, encoder: Encoder, target: Path, tick: Tick) -> None:
    """Encode the texts of a store to a .npy file (n, dim) float32; whole blocks that are there are kept."""
    dim = encoder.info.dim
    stride = 4 * dim * ENCODE_ROWS
    with target.open("r+b" if target.exists() else "w+b") as file:
        done = max(0, os.fstat(file.fileno()).st_size - HEADER_BYTES) // stride * ENCODE_ROWS
        file.write(npy_header("<f4", (n, dim)))
        file.truncate(HEADER_BYTES + 4 * dim * done)
        file.seek(0, os.SEEK_END)
        tick(done, n)
        for start in range(done, n, ENCODE_ROWS):
            stop = min(start + ENCODE_ROWS, n)
            file.write(_encode_block(store, start, stop, encoder, tick, n).data)
            file.flush()
            os.fsync(file.fileno())
            tick(stop, n)


def _encode_block(
    store: DocumentStore, start: int, stop: int, encoder: Encoder, tick: Tick, n: int
) -> np.ndarray:
    from cluscomp.encoders.cache import encode_cached

    texts = store.contents(start, stop)
    vectors = np.ascontiguousarray(
        encode_cached(encoder, texts, side="document", progress=lambda done, _: tick(start + done, n)),
        dtype="<f4",
    )
    if vectors.shape != (stop - start, encoder.info.dim):
        raise errors.DimensionError(
            f"the encoder {encoder.info.name!r} made an array {vectors.shape} of {stop - start} texts, "
            f"({stop - start}, {encoder.info.dim}) is needed; one vector a text can be indexed"
        )
    require_finite(vectors, name="encoded documents", ids=store.ids(start, stop), first_row=start)
    return vectors


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
        np.lib.format.write_array(file, rows, allow_pickle=False)  # type: ignore[no-untyped-call]
        file.flush()
        os.fsync(file.fileno())


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
