"""Rows of a text column by text: those of one text are found without a look at the others.

The idea of Curator's short lists (arXiv 2401.07119): what a tenant owns stands together. Here it is one run
of ascending rows for each text, in one array, and no tree. docs/notes/filters.md has what was measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluscomp.bits import position_dtype
from cluscomp.errors import CorruptIndexError

ROWS, STARTS = "rows", "row_starts"
"""Names of the parts of a column that are stored."""


@dataclass(frozen=True)
class Runs:
    """rows: (m,) int32 or int64 rows that have a text, by the number of the text and ascending within each.
    starts: (words + 1,) int64; text i has rows[starts[i]:starts[i + 1]].
    """

    rows: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, missing: np.ndarray, n_words: int) -> Runs:
        """Of the number of the text (n,) of each row. missing: (n,) bool rows without one."""
        there = np.flatnonzero(~missing)
        numbers = values[there]
        starts = np.zeros(n_words + 1, dtype=np.int64)
        np.cumsum(np.bincount(numbers, minlength=n_words), out=starts[1:])
        order = np.argsort(numbers, kind="stable")
        return cls(there[order].astype(position_dtype(len(values))), starts)

    def parts(self) -> dict[str, np.ndarray]:
        """What is stored: name -> array."""
        return {ROWS: self.rows, STARTS: self.starts}

    def count(self, number: int) -> int:
        """How many rows have a text."""
        return int(self.starts[number + 1]) - int(self.starts[number])

    def rows_of(self, number: int, values: np.ndarray) -> np.ndarray:
        """Rows (m,) int64 of one text, ascending.

        values: of the column, which has the last word: runs of a damaged file must not show rows of others.
        Raises CorruptIndexError.
        """
        start, stop = int(self.starts[number]), int(self.starts[number + 1])
        found = np.asarray(self.rows[max(0, start) : max(0, stop)], dtype=np.int64)
        wrong = len(found) != stop - start
        if not wrong and found.size:
            wrong = int(found.min()) < 0 or int(found.max()) >= len(values)
            wrong = wrong or bool((np.diff(found) <= 0).any()) or bool((values[found] != number).any())
        if wrong:
            raise CorruptIndexError(
                f"the run of word {number} of an attribute, {start} to {stop} of {len(self.rows)}, does not "
                "hold its rows: the index is damaged; restore a copy or rebuild it"
            )
        return found

    def fault(self, values: np.ndarray, missing: np.ndarray, n_words: int) -> str | None:
        """What is wrong with runs that a folder holds, or None. values, missing: of the column, checked."""
        wanted = Runs.of(values, missing, n_words)
        for name, array in wanted.parts().items():
            stored = self.parts()[name]
            if not np.array_equal(stored, array):
                return f"{name}: the runs of rows are not those of the values"
        return None
