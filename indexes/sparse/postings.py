"""The arrays of an inverted file: for each term the rows that hold it, in chunks of 256 rows (postings.h).

A posting takes one byte for its row, less the first row of its chunk, and the bytes of its weight. A chunk
adds 2 bytes (4 beyond 16 million rows) for its number, one for its size, and those of its largest weight; a
term adds 8 bytes (16 beyond two thousand million postings).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from cluscomp.indexes.stages.parameters import ArraySpec

RANGE_ROWS = 256
ARRAYS = ("rows", "weights", "chunk_numbers", "chunk_sizes", "chunk_maxima", "list_chunks", "list_starts")
POSTING_ARRAYS = ("rows", "weights")
CHUNK_ARRAYS = ("chunk_numbers", "chunk_sizes", "chunk_maxima")
_POSTINGS_A_CHUNK, _POSTINGS_A_TERM = 3, 12  # for plans: of abstracts, by measurement


def number_dtype(n_rows: int) -> str:
    """Dtype of the numbers of chunks."""
    return "<u2" if n_rows <= RANGE_ROWS << 16 else "<i4"


def start_dtype(n_postings: int) -> str:
    """Dtype of places among so many postings."""
    return "<i4" if n_postings < 1 << 31 else "<i8"


def posting_specs(
    n_rows: int, n_postings: int, n_chunks: int, n_lists: int, weight: str
) -> dict[str, ArraySpec]:
    """Dtype and shape of all arrays. weight: dtype of a stored weight."""
    starts = start_dtype(n_postings)
    return {
        "rows": ArraySpec("|u1", (n_postings,)),
        "weights": ArraySpec(weight, (n_postings,)),
        "chunk_numbers": ArraySpec(number_dtype(n_rows), (n_chunks,)),
        "chunk_sizes": ArraySpec("|u1", (n_chunks,)),
        "chunk_maxima": ArraySpec(weight, (n_chunks,)),
        "list_chunks": ArraySpec(starts, (n_lists + 1,)),
        "list_starts": ArraySpec(starts, (n_lists + 1,)),
    }


def estimated_specs(n_rows: int, n_postings: int, weight: str) -> dict[str, ArraySpec]:
    """`posting_specs` where chunks and terms are not known yet."""
    chunks = n_postings // _POSTINGS_A_CHUNK + 1
    return posting_specs(n_rows, n_postings, chunks, n_postings // _POSTINGS_A_TERM + 1, weight)


def chunked(
    lists: np.ndarray, rows: np.ndarray, weights: np.ndarray, n_rows: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Arrays of postings and chunks, and the term of each chunk.

    lists, rows: (N,) term and row of each posting, ascending by term, then row. weights: (N,) as stored.
    """
    ranges = rows // RANGE_ROWS
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (np.diff(lists) != 0) | (np.diff(ranges) != 0)
    starts = np.flatnonzero(first)
    maxima = np.maximum.reduceat(weights, starts) if starts.size else weights[:0]
    arrays = {
        "rows": (rows % RANGE_ROWS).astype(np.uint8),
        "weights": weights,
        "chunk_numbers": ranges[starts].astype(number_dtype(n_rows)),
        "chunk_sizes": (np.diff(starts, append=len(rows)) - 1).astype(np.uint8),
        "chunk_maxima": maxima,
    }
    return arrays, lists[starts]


def starts_of(counts: np.ndarray, n_postings: int) -> np.ndarray:
    """Where the postings or chunks of each term begin, from how many it has."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(start_dtype(n_postings))


def inverted(
    lists: np.ndarray, rows: np.ndarray, weights: np.ndarray, n_lists: int, n_rows: int
) -> dict[str, np.ndarray]:
    """All arrays of postings in any order, of terms 0 to n_lists - 1."""
    order = np.lexsort((rows, lists))
    lists, n = lists[order], len(lists)
    arrays, owners = chunked(lists, rows[order], weights[order], n_rows)
    arrays["list_chunks"] = starts_of(np.bincount(owners, minlength=n_lists), n)
    arrays["list_starts"] = starts_of(np.bincount(lists, minlength=n_lists), n)
    return arrays


def term_ranges(counts: np.ndarray, postings: int) -> Iterator[slice]:
    """Runs of terms that have about so many postings together, or one term; counts: of each term."""
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        done = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + postings, side="right")))
        yield slice(start, stop)
        start = stop


def read_lists(arrays: Mapping[str, np.ndarray], lists: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Postings of a run of terms: number of the term within the run, row, stored weight."""
    chunks = slice(int(arrays["list_chunks"][lists.start]), int(arrays["list_chunks"][lists.stop]))
    postings = slice(int(arrays["list_starts"][lists.start]), int(arrays["list_starts"][lists.stop]))
    sizes = arrays["chunk_sizes"][chunks].astype(np.int64) + 1
    bases = np.repeat(arrays["chunk_numbers"][chunks].astype(np.int64) * RANGE_ROWS, sizes)
    starts = arrays["list_starts"][lists.start : lists.stop + 1].astype(np.int64)
    owners = np.repeat(np.arange(len(starts) - 1), starts[1:] - starts[:-1])
    return owners, bases + arrays["rows"][postings], arrays["weights"][postings]
