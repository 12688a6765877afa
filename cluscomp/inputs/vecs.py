"""Vectors from the files of the nearest-neighbour benchmarks: fvecs, bvecs, and fbin, f16bin, u8bin, i8bin.

Sources: the TEXMEX corpus (each row: int32 dim, then its values) and the Big-ANN benchmark (uint32 n, uint32
dim, then all values); all little-endian.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.errors import MalformedFileError
from cluscomp.inputs.files import refuse_foreign
from cluscomp.inputs.rowfile import RowFile, check_length

VECS_DTYPES: dict[str, np.dtype[Any]] = {".fvecs": np.dtype("<f4"), ".bvecs": np.dtype("u1")}
BIN_DTYPES: dict[str, np.dtype[Any]] = {
    ".fbin": np.dtype("<f4"),
    ".f16bin": np.dtype("<f2"),
    ".u8bin": np.dtype("u1"),
    ".i8bin": np.dtype("i1"),
}
_MAX_DIM = 1 << 20  # a larger one means that the first bytes are no header


def open_vecs(path: Path) -> RowFile:
    """Vectors of an .fvecs or .bvecs file.

    Raises MalformedFileError and EmptyInputError; reading raises DimensionError.
    """
    stored = VECS_DTYPES[path.suffix.lower()]
    size = path.stat().st_size
    if size == 0:
        return RowFile(path, 0, 1, stored, offset=0)
    (dim,) = _header(path, "<i4", 1, f"a {path.suffix} file")
    stride = 4 + dim * stored.itemsize
    if size % stride:
        raise MalformedFileError(
            f"{path} is truncated: rows of dim {dim} take {stride} bytes, {size} bytes are "
            f"{size // stride} rows "
            f"and {size % stride} bytes; write or fetch it again"
        )
    return RowFile(path, size // stride, dim, stored, offset=0, prefix=4)


def open_bin(path: Path) -> RowFile:
    """Vectors of an .fbin, .f16bin, .u8bin or .i8bin file. Raises MalformedFileError, EmptyInputError."""
    stored = BIN_DTYPES[path.suffix.lower()]
    n, dim = _header(path, "<u4", 2, f"a {path.suffix} file")
    check_length(path, n, dim, stored.itemsize, header=8, actual=path.stat().st_size)
    return RowFile(path, n, dim, stored, offset=8)


def _header(path: Path, dtype: str, count: int, wanted: str) -> tuple[int, ...]:
    """The header's integers; the last one is the dim."""
    refuse_foreign(path, wanted)
    with path.open("rb") as stream:
        raw = stream.read(4 * count)
    if len(raw) < 4 * count:
        raise MalformedFileError(f"{path} has {len(raw)} bytes, the header of {wanted} has {4 * count}")
    values = tuple(int(value) for value in np.frombuffer(raw, dtype))
    if not 1 <= values[-1] <= _MAX_DIM:
        raise MalformedFileError(
            f"{path} is not {wanted}: its header says dim {values[-1]}, 1 to {_MAX_DIM} would be plausible"
        )
    return values
