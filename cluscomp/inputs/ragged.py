"""Token vectors of documents from files: a matrix, how many rows each document has, and ids of the
documents.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.errors import DimensionError, DTypeError, MalformedFileError, UsageError
from cluscomp.inputs.columns import Columns
from cluscomp.inputs.embeddings import open_embeddings, read_ids
from cluscomp.inputs.files import require_file
from cluscomp.inputs.npy import open_npz_arrays
from cluscomp.inputs.objects import local_input
from cluscomp.inputs.sources import Ids, VectorSource, check_ids


def open_ragged(
    path: str | Path,
    lengths_path: str | Path | None = None,
    ids_path: str | Path | None = None,
    *,
    columns: Columns | None = None,
) -> tuple[VectorSource, np.ndarray, Ids | None]:
    """Open a file of token vectors without reading it: vectors (N, dim), lengths (n,) and ids of documents.

    path: as `open_embeddings` takes it; a .npz file may also hold "lengths", and "ids" of the documents.
    lengths_path: .npy with one integer a document. ids_path: as `read_ids` takes it, one a document.
    columns: as `open_embeddings` takes them.
    Raises UsageError (no lengths), MalformedFileError, DimensionError, DTypeError, DuplicateIdError.
    """
    path = local_input("path", path)
    vectors: VectorSource
    inner: dict[str, np.ndarray] = {}
    if path.suffix.lower() == ".npz" and not path.is_dir():
        vectors, inner = open_npz_arrays(require_file(path))
    else:
        vectors = open_embeddings(path, columns=columns)
        vectors.ids = None
    lengths = read_lengths(lengths_path) if lengths_path is not None else inner.get("lengths")
    if lengths is None:
        raise UsageError(
            f"{path} holds token vectors of documents, but nothing says how many each document has; pass "
            "lengths (of queries: query_lengths), or name an array of the .npz file 'lengths'"
        )
    if ids_path is not None:
        return vectors, lengths, read_ids(ids_path, lengths.shape[0])
    ids = inner.get("ids")
    return vectors, lengths, None if ids is None else check_ids(ids, lengths.shape[0], f"{path}, array 'ids'")


def read_lengths(path: str | Path) -> np.ndarray:
    """Lengths (n,) from a .npy file. Raises MalformedFileError, DimensionError."""
    return read_numbers(path, "lengths", "one length a document, a list of integers")


def read_numbers(path: str | Path, what: str, wanted: str) -> np.ndarray:
    """An array of one axis from a .npy file; what, wanted: for messages.

    Raises MalformedFileError, DimensionError, DTypeError (no numbers).
    """
    path = require_file(path)
    try:
        numbers: Any = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as exc:
        raise MalformedFileError(f"{path} is no .npy file of {what} ({exc})") from exc
    if not isinstance(numbers, np.ndarray) or numbers.ndim != 1:
        raise DimensionError(f"{path} must hold {wanted}")
    if numbers.dtype.kind not in "iuf":
        raise DTypeError(f"{path} must hold {wanted}, but its dtype is {numbers.dtype}")
    return numbers
