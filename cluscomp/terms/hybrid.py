"""Rows in two forms: vectors, and weighted terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.errors import DimensionError, DTypeError
from cluscomp.terms.forms import as_term_rows
from cluscomp.terms.rows import TermRows


@dataclass(frozen=True)
class HybridRows:
    """Documents or queries in two forms, as hybrid indexes take them.

    Args:
        vectors: (n, dim), NumPy, torch or memory map; with lengths those of all rows below each other.
        terms: n rows of weighted terms, in any form that a `SparseIndex` takes: texts too, which the index
            splits as it has split others (stems of words, where `train` meets the first).
        lengths: (n,) vectors of each row, where a row has several; else None.

    Attributes:
        are_texts: whether the terms are texts that are still to be split.
        options: arguments of a search by vectors that belong to the rows: lengths, where there are some.

    Raises:
        DimensionError: not as many rows of vectors as of terms.
        DTypeError, NonFiniteError, InputError, UsageError: the terms are wrong.
    """

    vectors: Any
    terms: Any
    lengths: Any = None

    def __post_init__(self) -> None:
        texts = _as_texts(self.terms)
        object.__setattr__(self, "terms", as_term_rows(self.terms) if texts is None else texts)
        n = len(self.vectors if self.lengths is None else self.lengths)
        if n != len(self.terms):
            what = "texts" if self.are_texts else "of terms"
            raise DimensionError(f"there are {n} rows of vectors, but {len(self.terms)} {what}")

    def __len__(self) -> int:
        return len(self.terms)

    def __getitem__(self, kept: slice | Sequence[int] | np.ndarray) -> HybridRows:
        """Some of the rows."""
        chosen = np.arange(len(self))[kept]
        terms = [self.terms[row] for row in chosen] if self.are_texts else self.terms[kept]
        if self.lengths is None:
            return HybridRows(self.vectors[kept], terms)
        lengths = np.asarray(self.lengths, dtype=np.int64)
        starts = np.cumsum(lengths) - lengths
        ends = np.cumsum(lengths[chosen])
        rows = np.arange(int(ends[-1]) if ends.size else 0)
        rows += np.repeat(starts[chosen] - (ends - lengths[chosen]), lengths[chosen])
        return HybridRows(self.vectors[rows], terms, lengths[chosen])

    @property
    def are_texts(self) -> bool:
        """Whether the terms are texts that are still to be split."""
        return isinstance(self.terms, list)

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of a search by vectors that belong to the rows."""
        return {} if self.lengths is None else {"lengths": self.lengths}

    @classmethod
    def joined(cls, parts: Sequence[HybridRows]) -> HybridRows:
        """Put rows of several below each other.

        Args:
            parts: at least one, all with lengths or none, and all with texts or none.

        Returns:
            Their rows in order.
        """
        lengths = [part.lengths for part in parts if part.lengths is not None]
        texts = [text for part in parts if part.are_texts for text in part.terms]
        return cls(
            np.concatenate([part.vectors for part in parts]),
            texts if parts[0].are_texts else TermRows.joined([part.terms for part in parts]),
            np.concatenate(lengths) if lengths else None,
        )


def _as_texts(terms: Any) -> list[str] | None:
    """Texts as a list; None for rows of terms. Raises DTypeError where only some are texts."""
    if not isinstance(terms, Sequence) or isinstance(terms, (str, bytes)) or not len(terms):
        return None
    if not isinstance(terms[0], str):
        return None
    wrong = next((row for row, text in enumerate(terms) if not isinstance(text, str)), None)
    if wrong is not None:
        raise DTypeError(f"row {wrong} is of type {type(terms[wrong]).__name__}, and the first is a text")
    return list(terms)
