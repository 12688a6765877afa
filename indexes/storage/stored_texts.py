"""Titles and texts of the rows of one segment in its file sHEX.docs.sqlite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cluscomp.errors import CorruptIndexError, DuplicateIdError, IndexMissingError
from cluscomp.indexes.segments.ids import IdColumn
from cluscomp.indexes.segments.texts import BLOCK_ROWS, RowTexts, TitleAndText
from cluscomp.indexes.storage.sources import SourceFile
from cluscomp.indexes.storage.texts import DocumentStore, write_rows


@dataclass(frozen=True)
class StoredTexts:
    """Texts in a file. ids: of the rows of the segment, which the file repeats."""

    source: SourceFile
    ids: IdColumn

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray) -> list[TitleAndText]:
        """Titles and texts of rows.

        Raises IndexMissingError where the file is gone or another one has its name, CorruptIndexError where
        it holds other rows than the segment.
        """
        self._require_file()
        with DocumentStore(self.source.path) as store:
            found = store.take(rows.tolist())
        names = self.ids.take(rows).tolist()
        for row, name in zip(rows.tolist(), names, strict=True):
            if row not in found or found[row][0] != str(name):
                holds = repr(found[row][0]) if row in found else "nothing"
                raise CorruptIndexError(
                    f"{self.source.path} holds {holds} at position {row}, where the segment has id "
                    f"{name!r}: the index is damaged; restore a copy or rebuild it"
                )
        return [found[row][1:] for row in rows.tolist()]

    def _require_file(self) -> None:
        if not self.source.is_unchanged():
            raise IndexMissingError(
                f"{self.source.path} was removed or replaced since the index was opened: other writers went "
                "on, and files of older generations stay for a while only; call index.refresh(), or open it "
                "again"
            )


def text_faults(store: DocumentStore, ids: IdColumn) -> list[str]:
    """What is wrong with a file whose positions have been checked: other rows than those with these ids."""
    for first in range(0, len(ids), BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, len(ids))
        names, found = ids.take(np.arange(first, last)).tolist(), store.ids(first, last)
        if len(found) != len(names):
            return [f"it holds texts of {first + len(found)} rows, but the segment has {len(ids)}"]
        for row, (name, other) in enumerate(zip(names, found, strict=True), first):
            if str(name) != other:
                return [f"it holds {other!r} at position {row}, where the segment has id {name!r}"]
    return []


def write_row_texts(path: Path, texts: RowTexts, ids: IdColumn) -> None:
    """Write the texts of rows with these ids to a new file. Raises DuplicateIdError, DiskFullError."""
    try:
        write_rows(path, _with_ids(texts, ids))
    except sqlite3.IntegrityError as exc:
        raise DuplicateIdError(f"two rows of one segment have the same id ({exc}); ids must differ") from exc


def _with_ids(texts: RowTexts, ids: IdColumn) -> Iterator[tuple[str, str | None, str | None]]:
    for first in range(0, len(ids), BLOCK_ROWS):
        rows = np.arange(first, min(first + BLOCK_ROWS, len(ids)))
        for name, (title, text) in zip(ids.take(rows).tolist(), texts.take(rows), strict=True):
            yield str(name), title, text
