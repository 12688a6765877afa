"""Rows of equal length in a binary file, read with plain file reads.

A memory map would count every page it touched as resident memory; reads into a buffer keep the footprint at
one block however large the file is.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cluscomp.arrays import narrowed, to_float32
from cluscomp.errors import DimensionError, DTypeError, EmptyInputError, MalformedFileError
from cluscomp.inputs.sources import Ids, check_block_rows, check_range, check_rows

_GAP_BYTES = 64 << 10  # below this distance one longer read beats two
_SPAN_BYTES = 8 << 20  # largest single read of `take`
_BFLOAT16 = np.dtype("V2")  # how numpy.save stores ml_dtypes' bfloat16


class RowFile:
    """VectorSource over n rows of `dim` values of type `stored` at equal distances in a file.

    offset: byte of the first row. prefix: bytes before the values of each row (4 in fvecs: the row's dim,
    which is compared). open_stream: opens the byte stream that the rows lie in, by default the file itself.
    Raises DTypeError, DimensionError, EmptyInputError; MalformedFileError when rows are missing.
    """

    def __init__(
        self,
        path: Path,
        n: int,
        dim: int,
        stored: np.dtype[Any],
        *,
        offset: int,
        prefix: int = 0,
        open_stream: Callable[[], BinaryIO] | None = None,
        ids: Ids | None = None,
    ) -> None:
        if dim < 1:
            raise DimensionError(f"{path}: rows have {dim} dimensions, at least 1 is needed")
        if n < 1:
            raise EmptyInputError(f"{path} holds 0 rows, at least 1 is needed")
        self.path, self.n, self.dim, self.ids = path, n, dim, ids
        self.dtype = handed_out_dtype(stored, path)
        self._stored = stored
        self._offset = offset
        self._prefix = prefix
        self._stride = prefix + dim * stored.itemsize
        self._open = open_stream or (lambda: path.open("rb", buffering=0))

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """See VectorSource."""
        check_block_rows(rows)
        with self._open() as stream:
            for start in range(0, self.n, rows):
                yield self._read(stream, start, min(start + rows, self.n))

    def read(self, start: int, stop: int) -> np.ndarray:
        """See VectorSource."""
        check_range(start, stop, self.n)
        with self._open() as stream:
            return self._read(stream, start, stop)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """See VectorSource."""
        numbers = check_rows(rows, self.n)
        out = np.empty((len(numbers), self.dim), self.dtype)
        with self._open() as stream:
            for begin, end in self._groups(numbers):
                first = int(numbers[begin])
                span = self._read(stream, first, int(numbers[end - 1]) + 1)
                out[begin:end] = span[numbers[begin:end] - first]
        return out

    def _groups(self, numbers: np.ndarray) -> Iterator[tuple[int, int]]:
        """Ranges of `numbers` that lie close enough together to be read at once."""
        near, span = max(1, _GAP_BYTES // self._stride), max(1, _SPAN_BYTES // self._stride)
        begin = 0
        for cut in [*np.flatnonzero(np.diff(numbers) > near) + 1, len(numbers)]:
            while begin < cut:
                end = int(np.searchsorted(numbers[:cut], numbers[begin] + span))
                yield begin, end
                begin = end

    def _read(self, stream: BinaryIO, start: int, stop: int) -> np.ndarray:
        raw = np.empty((stop - start, self._stride), np.uint8)
        try:
            stream.seek(self._offset + start * self._stride)
            got = _read_full(stream, memoryview(raw).cast("B")) if raw.size else 0
        except (zipfile.BadZipFile, zlib.error, EOFError) as exc:
            raise MalformedFileError(
                f"{self.path}: compressed data is damaged ({exc}); fetch it again"
            ) from exc
        if got != raw.size:
            raise MalformedFileError(
                f"{self.path} is truncated: rows {start} to {stop} need {raw.size} bytes, {got} could be read"
            )
        if self._prefix:
            self._check_prefix(raw, start)
        return self._handed_out(raw[:, self._prefix :].view(self._stored), start)

    def _handed_out(self, rows: np.ndarray, first: int) -> np.ndarray:
        if self._stored == _BFLOAT16:
            return to_float32(np.ascontiguousarray(rows).view("<u2"))
        if self.dtype == np.float16:
            return np.ascontiguousarray(rows, dtype=np.float16)
        ids = None if self.ids is None else self.ids[first : first + len(rows)]
        return narrowed(rows, name=str(self.path), ids=ids, first_row=first)

    def _check_prefix(self, raw: np.ndarray, start: int) -> None:
        dims = np.ascontiguousarray(raw[:, : self._prefix]).view("<i4")[:, 0]
        wrong = np.flatnonzero(dims != self.dim)
        if wrong.size:
            row = int(wrong[0])
            raise DimensionError(
                f"{self.path}: row {start + row} has dim {dims[row]}, row 0 has dim {self.dim}; "
                "all vectors of a file need the same dim"
            )


def handed_out_dtype(stored: np.dtype[Any], path: Path) -> np.dtype[Any]:
    """float16 for float16, float32 for all other numbers. Raises DTypeError for what is no real number."""
    if stored.hasobject:
        raise DTypeError(
            f"{path} holds Python objects (a pickle), which are never read; save a float32 array instead"
        )
    if stored != _BFLOAT16 and (stored.kind not in "fiub" or stored.itemsize > 8):
        raise DTypeError(
            f"{path} has dtype {stored}, but float32, float16, bfloat16, float64 or integers are needed; "
            "save it with x.astype('float32')"
        )
    return np.dtype(np.float16 if stored.kind == "f" and stored.itemsize == 2 else np.float32)


def check_length(path: Path, n: int, dim: int, itemsize: int, *, header: int, actual: int) -> None:
    """Raise MalformedFileError unless a header and n rows of dim values fill the `actual` bytes exactly."""
    needed = header + n * dim * itemsize
    if actual != needed:
        fault = "is truncated" if actual < needed else "has bytes after its last row"
        raise MalformedFileError(
            f"{path} {fault}: {n} rows of {dim} values need {needed} bytes, the file has {actual}; "
            "write or fetch it again"
        )


def _read_full(stream: BinaryIO, buffer: memoryview) -> int:
    """Fill `buffer`; one raw read ends at 2 GiB on Linux.

    Returns the bytes read: fewer only at the end of the file.
    """
    done = 0
    while done < len(buffer):
        got = stream.readinto(buffer[done:])  # type: ignore[attr-defined]  # absent from typing.BinaryIO
        if not got:
            break
        done += got
    return done
