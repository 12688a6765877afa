"""Where the ids of a segment stand: keys in ascending order and their rows, in memory or mapped from a file.

A lookup is a binary search, which touches a few pages of a mapped file, however many ids there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.bits import position_dtype
from cluscomp.errors import CorruptIndexError
from cluscomp.indexes.stages.parameters import ArraySpec

KEYS, ROWS = "idhash", "idrows"
"""Names of the arrays that are stored."""
_KEYS_PER_BLOCK = 1 << 17  # looked up by one NumPy call


def key_specs(dtype: str, n: int) -> dict[str, ArraySpec]:
    """Dtypes and shapes of what is stored for n ids. dtype: of the keys."""
    return {KEYS: ArraySpec(dtype, (n,)), ROWS: ArraySpec(position_dtype(n), (n,))}


@dataclass(frozen=True)
class IdKeys:
    """ordered: (n,) keys, ascending: XXH64 of texts as uint64, or the integers themselves as int64.
    rows: (n,) int32 or int64 row of each; ascending where keys are equal.
    """

    ordered: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, keys: np.ndarray) -> IdKeys:
        """Of the keys (n,) of the rows 0 to n - 1."""
        order = np.argsort(keys, kind="stable")
        return cls(keys[order], order.astype(position_dtype(len(keys))))

    def arrays(self) -> dict[str, np.ndarray]:
        """What is stored: name of the part -> array."""
        return {KEYS: self.ordered, ROWS: self.rows}

    def slots(self, wanted: np.ndarray) -> np.ndarray:
        """First place (len(wanted),) int64 of each key in `ordered`, -1 where it is not there."""
        found = np.full(len(wanted), -1, dtype=np.int64)
        if not len(self.ordered):
            return found
        by_key = np.argsort(wanted, kind="stable")  # neighbours touch the same pages
        for block in iter_blocks(len(wanted), _KEYS_PER_BLOCK):
            numbers = by_key[block]
            keys = wanted[numbers]
            places = np.minimum(np.searchsorted(self.ordered, keys), len(self.ordered) - 1)
            found[numbers] = np.where(self.ordered[places] == keys, places, -1)
        return found

    def rows_at(self, slots: np.ndarray) -> np.ndarray:
        """Row (same shape) int64 at each place. Raises CorruptIndexError for a row that does not exist."""
        rows = self.rows[slots].astype(np.int64)
        if rows.size and not 0 <= int(rows.min()) <= int(rows.max()) < len(self.rows):
            raise CorruptIndexError(
                f"a key of an id leads to row {int(rows.max())}, but there are {len(self.rows)} rows: the "
                "ids of the index are damaged; restore a copy or rebuild it"
            )
        return rows

    def fault(self, keys: np.ndarray) -> tuple[str, str] | None:
        """Array and fault unless these are the keys (n,) of the rows in order."""
        wanted = IdKeys.of(keys)
        for name, array in wanted.arrays().items():
            wrong = np.flatnonzero(self.arrays()[name] != array)
            if wrong.size:
                return name, (
                    f"place {wrong[0]} holds {self.arrays()[name][wrong[0]]}, but the ids imply "
                    f"{array[wrong[0]]} ({wrong.size} of {len(array)} places are wrong)"
                )
        return None


def equal_runs(ordered: np.ndarray, values: np.ndarray) -> Iterator[np.ndarray]:
    """Values that stand at equal neighbours of an ascending array, run by run."""
    same = np.flatnonzero(ordered[1:] == ordered[:-1])
    for run in np.split(same, np.flatnonzero(np.diff(same) > 1) + 1):
        if run.size:
            yield values[run[0] : run[-1] + 2]
