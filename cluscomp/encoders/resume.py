"""A float32 .npy file written in blocks beside a progress record, so that an interrupted run goes on.

While it is written, PATH.partial holds the rows and PATH.partial.jsonl one line for every finished block:
its number of rows, a hash of its texts, and a checksum of its bytes. A block counts once its line is in the
record, and the line is written only after the rows have reached the disk. `finish` puts the array in its
place by a rename.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from cluscomp.files import atomic_json, flush, full_disk, open_locked, sync_folder
from cluscomp.resume import Record

log = logging.getLogger(__name__)

RECORD_VERSION = 1
READ_BYTES = 1 << 24
FINISHED_ARE_KEPT = "make room and run the same command again: finished blocks are kept"


@dataclass(frozen=True)
class Block:
    """A finished block: rows, hash of the texts, CRC-32 of the float32 rows in the file."""

    rows: int
    texts: str
    crc: int


class BlockFile:
    """Rows of one array on their way to `path`; use through `open_block_file`."""

    def __init__(self, path: Path, dim: int, owner: dict[str, Any], file: IO[bytes]) -> None:
        self.path = path
        self.dim = dim
        self.finished: list[Block] = []
        self._record = Record(_record_path(path), {"version": RECORD_VERSION, "dim": dim, **owner})
        self._file = file
        self._header = len(npy_header(0, dim))
        self._recover()

    @property
    def rows(self) -> int:
        """Rows in finished blocks."""
        return sum(block.rows for block in self.finished)

    def truncate(self, blocks: int) -> None:
        """Keep the first `blocks` finished blocks and drop the rest."""
        del self.finished[blocks:]
        self._record.forget(self._record.finished[blocks:])
        self._file.truncate(self._end())

    def append(self, rows: np.ndarray, texts: str) -> None:
        """Write one block of (n, dim) float32 rows and record it. Raises DiskFullError."""
        data = np.ascontiguousarray(rows, np.float32)
        with full_disk(self.path, data.nbytes, FINISHED_ARE_KEPT):
            self._file.seek(self._end())
            self._file.write(data.data)
            flush(self._file)
            block = Block(len(data), texts, zlib.crc32(data))
            self._record.finish(str(len(self.finished)), asdict(block))
        self.finished.append(block)

    def finish(self, seal: Path | None = None) -> None:
        """Write header and seal (shape and checksum, see `matches_seal`); move the array to its place."""
        with full_disk(self.path, self._header, FINISHED_ARE_KEPT):
            self._file.seek(0)
            self._file.write(npy_header(self.rows, self.dim))
            self._file.truncate(self._end())
            flush(self._file)
            if seal is not None:
                crc = _crc_of(self._file, self.rows * self.dim * 4)
                atomic_json(seal, {"rows": self.rows, "dim": self.dim, "crc": crc})
        os.replace(_partial_path(self.path), self.path)
        self._record.remove()
        sync_folder(self.path.parent)

    def discard(self) -> None:
        """Remove the unfinished file and its record."""
        _partial_path(self.path).unlink(missing_ok=True)
        self._record.remove()

    def _end(self) -> int:
        return self._header + self.rows * self.dim * 4

    def _recover(self) -> None:
        """Take over the blocks of an earlier run of the same owner, as far as record and bytes agree."""
        recorded = _blocks(self._record)
        self._file.seek(self._header)
        for block in recorded:
            if _crc_of(self._file, block.rows * self.dim * 4) != block.crc:
                break
            self.finished.append(block)
        if len(self.finished) < len(recorded):
            log.warning(
                "%s: block %d of %d is damaged; it and those after it are encoded again",
                _partial_path(self.path),
                len(self.finished) + 1,
                len(recorded),
            )
        self.truncate(len(self.finished))


@contextmanager
def open_block_file(path: Path, dim: int, owner: dict[str, Any]) -> Iterator[BlockFile]:
    """Open PATH.partial for this process alone, with the finished blocks of an earlier run of the owner.

    owner: JSON values that say what the rows are; a partial file of another owner is overwritten. When
    another process writes the same file, this one waits until it has ended.
    """
    with open_locked(_partial_path(path)) as file:
        yield BlockFile(path, dim, owner, file)


def matches_seal(path: Path, seal: Path, rows: int, dim: int) -> bool:
    """Whether `path` is a whole (rows, dim) float32 .npy file with the checksum in `seal`."""
    try:
        record = json.loads(seal.read_text(encoding="utf-8"))
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size != len(npy_header(rows, dim)) + rows * dim * 4:
                return False
            if file.read(len(npy_header(rows, dim))) != npy_header(rows, dim):
                return False
            return record == {"rows": rows, "dim": dim, "crc": _crc_of(file, rows * dim * 4)}
    except (FileNotFoundError, ValueError):
        return False


def npy_header(rows: int, dim: int) -> bytes:
    """Header of a (rows, dim) float32 .npy file. Its length does not depend on `rows`."""
    buffer = BytesIO()
    npy.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)})
    return buffer.getvalue()


def _partial_path(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".partial.jsonl")


def _blocks(record: Record) -> list[Block]:
    """Blocks of a record of the same owner; one of another owner starts over."""
    if not record.matches():
        record.start()
    blocks: list[Block] = []
    for number in record.finished:
        facts = record.done(number) or {}
        try:
            blocks.append(Block(int(facts["rows"]), str(facts["texts"]), int(facts["crc"])))
        except (KeyError, TypeError, ValueError):
            break
    return blocks


def _crc_of(file: IO[bytes], size: int) -> int | None:
    """CRC-32 of the next `size` bytes; None when the file is shorter."""
    crc = 0
    while size:
        data = file.read(min(size, READ_BYTES))
        if not data:
            return None
        crc = zlib.crc32(data, crc)
        size -= len(data)
    return crc
