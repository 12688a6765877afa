"""Titles and texts of the rows of a segment: given with new rows, in a file, or of rows of other segments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

TitleAndText = tuple[str | None, str | None]
"""Title and text of a row; None for both where none was given."""
NO_TEXT: TitleAndText = (None, None)
BLOCK_ROWS = 4096  # texts that are in memory while a file is written


class RowTexts(Protocol):
    """Titles and texts by position. source: SourceFile that holds them as they are, or None."""

    @property
    def source(self) -> Any: ...

    def __len__(self) -> int: ...

    def take(self, rows: np.ndarray) -> list[TitleAndText]:
        """Titles and texts of the rows at these positions, in their order."""


@dataclass(frozen=True)
class GivenTexts:
    """Titles and texts in memory, one of each row."""

    values: tuple[TitleAndText, ...]

    source: Any = None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: np.ndarray) -> list[TitleAndText]:
        return [self.values[row] for row in rows.tolist()]


@dataclass(frozen=True)
class PickedTexts:
    """Rows of several segments one after the other. parts: their texts, None for a segment without, and the
    positions of the rows.
    """

    parts: tuple[tuple[RowTexts | None, np.ndarray], ...]

    source: Any = None

    def __len__(self) -> int:
        return sum(len(rows) for _, rows in self.parts)

    def take(self, rows: np.ndarray) -> list[TitleAndText]:
        pieces = [(texts, len(own), own.__getitem__) for texts, own in self.parts]
        return _taken(pieces, rows)


def picked_texts(parts: Sequence[tuple[RowTexts | None, np.ndarray]]) -> RowTexts | None:
    """`PickedTexts`, or None where no segment has texts."""
    return PickedTexts(tuple(parts)) if any(texts is not None for texts, _ in parts) else None


def iter_texts(texts: RowTexts) -> Iterator[TitleAndText]:
    """All titles and texts in order, some in memory at a time."""
    for first in range(0, len(texts), BLOCK_ROWS):
        yield from texts.take(np.arange(first, min(first + BLOCK_ROWS, len(texts))))


def given_texts(values: Iterable[TitleAndText]) -> GivenTexts:
    """Titles and texts of new rows."""
    return GivenTexts(tuple(values))


def texts_at(segments: Sequence[Any], positions: np.ndarray) -> list[TitleAndText]:
    """Titles and texts of rows. segments: of an index. positions: (n,) over all of them."""
    return _taken([(segment.texts, segment.n_rows, _itself) for segment in segments], positions)


def _itself(rows: np.ndarray) -> np.ndarray:
    return rows


def _taken(
    pieces: Sequence[tuple[RowTexts | None, int, Callable[[np.ndarray], np.ndarray]]], rows: np.ndarray
) -> list[TitleAndText]:
    """Titles and texts of rows of pieces that stand one after the other. pieces: texts, rows, and what turns
    positions in the piece into those of the texts.
    """
    found: list[TitleAndText] = [NO_TEXT] * len(rows)
    first = 0
    for texts, n, own in pieces:
        slots = np.flatnonzero((rows >= first) & (rows < first + n))
        if texts is not None and slots.size:
            values = texts.take(own(rows[slots] - first))
            for slot, value in zip(slots.tolist(), values, strict=True):
                found[slot] = value
        first += n
    return found
