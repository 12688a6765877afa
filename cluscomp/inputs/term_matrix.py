"""Rows of weighted terms in the .npz files of `scipy.sparse.save_npz`, read without SciPy."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.errors import DTypeError, InputError, MalformedFileError
from cluscomp.inputs.files import require_file
from cluscomp.terms import TermRows

_ARRAYS = ("format", "shape", "data", "indices", "indptr")
_RULE = "save a sparse matrix (n, terms) with scipy.sparse.save_npz(path, matrix.tocsr())"


def is_term_matrix(path: str | Path) -> bool:
    """Whether a file of terms is a matrix, by its name."""
    return Path(path).suffix.lower() == ".npz"


def read_term_matrix(path: str | Path) -> TermRows:
    """Rows of a CSR matrix (n, terms), whose columns are the terms "0", "1" and so on.

    Raises MissingInputError, MalformedFileError (no .npz of a CSR matrix, parts that do not fit each other),
    DTypeError, NonFiniteError and InputError (a weight that is no number, not finite, or below 0).
    """
    path = require_file(path)
    format, shape, data, indices, indptr = _arrays(path)
    if format != "csr":
        raise MalformedFileError(f"{path} holds a sparse matrix of format {format!r}, not csr; {_RULE}")
    if data.dtype.kind not in "fiub":
        raise DTypeError(f"{path}: weights are of dtype {data.dtype}, and numbers are needed")
    if indices.dtype.kind not in "iu" or indptr.dtype.kind not in "iu":
        raise MalformedFileError(f"{path}: places of values are no integers; {_RULE}")
    n, columns = shape
    lengths = np.diff(indptr.astype(np.int64))
    fits = len(indptr) == n + 1 and len(indices) == len(data) and indptr[0] == 0 and indptr[-1] == len(data)
    if (
        not fits
        or (lengths < 0).any()
        or (len(indices) and not 0 <= indices.min() <= indices.max() < columns)
    ):
        raise MalformedFileError(
            f"{path}: the parts of the matrix ({n} rows, {columns} columns, {len(data)} values, "
            f"{len(indices)} places, {len(indptr)} bounds) do not fit each other; {_RULE}"
        )
    try:
        return TermRows.of([str(column) for column in range(columns)], lengths, indices, data)
    except InputError as exc:
        raise type(exc)(f"{path}: {exc}") from exc


def _arrays(path: Path) -> tuple[str, tuple[int, int], np.ndarray, np.ndarray, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            found: dict[str, Any] = {name: file[name] for name in _ARRAYS if name in file.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as exc:
        raise MalformedFileError(f"{path} is no .npz file of a sparse matrix ({exc}); {_RULE}") from exc
    missing = [name for name in _ARRAYS if name not in found]
    if missing:
        raise MalformedFileError(f"{path} has no array {missing[0]!r} of a sparse matrix; {_RULE}")
    shape = found["shape"]
    one_axis = all(found[name].ndim == 1 for name in ("data", "indices", "indptr"))
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or not one_axis or not len(found["indptr"]):
        raise MalformedFileError(f"{path}: the sparse matrix has no rows and columns; {_RULE}")
    name = found["format"].item() if found["format"].ndim == 0 else found["format"]
    text = name.decode("ascii", "replace") if isinstance(name, bytes) else str(name)
    return text, (int(shape[0]), int(shape[1])), found["data"], found["indices"], found["indptr"]
