"""Pooled documents on disk: appended block by block, so that a killed build goes on behind the last whole
block, and read in pieces.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cluscomp.files import flush
from cluscomp.multivector import Ragged
from cluscomp.multivector.ragged import offsets_of
from cluscomp.resume import Record

_RECORD, _ROWS, _LENGTHS = "pooled.jsonl", "pooled.f32", "pooled.lengths"
_BLOCKS = "blocks"


class PooledSpool:
    """Pooled vectors float32 and the lengths of the documents in a folder.

    source: what the documents are known by; what was left of others is not continued.
    """

    def __init__(self, folder: Path, dim: int, source: str) -> None:
        self._folder, self._dim = folder, dim
        self._record = Record(folder / _RECORD, {"dim": dim, "source": source})
        written = (self._record.done(_BLOCKS) if self._record.matches() else None) or {}
        self.documents, self.vectors = written.get("documents", 0), written.get("vectors", 0)

    def append(self, block: Ragged) -> None:
        """Write a block behind the others; after a kill it is there as a whole, or not."""
        self._write(_ROWS, self.vectors * self._dim * 4, np.ascontiguousarray(block.rows, dtype="<f4"))
        self._write(_LENGTHS, self.documents * 8, block.lengths.astype("<i8"))
        self.documents += len(block)
        self.vectors += int(block.offsets[-1])
        self._record.finish(_BLOCKS, {"documents": self.documents, "vectors": self.vectors})

    def offsets(self) -> np.ndarray:
        """Offsets (documents + 1,) int64 of all documents."""
        lengths = np.fromfile(self._folder / _LENGTHS, dtype="<i8", count=self.documents)
        return offsets_of(lengths, self.vectors)

    def mapped(self) -> Ragged:
        """All documents; their vectors are read when they are used."""
        if self.vectors == 0:
            return Ragged(np.empty((0, self._dim), dtype=np.float32), self.offsets())
        shape = (self.vectors, self._dim)
        rows = np.memmap(self._folder / _ROWS, dtype="<f4", mode="r", shape=shape)
        return Ragged(rows, self.offsets())

    def read(self, start: int, stop: int) -> np.ndarray:
        """Vectors (stop - start, dim) float32, as a new array."""
        offset, count = start * self._dim * 4, (stop - start) * self._dim
        flat = np.fromfile(self._folder / _ROWS, dtype="<f4", count=count, offset=offset)
        return flat.reshape(-1, self._dim)

    def _write(self, name: str, place: int, values: np.ndarray) -> None:
        path = self._folder / name
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(place)  # what a killed build wrote behind the last whole block
            file.seek(place)
            file.write(memoryview(values.reshape(-1).view(np.uint8)))
            flush(file)
