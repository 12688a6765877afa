"""Titles and texts of the rows of a segment: given with new rows, in a file, or of rows of other segments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    for number, slots, inside in by_piece([n for _, n, _ in pieces], rows):
        texts, _, own = pieces[number]
        if texts is not None:
            values = texts.take(own(inside))
            for slot, value in zip(slots.tolist(), values, strict=True):
                found[slot] = value
    return found


def by_piece(sizes: Sequence[int], rows: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Piece, places in `rows`, and positions in the piece, of rows of pieces one after the other.

    sizes: rows of each piece. rows: (n,) positions over all of them, in any order.
    """
    first = 0
    for number, size in enumerate(sizes):
        slots = np.flatnonzero((rows >= first) & (rows < first + size))
        if slots.size:
            yield number, slots, rows[slots] - first
        first += size
