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
    """Vectors of an .fvecs or .bvecs file. Raises MalformedFileError, EmptyInputError; DimensionError on
    reading.
    """
    stored = VECS_DTYPES[path.suffix.lower()]
    size = path.stat().st_size
    if size == 0:
        return RowFile(path, 0, 1, stored, offset=0)
    (dim,) = _header(path, "<i4", 1)
    stride = 4 + dim * stored.itemsize
    if not 1 <= dim <= _MAX_DIM or size % stride:
        _refuse_header(path, dim)
        raise MalformedFileError(
            f"{path} is truncated: rows of dim {dim} take {stride} bytes, {size} bytes are "
            f"{size // stride} rows and {size % stride} bytes; write or fetch it again"
        )
    return RowFile(path, size // stride, dim, stored, offset=0, prefix=4)


def open_bin(path: Path) -> RowFile:
    """Vectors of an .fbin, .f16bin, .u8bin or .i8bin file. Raises MalformedFileError, EmptyInputError."""
    stored = BIN_DTYPES[path.suffix.lower()]
    n, dim = _header(path, "<u4", 2)
    size = path.stat().st_size
    if not 1 <= dim <= _MAX_DIM or size != 8 + n * dim * stored.itemsize:
        _refuse_header(path, dim)
    check_length(path, n, dim, stored.itemsize, header=8, actual=size)
    return RowFile(path, n, dim, stored, offset=8)


def _header(path: Path, dtype: str, count: int) -> tuple[int, ...]:
    """The header's integers; the last one is the dim."""
    with path.open("rb") as stream:
        raw = stream.read(4 * count)
    if len(raw) < 4 * count:
        refuse_foreign(path, f"a {path.suffix} file")
        raise MalformedFileError(
            f"{path} has {len(raw)} bytes, the header of a {path.suffix} file has {4 * count}"
        )
    return tuple(int(value) for value in np.frombuffer(raw, dtype))


def _refuse_header(path: Path, dim: int) -> None:
    """Say what a file is whose header does not fit its size. A header that fits may begin with any bytes."""
    refuse_foreign(path, f"a {path.suffix} file")
    if not 1 <= dim <= _MAX_DIM:
        raise MalformedFileError(
            f"{path} is not a {path.suffix} file: its header says dim {dim}, 1 to {_MAX_DIM} would be "
            "plausible"
        )
