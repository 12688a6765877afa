"""Files of .npy arrays that are written piece by piece: at the end, or at places that are known later."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from cluscomp.errors import DTypeError
from cluscomp.files import flush
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.storage.staging import HEADER_BYTES, SteadyFile, npy_header


class ArrayStream:
    """A .npy file that grows row by row; its header is written when the number of rows is known.

    row_shape: () for a vector, (width,) for a matrix.
    """

    def __init__(self, path: Path, dtype: str, row_shape: tuple[int, ...]) -> None:
        self.path, self.dtype, self.row_shape = path, np.dtype(dtype), row_shape
        self.rows = 0
        self._file: BinaryIO = path.open("x+b")
        self._file.write(bytes(HEADER_BYTES))
        self._steady = SteadyFile(self._file)

    @property
    def _row_bytes(self) -> int:
        return self.dtype.itemsize * int(np.prod(self.row_shape, dtype=np.int64))

    def append(self, rows: np.ndarray) -> None:
        """Write rows (n, *row_shape) behind the others."""
        if rows.shape[1:] != self.row_shape:
            raise DTypeError(f"rows of shape {rows.shape[1:]} do not fit a file of rows {self.row_shape}")
        array = np.ascontiguousarray(rows, dtype=self.dtype)
        self._steady.write(memoryview(array.reshape(-1).view(np.uint8)))
        self.rows += rows.shape[0]

    def read(self, block: slice) -> np.ndarray:
        """Rows of a block, after `finish`."""
        out = np.empty((block.stop - block.start, *self.row_shape), dtype=self.dtype)
        with self.path.open("rb") as file:
            file.seek(HEADER_BYTES + block.start * self._row_bytes)
            file.readinto(memoryview(out.reshape(-1).view(np.uint8)))
        return out

    def finish(self) -> ArraySpec:
        """Write the header and flush to disk."""
        spec = ArraySpec(self.dtype.str, (self.rows, *self.row_shape))
        self._file.seek(0)
        self._file.write(npy_header(spec.dtype, spec.shape))
        flush(self._file)
        self._file.close()
        return spec

    def remove(self) -> None:
        """Close and delete the file."""
        self._file.close()
        self.path.unlink()

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()


def map_array(path: Path, spec: ArraySpec) -> np.ndarray:
    """The array of a finished file, memory-mapped; an empty one is not, since that cannot be."""
    if 0 in spec.shape:
        return np.empty(spec.shape, spec.dtype)
    return np.memmap(path, np.dtype(spec.dtype), "r", HEADER_BYTES, spec.shape)


class GroupedFile:
    """A .npy file of known length that is filled in runs."""

    def __init__(self, file: BinaryIO, spec: ArraySpec) -> None:
        self._file = file
        self._row_bytes = spec.nbytes // spec.shape[0]
        file.write(npy_header(spec.dtype, spec.shape))
        file.truncate(HEADER_BYTES + spec.nbytes)

    def write_runs(self, values: np.ndarray, starts: np.ndarray, targets: np.ndarray) -> None:
        """Write values[starts[i]:starts[i + 1]] to the rows from targets[i] on."""
        flat = memoryview(np.ascontiguousarray(values).reshape(-1).view(np.uint8))
        edges = [*(starts * self._row_bytes).tolist(), len(flat)]
        for i, target in enumerate(targets.tolist()):
            self._file.seek(HEADER_BYTES + target * self._row_bytes)
            self._file.write(flat[edges[i] : edges[i + 1]])
