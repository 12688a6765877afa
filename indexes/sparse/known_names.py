"""Numbers of names of terms, for searches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from cluscomp.indexes.segments.ids import TextIds
from cluscomp.portable import Portable

MOST_REMEMBERED = 1 << 16
"""Names whose numbers are remembered, about 10 MB."""


class KnownNames(Portable):
    """Names by number, which remembers what was asked: queries have the same terms again and again."""

    def __init__(self, names: TextIds) -> None:
        self.names = names

    @cached_property
    def _found(self) -> dict[str, int]:
        return {}

    def find(self, asked: Sequence[str]) -> np.ndarray:
        """Number (len(asked),) int64 of each name, -1 where it is not here. Threads may call it together.

        Raises InputError for a name that is no valid text.
        """
        if not len(self.names):
            return np.full(len(asked), -1, dtype=np.int64)
        numbers = list(map(self._found.get, asked))
        new = [place for place, number in enumerate(numbers) if number is None]
        if new:
            names = [asked[place] for place in new]
            found = self.names.find(TextIds.from_texts(names)).tolist()
            self._remember(names, found)
            for place, number in zip(new, found, strict=True):
                numbers[place] = number
        return np.array(numbers, dtype=np.int64)

    def _remember(self, names: list[str], numbers: list[int]) -> None:
        if len(names) > MOST_REMEMBERED:
            return
        if len(self._found) + len(names) > MOST_REMEMBERED:
            self._found.clear()
        self._found.update(zip(names, numbers, strict=True))
