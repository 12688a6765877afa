"""Ragged arrays: the vectors of all documents below each other, and how many each document has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.array_forms import as_numpy
from cluscomp.arrays import TOKEN_TERMS, as_numbers, as_rows, largest_safe, require_finite
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
    lengths: Any = None,
    *,
    name: str = "vectors",
    dim: int | None = None,
    check_finite: bool = True,
    largest: float | None = None,
) -> Ragged:
    """Check ragged vectors at the border.

    vectors and lengths, in any form of `arrays.as_rows` (float16, bfloat16 and float32 without a copy where
    rows stand below each other already):
    (N, d) with lengths (n_docs,), integers >= 0 that add up to N; N = 0 is allowed.
    (n_docs, t, d), with lengths (n_docs,) up to t where documents are padded at their ends.
    A list with one (n_i, d) array a document, as multi-vector encoders return them; an empty one is a
    document without vectors. (t, d) without lengths is a single document.
    dim: required d. largest: magnitude that no value may exceed; by default scores of any query stay finite.

    Raises DimensionError (lengths that do not fit, another dim), InputError (negative length), DTypeError,
    NonFiniteError, TooLargeError, EmptyInputError (a list of nothing, which has no d).
    """
    if lengths is None and _is_list_of_matrices(vectors):
        rows, lengths = _below_each_other(list(vectors), name)
    else:
        rows, lengths = _one_matrix(as_numpy(vectors, name), lengths, name)
    rows = as_rows(rows, name=name, dim=dim, min_rows=0, check_finite=False)
    if check_finite:
        most = largest_safe(rows.shape[1], terms=TOKEN_TERMS) if largest is None else largest
        require_finite(rows, name=name, largest=most)
    return Ragged(rows, offsets_of(lengths, rows.shape[0], name=name))


def _is_list_of_matrices(vectors: Any) -> bool:
    """Whether a list, or a column of a data frame, has a matrix (or nothing) for each document."""
    is_column = getattr(vectors, "dtype", None) == np.dtype(object)
    if not (is_column or isinstance(vectors, (list, tuple))):
        return False
    filled = (part for part in vectors if not (hasattr(part, "__len__") and len(part) == 0))
    return max(map(_depth, filled), default=2) == 2


def _depth(part: Any) -> int:
    """Number of dimensions of an array or of nested lists."""
    depth = 0
    while isinstance(part, (list, tuple)) and part:
        part, depth = part[0], depth + 1
    return depth + int(getattr(part, "ndim", isinstance(part, (list, tuple))))


def _below_each_other(documents: list[Any], name: str) -> tuple[np.ndarray, list[int]]:
    """Rows (N, d) of all documents, still of their own dtype, and their number in each."""
    parts = [as_numpy(part, f"{name}[{i}]") for i, part in enumerate(documents)]
    filled = {i: part for i, part in enumerate(parts) if part.size}
    shaped = [part for part in parts if part.ndim == 2 and part.shape[1]]
    if not shaped:
        what = "a list of empty documents" if documents else "an empty list"
        raise EmptyInputError(f"{name} is {what}, which has no dim; pass an array (0, d) and lengths instead")
    for i, part in filled.items():
        if part.ndim != 2:
            raise DimensionError(f"{name}[{i}] has shape {part.shape}, but a matrix (vectors, dim) is needed")
    kinds = {f"{part.shape[1]} x {part.dtype}" for part in filled.values()}
    if len(kinds) > 1:
        found = ", ".join(sorted(kinds))
        raise DimensionError(f"{name} has documents of different kinds ({found}); one is needed")
    rows = np.concatenate(list(filled.values()) or shaped[:1])
    return rows, [part.shape[0] if part.size else 0 for part in parts]


def _one_matrix(array: np.ndarray, lengths: Any, name: str) -> tuple[np.ndarray, Any]:
    """Rows (N, d) and lengths of what came as one array."""
    if array.ndim == 2:
        return array, [array.shape[0]] if lengths is None else lengths
    if array.ndim != 3:
        raise DimensionError(
            f"{name} has shape {array.shape}; pass one matrix (vectors, dim) with lengths, an array "
            "(documents, vectors, dim), with lengths where it is padded, or a list of matrices"
        )
    if lengths is None:
        lengths = np.full(array.shape[0], array.shape[1])
    counts = _counts(lengths)
    n_documents, padded, dim = array.shape
    if counts.shape[0] != n_documents:
        raise DimensionError(f"{name} has {n_documents} documents, but there are {counts.shape[0]} lengths")
    if counts.size and int(counts.max()) > padded:
        worst = int(counts.argmax())
        raise DimensionError(f"lengths[{worst}] is {counts[worst]}, but {name} has {padded} a document")
    if (counts == padded).all():
        return array.reshape(-1, dim), counts
    return array[np.arange(padded) < counts[:, None]], counts


def _counts(lengths: Any) -> np.ndarray:
    """Checked lengths (n_docs,) int64."""
    counts = as_numbers(lengths, name="lengths")
    if counts.ndim != 1:
        raise DimensionError(
            f"lengths has shape {counts.shape}, but a list with one number a document is needed"
        )
    if counts.size and counts.dtype.kind not in "iu":
        raise DTypeError(f"lengths has dtype {counts.dtype}, but integers are needed")
    if counts.size and int(counts.min()) < 0:
        worst = int(np.argmin(counts))
        raise InputError(f"lengths[{worst}] is {counts[worst]}, but a document has 0 vectors at least")
    return counts.astype(np.int64)


def offsets_of(lengths: Any, total: int, *, name: str = "vectors") -> np.ndarray:
    """Offsets (n_docs + 1,) int64 of documents with these lengths in `total` rows; raises as `as_ragged`."""
    counts = _counts(lengths)
    offsets = np.zeros(counts.shape[0] + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
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
