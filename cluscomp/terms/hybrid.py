"""Rows in two forms: vectors, and weighted terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.errors import DimensionError
from cluscomp.terms.forms import as_term_rows
from cluscomp.terms.rows import TermRows


@dataclass(frozen=True)
class HybridRows:
    """Documents or queries in two forms, as hybrid indexes take them.

    Args:
        vectors: (n, dim), NumPy, torch or memory map; with lengths those of all rows below each other.
        terms: n rows of weighted terms, in any form that a `SparseIndex` takes but texts.
        lengths: (n,) vectors of each row, where a row has several; else None.

    Attributes:
        options: arguments of a search by vectors that belong to the rows: lengths, where there are some.

    Raises:
        DimensionError: not as many rows of vectors as of terms.
        DTypeError, NonFiniteError, InputError, UsageError: the terms are wrong.
    """

    vectors: Any
    terms: Any
    lengths: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", as_term_rows(self.terms))
        n = len(self.vectors if self.lengths is None else self.lengths)
        if n != len(self.terms):
            raise DimensionError(f"there are {n} rows of vectors, but {len(self.terms)} of terms")

    def __len__(self) -> int:
        return len(self.terms)

    def __getitem__(self, kept: slice | Sequence[int] | np.ndarray) -> HybridRows:
        """Some of the rows."""
        if self.lengths is None:
            return HybridRows(self.vectors[kept], self.terms[kept])
        lengths = np.asarray(self.lengths, dtype=np.int64)
        chosen = np.arange(len(self))[kept]
        starts = np.cumsum(lengths) - lengths
        ends = np.cumsum(lengths[chosen])
        rows = np.arange(int(ends[-1]) if ends.size else 0)
        rows += np.repeat(starts[chosen] - (ends - lengths[chosen]), lengths[chosen])
        return HybridRows(self.vectors[rows], self.terms[kept], lengths[chosen])

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of a search by vectors that belong to the rows."""
        return {} if self.lengths is None else {"lengths": self.lengths}

    @classmethod
    def joined(cls, parts: Sequence[HybridRows]) -> HybridRows:
        """Put rows of several below each other.

        Args:
            parts: at least one, all with lengths or none.

        Returns:
            Their rows in order.
        """
        lengths = [part.lengths for part in parts if part.lengths is not None]
        return cls(
            np.concatenate([part.vectors for part in parts]),
            TermRows.joined([part.terms for part in parts]),
            np.concatenate(lengths) if lengths else None,
        )
