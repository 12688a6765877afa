"""The gate of term rows: mappings, sparse matrices of scipy and torch, texts -> TermRows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.array_forms import is_tensor
from cluscomp.errors import DimensionError, DTypeError, UsageError
from cluscomp.terms.rows import TermRows

Splitter = Callable[[Sequence[str]], TermRows]
"""Texts into rows."""


def as_term_rows(
    rows: Any, *, vocabulary: Sequence[str] | None = None, split: Splitter | None = None
) -> TermRows:
    """Rows of terms in any form.

    rows: TermRows; a sequence of mappings {term: weight}; a sparse matrix (n, columns) of scipy or torch,
    such as sentence-transformers' SparseEncoder gives; a sequence of texts, where `split` is given.
    vocabulary: the term of each column of a matrix; None calls them "0", "1" and so on. split: makes rows of
    texts.
    Raises UsageError (texts without split, a vocabulary without a matrix), DimensionError, DTypeError,
    NonFiniteError, InputError.
    """
    matrix = _as_matrix(rows)
    if matrix is not None:
        return _from_matrix(matrix, vocabulary)
    if vocabulary is not None:
        raise UsageError(
            f"vocabulary names the columns of a sparse matrix, but the rows are a {type(rows).__name__}"
        )
    if isinstance(rows, TermRows):
        return rows
    if isinstance(rows, (str, bytes, Mapping)):
        raise UsageError(f"rows are one {type(rows).__name__}; pass a list, such as [row]")
    if not isinstance(rows, Sequence):
        rows = _listed(rows)
    if rows and isinstance(rows[0], str):
        return _from_texts(rows, split)
    return TermRows.from_mappings(rows)


def _listed(rows: Any) -> list[Any]:
    if hasattr(rows, "shape"):
        raise DTypeError(
            f"rows are a dense array of shape {tuple(rows.shape)}; pass scipy.sparse.csr_array(rows), or "
            "mappings of terms to weights"
        )
    try:
        return list(rows)
    except TypeError as exc:
        raise DTypeError(f"rows are of type {type(rows).__name__}; pass a list of mappings") from exc


def _from_texts(texts: Sequence[str], split: Splitter | None) -> TermRows:
    if split is None:
        raise UsageError(
            "rows are texts, but the index does not know how to split them; use a key with bm25, such as "
            "Sparse(bm25), or pass mappings of terms to weights"
        )
    wrong = next((i for i, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None:
        raise DTypeError(f"row {wrong} is of type {type(texts[wrong]).__name__}, and the first is a text")
    return split(texts)


@dataclass(frozen=True)
class _Matrix:
    """A sparse matrix by rows. lengths: (n,) stored values of each row, which stand one after the other."""

    columns: int
    lengths: Any
    numbers: Any
    values: Any


def _as_matrix(rows: Any) -> _Matrix | None:
    """A sparse matrix of scipy or torch; None for anything else."""
    if is_tensor(rows) and (rows.is_sparse or rows.is_sparse_csr):
        return _from_tensor(rows)
    if type(rows).__module__.startswith("scipy.sparse"):
        if rows.ndim != 2:
            raise DimensionError(f"the sparse array has {rows.ndim} dimensions, rows and columns are needed")
        csr = rows.tocsr()
        return _Matrix(csr.shape[1], csr.indptr[1:] - csr.indptr[:-1], csr.indices, csr.data)
    return None


def _from_tensor(rows: Any) -> _Matrix:
    found = rows.detach().cpu().to_sparse_coo().coalesce()
    if found.dim() != 2 or found.values().dim() != 1:
        raise DimensionError(f"the sparse tensor has shape {tuple(rows.shape)}, rows and columns are needed")
    at, values = found.indices().numpy(), found.values().double().numpy()
    return _Matrix(found.shape[1], np.bincount(at[0], minlength=found.shape[0]), at[1], values)


def _from_matrix(matrix: _Matrix, vocabulary: Sequence[str] | None) -> TermRows:
    columns = matrix.columns
    names = [str(column) for column in range(columns)] if vocabulary is None else list(vocabulary)
    if len(names) != columns or len(set(names)) != columns:
        raise DimensionError(
            f"the matrix has {columns} columns, but the vocabulary {len(names)} terms, {len(set(names))} of "
            "them different; give one term for each column"
        )
    return TermRows.of(names, matrix.lengths, matrix.numbers, matrix.values)
