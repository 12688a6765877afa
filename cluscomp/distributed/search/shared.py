"""Filters of a search over shards: each finds the rows that pass among its own, and the driver adds up."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from cluscomp.distributed.search.groups import ask
from cluscomp.errors import UsageError
from cluscomp.indexes.filters.given import Given


@dataclass(frozen=True)
class SharedAllowed:
    """Rows of all shards that pass a filter, as `Allowed` tells of those of one index."""

    given: Given
    n: int
    n_unknown: int
    made: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, given: Given) -> SharedAllowed:
        """Ask all shards. Raises UsageError for a mask."""
        if given.mask is not None:
            raise UsageError(
                "a Mask has a value for each row in the order of the whole index, which no shard knows; pass "
                "ids or a condition"
            )
        answers = ask("passing", given)
        n_given = 0 if given.ids is None else given.ids.n_given
        unknown = sum(answer[1] for answer in answers) - (len(answers) - 1) * n_given
        return cls(given, sum(answer[0] for answer in answers), max(0, unknown))

    @property
    def together(self) -> SharedAllowed:
        """What searches of documents take for the segments in which all other rows are deleted."""
        return self

    @property
    def n_live(self) -> int:
        """Rows that pass."""
        return self.n

    @cached_property
    def lists(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows (nlist,) of each list that pass, and those that are not deleted."""
        answers = ask("lists_of_rows", self.given)
        rows, live = zip(*answers, strict=True)
        return np.sum(rows, axis=0), np.sum(live, axis=0)
