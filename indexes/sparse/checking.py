"""Faults of an inverted file that a deep verification finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from cluscomp.indexes.segments.faults import floats_fault
from cluscomp.indexes.sparse.postings import RANGE_ROWS


def list_faults(postings: Mapping[str, np.ndarray], n_rows: int) -> Iterator[tuple[str, str]]:
    """Array and fault of each that is wrong. The starts of the lists have been checked."""
    sizes = postings["chunk_sizes"].astype(np.int64) + 1
    starts = np.concatenate([[0], np.cumsum(sizes)])
    if (
        starts[-1] != len(postings["rows"])
        or (starts[postings["list_chunks"]] != postings["list_starts"]).any()
    ):
        yield "chunk_sizes", "the chunks of a term do not have as many postings as the term"
        return
    numbers = postings["chunk_numbers"].astype(np.int64)
    owners = np.repeat(np.arange(len(postings["list_chunks"]) - 1), np.diff(postings["list_chunks"]))
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < -(-n_rows // RANGE_ROWS):
        yield (
            "chunk_numbers",
            f"chunks are numbered {numbers.min()} to {numbers.max()}, but there are {n_rows} rows",
        )
        return
    if ((np.diff(numbers) <= 0) & (np.diff(owners) == 0)).any():
        yield "chunk_numbers", "the chunks of a term do not rise"
    rows = postings["rows"].astype(np.int64)
    chunks = np.repeat(np.arange(len(sizes)), sizes)
    if ((np.diff(rows) <= 0) & (np.diff(chunks) == 0)).any() or (
        numbers[chunks] * RANGE_ROWS + rows >= n_rows
    ).any():
        yield "rows", f"the rows of a chunk do not rise within 0 to {n_rows - 1}"
    fault = floats_fault(postings["weights"]) if postings["weights"].dtype.kind == "f" else None
    if fault is not None:
        yield "weights", fault
    elif (
        len(sizes)
        and (np.maximum.reduceat(postings["weights"], starts[:-1]) != postings["chunk_maxima"]).any()
    ):
        yield "chunk_maxima", "it is not the largest weight of its chunk, so that searches may miss hits"
