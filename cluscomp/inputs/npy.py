"""Vectors from NumPy files: .npy, and .npz with one array of vectors."""

from __future__ import annotations

import tokenize
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from cluscomp.errors import DimensionError, DTypeError, MalformedFileError
from cluscomp.inputs.files import refuse_foreign
from cluscomp.inputs.rowfile import RowFile, check_length
from cluscomp.inputs.sources import check_ids

_VECTOR_NAMES = ("embeddings", "embedding", "vectors", "vector", "x")
_Header = tuple[tuple[int, ...], bool, np.dtype[Any]]
# what NumPy raises for a header of damaged text
_HEADER_FAULTS = (ValueError, TypeError, SyntaxError, OverflowError, tokenize.TokenError)
_ID_NAMES = ("ids", "id", "doc_ids", "docids")


def open_npy(path: Path) -> RowFile:
    """Vectors of a .npy file with a C-ordered (n, dim) array.

    Raises MalformedFileError (no NumPy file, truncated, Fortran order), DimensionError, DTypeError,
    EmptyInputError.
    """
    return _open_member(path, lambda: path.open("rb", buffering=0), path.stat().st_size)


def open_npz(path: Path) -> RowFile:
    """Vectors of a .npz file: its only array, or the one named "embeddings" or "vectors"; ids from "ids".

    A file of numpy.savez is read in place. One of numpy.savez_compressed is decompressed while it is read,
    so that going through the blocks is cheap and jumping backwards is not.
    Raises as `open_npy`, and MalformedFileError when the choice of the array is not clear.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()}
    except zipfile.BadZipFile as exc:
        raise MalformedFileError(f"{path} is no complete .npz file ({exc}); write or fetch it again") from exc
    vectors, ids = _choose(path, sizes)
    source = _open_member(path, _member_opener(path, vectors), sizes[vectors])
    if ids is not None:
        with _member_opener(path, ids)() as stream:
            source.ids = check_ids(_load_ids(stream, path), source.n, f"{path}, array {ids!r}")
    return source


def open_npz_arrays(path: Path) -> tuple[RowFile, dict[str, np.ndarray]]:
    """Vectors of a .npz file as `open_npz` finds them, and the arrays "lengths" and "ids" beside them,
    unchecked.

    Raises as `open_npz`.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            beside = {name: archive[name] for name in ("lengths", "ids") if name in archive.files}
            names = [name for name in archive.files if name not in beside]
        with zipfile.ZipFile(path) as packed:
            sizes = {info.filename.removesuffix(".npy"): info.file_size for info in packed.infolist()}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as exc:
        raise MalformedFileError(f"{path} is no complete .npz file ({exc}); write or fetch it again") from exc
    vectors, _ = _choose(path, {name: sizes[name] for name in names})
    return _open_member(path, _member_opener(path, vectors), sizes[vectors]), beside


def load_id_array(path: Path) -> np.ndarray:
    """Array (n,) of ids from a .npy file. Raises MalformedFileError, DTypeError, DimensionError."""
    with path.open("rb") as stream:
        return _load_ids(stream, path)


def _open_member(path: Path, open_stream: Callable[[], BinaryIO], size: int) -> RowFile:
    with open_stream() as stream:
        shape, fortran, dtype = _read_header(stream, path)
        header = stream.tell()
    if len(shape) != 2:
        raise DimensionError(
            f"{path} has shape {shape}, a matrix (rows, dim) is needed; save one vector as x[None, :]"
        )
    n, dim = shape
    if dtype.hasobject:
        raise DTypeError(
            f"{path} holds Python objects (a pickle), which are never read; save a float32 array instead"
        )
    check_length(path, n, dim, dtype.itemsize, header=header, actual=size)
    if fortran and n > 1 and dim > 1:
        raise MalformedFileError(
            f"{path} is in Fortran order, its rows are scattered; save numpy.ascontiguousarray(x) instead"
        )
    return RowFile(path, n, dim, dtype, offset=header, open_stream=open_stream)


def _read_header(stream: BinaryIO, path: Path) -> _Header:
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        version = np.lib.format.read_magic(stream)
        if version not in readers:
            raise MalformedFileError(f"{path} has .npy version {version}; versions 1.0 and 2.0 can be read")
        return readers[version](stream)
    except MalformedFileError:
        raise
    except _HEADER_FAULTS as exc:
        if path.suffix == ".npy":
            _refuse_other_format(path)
        raise MalformedFileError(f"{path} is no complete .npy file ({exc}); write or fetch it again") from exc


def _refuse_other_format(path: Path) -> None:
    with path.open("rb") as stream:
        if not stream.read(6).startswith(b"\x93NUMPY"):
            refuse_foreign(path, "a NumPy .npy array")


def _choose(path: Path, names: dict[str, int]) -> tuple[str, str | None]:
    """Names of the array of vectors and of the array of ids in an archive."""
    ids = next((name for name in _ID_NAMES if name in names), None)
    others = [name for name in names if name != ids]
    named = [name for name in _VECTOR_NAMES if name in others]
    if named:
        return named[0], ids
    if len(others) == 1:
        return others[0], ids
    raise MalformedFileError(
        f"{path} holds the arrays {sorted(names)}; "
        "name the vectors 'embeddings' (and the ids 'ids'), or save one array"
    )


def _member_opener(path: Path, name: str) -> Callable[[], BinaryIO]:
    def open_stream() -> BinaryIO:
        with zipfile.ZipFile(path) as archive:  # the member keeps the file open after the archive is closed
            member = name if name in archive.namelist() else f"{name}.npy"
            return cast(BinaryIO, archive.open(member))

    return open_stream


def _load_ids(stream: BinaryIO, path: Path) -> np.ndarray:
    try:
        array = np.lib.format.read_array(stream, allow_pickle=False)
    except (*_HEADER_FAULTS, zipfile.BadZipFile) as exc:
        raise MalformedFileError(f"{path}: the ids cannot be read ({exc}); save integers or strings") from exc
    if array.ndim != 1:
        raise DimensionError(f"{path}: ids have shape {array.shape}, one id a row (n,) is needed")
    if array.dtype.kind not in "iuU":
        raise DTypeError(f"{path}: ids have dtype {array.dtype}, integers or strings are needed")
    return array
