"""Texts that can be read only once, put aside in a temporary file so that they can be read again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from cluscomp.files import full_disk

LENGTH_BYTES = 8


class TextSpool:
    """Texts in an unnamed temporary file, each with its length before it; memory holds one at a time."""

    def __init__(self, texts: Iterable[str], folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by __exit__)
        self._n = 0
        try:
            for text in texts:
                data = text.encode("utf-8")
                with full_disk(folder, len(data)):
                    self._file.write(len(data).to_bytes(LENGTH_BYTES, "little") + data)
                self._n += 1
            with full_disk(folder):
                self._file.flush()
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[str]:
        self._file.seek(0)
        while head := self._file.read(LENGTH_BYTES):
            yield self._file.read(int.from_bytes(head, "little")).decode("utf-8")

    def __enter__(self) -> TextSpool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
