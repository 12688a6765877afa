"""What an index of terms learns, and numbers of terms: those of training first, then those of a segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from cluscomp.errors import EmptyInputError
from cluscomp.indexes.segments.ids import TextIds
from cluscomp.indexes.sparse.known_names import KnownNames
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.terms import TermRows

if TYPE_CHECKING:
    from cluscomp.indexes.stages.term_codec import TermCodec

NO_NAMES = TextIds.from_texts([])
_NONE_KNOWN = KnownNames(NO_NAMES)


@dataclass(frozen=True)
class NumberedRows:
    """Rows whose terms have numbers. extra: names of the terms that training has not seen, ascending; their
    numbers follow those of training. lists: (N,) int64 number of each term.
    """

    rows: TermRows
    lists: np.ndarray
    extra: TextIds


class TermPipeline(Pipeline):
    """The stages of an index of terms: its codec alone."""

    _names: tuple[object, KnownNames] | None = None

    @property
    def terms(self) -> TermCodec:
        """The codec."""
        return cast("TermCodec", self.codec)

    @property
    def counts_words(self) -> bool:
        """Whether weights are counts of words, so that rows may be texts."""
        return self.terms.spec.bm25

    @property
    def known(self) -> KnownNames:
        """Names of the terms of training; none where the key keeps none."""
        arrays = self.codec.parameters()
        if "terms" not in arrays:
            return _NONE_KNOWN
        if self._names is None or self._names[0] is not arrays["terms"]:
            self._names = arrays["terms"], KnownNames(term_names(arrays["terms"], arrays["term_offsets"]))
        return self._names[1]

    @property
    def names(self) -> TextIds:
        """`known`, by number."""
        return self.known.names

    def learn(self, rows: TermRows) -> None:
        """Take over what the key keeps of rows: statistics of words, or the largest weight."""
        codec = self.terms
        if not codec.needs_training:
            return
        if not len(rows.numbers):
            raise EmptyInputError(
                f"{len(rows)} rows to train {self.spec} have no terms at all; give rows that have some"
            )
        if not codec.spec.bm25:
            codec.learn_scale(float(rows.weights.max()))
            return
        numbers, names = sorted_names(rows)
        counts = np.bincount(numbers, minlength=len(names))
        table = TextIds.from_texts(names)
        codec.learn_words(table.blob, table.offsets, counts, (len(rows), round(float(rows.totals.sum()))))

    def numbered(self, rows: TermRows) -> NumberedRows:
        """Numbers of terms that are to be stored."""
        numbers, names = sorted_names(rows)
        lists, extra = self.numbered_names(names)
        return NumberedRows(rows, lists[numbers], extra)

    def numbered_names(self, names: Sequence[str]) -> tuple[np.ndarray, TextIds]:
        """Numbers (n,) int64 of names that are to be stored, and the names that training has not seen, whose
        numbers follow in the order given.
        """
        numbers = self.names.find(TextIds.from_texts(names))
        unseen = np.flatnonzero(numbers < 0)
        numbers[unseen] = self.terms.n_terms + np.arange(len(unseen))
        return numbers, TextIds.from_texts([names[i] for i in unseen.tolist()])


def sorted_names(rows: TermRows) -> tuple[np.ndarray, list[str]]:
    """Numbers (N,) int64 of the terms of rows among those that occur, and the names of these, ascending."""
    used, numbers = np.unique(rows.numbers, return_inverse=True)
    names = [rows.names[i] for i in used.tolist()]
    order = sorted(range(len(names)), key=names.__getitem__)
    place = np.empty(len(names), dtype=np.int64)
    place[order] = np.arange(len(names))
    return place[numbers], [names[i] for i in order]


def term_names(terms: np.ndarray, offsets: np.ndarray) -> TextIds:
    """Names that are stored as UTF-8 bytes end to end."""
    return TextIds(terms, offsets.astype(np.int64))
