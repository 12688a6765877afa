"""Ragged arrays: the vectors of all documents below each other, and how many each document has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.arrays import as_rows
from cluscomp.errors import DimensionError, DTypeError, EmptyInputError, InputError


@dataclass(frozen=True)
class Ragged:
    """Checked ragged vectors.

    rows: (N, d) in a kernel dtype (float32, float16, bfloat16 bits in uint16). offsets: (n_docs + 1,) int64;
    document i is rows[offsets[i]:offsets[i + 1]] and may be empty.
    """

    rows: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return self.offsets.shape[0] - 1

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.rows.shape[1])

    @property
    def lengths(self) -> np.ndarray:
        """Vectors of each document, (n_docs,) int64."""
        return np.diff(self.offsets)

    def part(self, documents: slice) -> Ragged:
        """The documents of a slice with step 1, as views."""
        offsets = self.offsets[documents.start : documents.stop + 1]
        return Ragged(self.rows[offsets[0] : offsets[-1]], offsets - offsets[0])

    def take(self, documents: np.ndarray) -> Ragged:
        """Documents by number, as copies; only their rows are read from a memory map."""
        rows, offsets = rows_of_documents(self.offsets, documents)
        return Ragged(np.asarray(self.rows[rows]), offsets)

    def blocks(self, max_rows: int) -> Iterator[slice]:
        """Slices of documents, in order, with at most `max_rows` rows each, but always one document."""
        return document_blocks(self.lengths, max_rows)


def as_ragged(
    vectors: Any,
    lengths: Any,
    *,
    name: str = "vectors",
    dim: int | None = None,
    check_finite: bool = True,
) -> Ragged:
    """Check ragged vectors at the border.

    vectors: (N, d) as `arrays.as_rows` takes them (NumPy, memory map, torch; float16, bfloat16 and float32
    without a copy); N = 0 is allowed. lengths: (n_docs,) integers >= 0 that add up to N. Or lengths = None
    and vectors a list with one (n_i, d) array or tensor a document, as multi-vector encoders return them;
    these are put below each other once, in their own dtype. dim: required d.

    Raises DimensionError (the sum is not N, another dim), InputError (negative length), DTypeError,
    NonFiniteError, EmptyInputError (an empty list, which has no d).
    """
    if lengths is None:
        return _below_each_other(vectors, name, dim, check_finite)
    rows = as_rows(vectors, name=name, dim=dim, min_rows=0, check_finite=check_finite)
    return Ragged(rows, offsets_of(lengths, rows.shape[0], name=name))


def _below_each_other(documents: Any, name: str, dim: int | None, check_finite: bool) -> Ragged:
    if not isinstance(documents, list | tuple):
        raise DimensionError(
            f"lengths is None, but {name} is of type {type(documents).__name__}; pass the lengths, or a list "
            "with one array a document"
        )
    if not documents:
        raise EmptyInputError(f"{name} is an empty list; pass an array (0, d) and lengths [] instead")
    parts = [
        as_rows(part, name=f"{name}[{i}]", dim=dim, min_rows=0, check_finite=check_finite)
        for i, part in enumerate(documents)
    ]
    kinds = {f"{part.shape[1]} x {part.dtype}" for part in parts}
    if len(kinds) > 1:
        found = ", ".join(sorted(kinds))
        raise DimensionError(f"{name} has documents of different kinds ({found}); one is needed")
    rows = np.concatenate(parts)
    return Ragged(rows, offsets_of([len(part) for part in parts], rows.shape[0], name=name))


def offsets_of(lengths: Any, total: int, *, name: str = "vectors") -> np.ndarray:
    """Offsets (n_docs + 1,) int64 of documents with these lengths in `total` rows; raises as `as_ragged`."""
    counts = np.asarray(lengths)
    if counts.ndim != 1:
        raise DimensionError(
            f"lengths has shape {counts.shape}, but a list with one number a document is needed"
        )
    if counts.size and counts.dtype.kind not in "iu":
        raise DTypeError(f"lengths has dtype {counts.dtype}, but integers are needed")
    offsets = np.zeros(counts.shape[0] + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    if counts.size and int(counts.min()) < 0:
        worst = int(np.argmin(counts))
        raise InputError(f"lengths[{worst}] is {counts[worst]}, but a document has 0 vectors at least")
    if int(offsets[-1]) != total:
        raise DimensionError(
            f"lengths add up to {int(offsets[-1])}, but {name} has {total} rows; give one length a document"
        )
    return offsets


def rows_of_documents(offsets: np.ndarray, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (N,) int64 of the rows of some documents, and the offsets (n + 1,) of those in them."""
    starts, lengths = offsets[documents], offsets[documents + 1] - offsets[documents]
    ends = np.zeros(documents.shape[0] + 1, dtype=np.int64)
    np.cumsum(lengths, out=ends[1:])
    return np.arange(ends[-1]) + np.repeat(starts - ends[:-1], lengths), ends


def document_blocks(costs: np.ndarray, limit: float) -> Iterator[slice]:
    """Slices of consecutive documents whose costs (n_docs,) add up to `limit` at most, or single ones."""
    ends = np.cumsum(costs, dtype=np.float64)
    start, before = 0, 0.0
    while start < costs.shape[0]:
        stop = max(start + 1, int(np.searchsorted(ends, before + limit, side="right")))
        yield slice(start, stop)
        start, before = stop, float(ends[stop - 1])
