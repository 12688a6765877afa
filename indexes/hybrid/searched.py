"""Search of a hybrid index: both sides, candidates of either scored by the other, one ranking."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, NoReturn, overload

import numpy as np

from cluscomp import checks
from cluscomp.errors import CorruptIndexError, DTypeError, IncompleteResultsWarning, UsageError
from cluscomp.fusion import DEPTH, RANK_CONSTANT, WEIGHT, Fusion
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.filters.filterable import UNSAID
from cluscomp.indexes.filters.info import SearchInfo
from cluscomp.indexes.filters.searching import Answer
from cluscomp.indexes.hybrid.pipeline import HybridPipeline
from cluscomp.indexes.hybrid.search import Candidates
from cluscomp.indexes.hybrid.segment import HybridSegment
from cluscomp.indexes.multivector.index import MultiVectorIndex
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.sparse.index import SparseIndex
from cluscomp.indexes.stages.hits import cut, padded
from cluscomp.indexes.uncopied import Uncopied
from cluscomp.indexes.vector_search import SearchedVectors
from cluscomp.terms.hybrid import HybridRows
from cluscomp.vocabulary import FusionMethod, KBeyond, Normalisation

EFFORT = {
    False: ("nprobe", "refine_factor", "max_nprobe"),
    True: ("nprobe", "refine_factor", "max_nprobe", "candidates", "candidates_by"),
}
"""Further arguments of a search by vectors, by whether documents are several of them."""
WORD_EFFORT = {False: (), True: ("query_cut", "heap_factor")}
"""Further arguments of a search by terms, by whether it is approximate."""


class Sides(NamedTuple):
    """Both sides of a hybrid index at one moment, as indexes of their own, which share its rows."""

    dense: SearchedVectors | MultiVectorIndex
    lexical: SparseIndex


class SearchedHybrid(Uncopied, StoredIndex[HybridSegment]):
    """Base of `HybridIndex`. _blank: its sides, without rows."""

    rows_are = "vectors and terms; `index.dense` has the vectors alone"

    pipeline: HybridPipeline
    _blank: Sides

    @property
    def dense(self) -> SearchedVectors | MultiVectorIndex:
        """The vectors alone, as an index over the same rows: to search, score and decode them.

        It holds the rows of this moment. Changes belong to the hybrid index; those of this one are lost.
        """
        return self._sides(self._together).dense

    @property
    def lexical(self) -> SparseIndex:
        """The terms alone, as `dense` has the vectors."""
        return self._sides(self._together).lexical

    @property
    def nprobe(self) -> int:
        """Lists that a search of the vectors visits until told otherwise. Saved."""
        return self._set_up(self._blank).dense.nprobe

    @nprobe.setter
    def nprobe(self, value: int) -> None:
        self._set_up(self._blank).dense.nprobe = value

    @property
    def weight(self) -> float:
        """Weight of the vectors, from 0 to 1, the terms having the rest; .5 until set. Saved."""
        return float(self.settings.get("weight", WEIGHT))

    @weight.setter
    def weight(self, value: float) -> None:
        self.settings["weight"] = checks.number("weight", value, low=0, high=1)

    @property
    def depth(self) -> int:
        """Documents of either side that take part in a search; 100 until set. Saved."""
        return int(self.settings.get("depth", DEPTH))

    @depth.setter
    def depth(self, value: int) -> None:
        self.settings["depth"] = checks.integer("depth", value, 1)

    def search_defaults(self) -> dict[str, Any]:
        """List the parameters of `search` that have an effect for this key.

        Returns:
            Parameter -> default.
        """
        sides = self._set_up(self._blank)
        words = sides.lexical.search_defaults() if self.spec.term_codec.approximate else {}
        effort = {**sides.dense.search_defaults(), **words}
        return {**effort, "weight": self.weight, "depth": self.depth}

    # ---- search ----

    @overload
    def search(
        self,
        queries: Any,
        k: int,
        *,
        weight: float | None = None,
        depth: int | None = None,
        method: FusionMethod = "cc",
        normalise: Normalisation = "minmax",
        c: float = RANK_CONSTANT,
        minima: tuple[float, float] | None = None,
        k_beyond: KBeyond = "fail",
        filter: Any = None,
        tenant: Any = UNSAID,
        return_info: Literal[False] = False,
        **effort: Any,
    ) -> tuple[np.ndarray, np.ndarray]: ...

    @overload
    def search(
        self,
        queries: Any,
        k: int,
        *,
        weight: float | None = None,
        depth: int | None = None,
        method: FusionMethod = "cc",
        normalise: Normalisation = "minmax",
        c: float = RANK_CONSTANT,
        minima: tuple[float, float] | None = None,
        k_beyond: KBeyond = "fail",
        filter: Any = None,
        tenant: Any = UNSAID,
        return_info: Literal[True],
        **effort: Any,
    ) -> tuple[np.ndarray, np.ndarray, SearchInfo]: ...

    def search(
        self,
        queries: Any,
        k: int,
        *,
        weight: float | None = None,
        depth: int | None = None,
        method: FusionMethod = "cc",
        normalise: Normalisation = "minmax",
        c: float = RANK_CONSTANT,
        minima: tuple[float, float] | None = None,
        k_beyond: KBeyond = "fail",
        filter: Any = None,
        tenant: Any = UNSAID,
        return_info: bool = False,
        **effort: Any,
    ) -> tuple[np.ndarray, np.ndarray] | tuple[np.ndarray, np.ndarray, SearchInfo]:
        """Find the k best documents for each query, by vectors and terms together.

        The `depth` best documents of either search are candidates, and each is scored by both sides: so a
        document that words find counts with its exact place among the vectors, also where the search has not
        visited its list. Both lists are then fused as `fuse_runs` does.

        Args:
            queries: `HybridRows`, such as the encoder of the index gives; texts in them are split as those of
                the index were.
            k: hits a query, at least 1; no more than 2 * depth are found.
            weight: of the vectors, from 0 to 1; the terms have the rest. None: `index.weight`.
            depth: documents of either side that take part. None: `index.depth`.
            method: "cc", convex combination of normalised scores, or "rrf", reciprocal ranks.
            normalise: of "cc", "minmax", "tmm" or "dbsf".
            c: of "rrf".
            minima: of "tmm": the least score by vectors, and by terms, such as (-1, 0).
            k_beyond: where k is above len(index): "fail", or "clip", which returns len(index) hits. Of no
                effect with a filter.
            filter: which documents may be found, as `Index.search` takes it; both sides keep to it.
            tenant: whose documents may be found, where the index has a tenant column; None: those of all.
            return_info: also return the `SearchInfo` of the search by vectors.
            **effort: further arguments of the search by vectors: nprobe, max_nprobe, refine_factor, and for
                documents of several vectors candidates and candidates_by; and of that by terms in clustered
                postings (Seismic): query_cut and heap_factor.

        Returns:
            Scores (nq, k) float32, best first, from 0 to 1 with "cc" and "minmax", and ids (nq, k), int64 or
            object array of str; equal scores are ordered by time of adding. Where fewer documents are found,
            the rest is -inf with id -1 (None for text ids), and an IncompleteResultsWarning says how many.
            With a filter there are at most as many columns as documents that pass, and no warning.

        Raises:
            UsageError: a parameter cannot be used, no tenant was said, or queries have texts and the index
                does not know how its own were split.
            NotTrainedError: the key has to learn first.
            DimensionError, DTypeError, NonFiniteError, TooLargeError, InputError: the queries are wrong.
        """
        queries = self._split(require_both(queries, "queries"))
        weight = self.weight if weight is None else checks.number("weight", weight, low=0, high=1)
        depth = self.depth if depth is None else depth
        rule = Fusion.of(
            2,
            method=method,
            weights=(weight, 1 - weight),
            depth=depth,
            c=c,
            normalise=normalise,
            minima=minima,
        )
        together = self._together
        k = self._checked_k(k, together.n_live, k_beyond if filter is None else "clip")
        known = EFFORT[self.spec.sums_tokens], WORD_EFFORT[self.spec.term_codec.approximate]
        _check_effort(effort, (*known[0], *known[1]), self.key)
        word_effort = {name: effort.pop(name) for name in known[1] if name in effort}
        common = {"k": rule.depth, "k_beyond": "clip", "filter": filter, "tenant": tenant}
        effort["wants_info"] = return_info
        candidates, info = self._candidates(self._sides(together), queries, common, effort, word_effort)
        hits = candidates.fused(rule, k)
        found = (hits.positions >= 0).sum(axis=1)
        if common["filter"] is None and tenant is UNSAID:
            hits = padded(hits, k)
            _warn_if_incomplete(found, k, rule.depth)
        else:
            hits = cut(hits, int(found.max(initial=0)))
        answer = Answer(together, hits, info)
        shown = hits.scores, answer.ids(self._id_kind)
        return shown if not return_info or answer.info is None else (*shown, answer.info)

    def score(self, queries: Any, ids: Any, **options: Any) -> NoReturn:
        """Refuse: a fused score depends on what else a search finds, so that a row alone has none.

        Args:
            queries: as `search` takes them.
            ids: of rows.
            options: those of `Index.score`.

        Raises:
            UsageError: always; the message says what can be asked instead.
        """
        raise UsageError(
            f"rows of the hybrid key {self.key!r} have no fused score by themselves, since scores are scaled "
            "by what else is found; call index.dense.score and index.lexical.score, or "
            "search(queries, k, filter=ids) for their ranking"
        )

    # ---- inside ----

    def _candidates(
        self,
        sides: Sides,
        queries: HybridRows,
        common: dict[str, Any],
        effort: dict[str, Any],
        word_effort: dict[str, Any],
    ) -> tuple[Candidates, SearchInfo | None]:
        """What either side finds, scored by both. common: arguments of both searches. effort: of the search
        by vectors, whose info comes back. word_effort: of that by terms.
        """
        dense: Any = sides.dense
        words = sides.lexical._asked(queries.terms)
        by_vectors = dense._found(queries.vectors, **common, **effort, **queries.options)
        by_words = sides.lexical._found_by_search(words, **common, **word_effort)
        found = Candidates.of(by_vectors.hits, by_words.hits).scored(
            lambda positions: dense._scores_at(queries.vectors, positions, **queries.options),
            lambda positions: sides.lexical._scores_at(words, positions),
        )
        return found, by_vectors.info

    def _split(self, rows: HybridRows, *, first: bool = False) -> HybridRows:
        """Rows with terms in the place of texts. first: the index may begin to split texts here."""
        if not rows.are_texts:
            return rows
        if not self.pipeline.words.counts_words:
            raise UsageError(
                f"rows have texts, but the key {self.key!r} does not count words; pass what a sparse model "
                "makes of them, or take a key with bm25"
            )
        from cluscomp.encoders.hybrid import described_sides
        from cluscomp.encoders.words import STEMMED_WORDS, WordEncoder, word_encoder

        vectors, words = (
            None if self._encoder is None else self._encoder.get(s) for s in ("vectors", "words")
        )
        if words is None and not first:
            raise UsageError(
                "rows have texts, but the terms of the index came ready, so that nothing says how texts "
                "become such terms; pass the terms"
            )
        encoder = WordEncoder(STEMMED_WORDS) if words is None else word_encoder(words)
        if words is None:
            self.encoder = described_sides(vectors, encoder.info.to_json())
        return HybridRows(rows.vectors, encoder.encode_documents(rows.terms), rows.lengths)

    def _load_settings(self, settings: dict[str, Any], where: str) -> None:
        super()._load_settings(settings, where)
        try:
            self.weight, self.depth = self.weight, self.depth
        except (UsageError, ValueError, TypeError, OverflowError) as exc:
            raise CorruptIndexError(f"{where}: the settings of the index are inconsistent ({exc})") from exc
        self.settings = dict(settings)
        copy.copy(self._blank.lexical)._load_settings(settings, where)  # finds what is wrong with its own

    def _sides(self, together: Together[HybridSegment]) -> Sides:
        """Both sides of the segments of one moment."""
        return together.made("sides", lambda: self._made_sides(together))

    def _made_sides(self, together: Together[HybridSegment]) -> Sides:
        dense, lexical = self._set_up(Sides(copy.copy(self._blank.dense), copy.copy(self._blank.lexical)))
        dense._together = Together(
            tuple(segment.dense for segment in together.segments), _before(together, "dense")
        )
        lexical._together = Together(
            tuple(segment.lexical for segment in together.segments), _before(together, "lexical")
        )
        return Sides(dense, lexical)

    def _set_up(self, sides: Sides) -> Sides:
        """Let sides be trained as this index is, and have its settings."""
        for side in sides:
            side._id_kind, side._next_id, side._schema = self._id_kind, self._next_id, self._schema
            side._bits = self._bits  # a condition is evaluated once for both
        sides.dense.pipeline, sides.lexical.pipeline = self.pipeline, self.pipeline.words
        sides.dense.settings = sides.lexical.settings = self.settings
        if self._encoder is not None:
            sides.dense._encoder = self._encoder.get("vectors")
            sides.lexical._encoder = self._encoder.get("words")
        return sides


def require_both(rows: Any, name: str) -> HybridRows:
    """Raise DTypeError unless rows are in both forms."""
    if not isinstance(rows, HybridRows):
        raise DTypeError(
            f"{name} are a {type(rows).__name__}, but a hybrid index needs vectors and terms of each: pass "
            "HybridRows(vectors, terms), or what its encoder gives"
        )
    return rows


def _before(together: Together[HybridSegment], side: str) -> Together[Any]:
    """What searches of a side keep while the segments change."""
    kept: Together[Any] = together.kept.setdefault(side, Together(()))
    return kept


def _check_effort(effort: Mapping[str, Any], known: tuple[str, ...], key: str) -> None:
    unknown = sorted(effort.keys() - set(known))
    if unknown:
        raise UsageError(
            f"{', '.join(unknown)}: no argument of a search with the key {key!r}; besides those of the "
            f"fusion there are {', '.join(known)}"
        )


def _warn_if_incomplete(found: np.ndarray, k: int, depth: int) -> None:
    short = found[found < k]
    if short.size:
        warnings.warn(
            f"{short.size} of {len(found)} queries found fewer than k={k} rows (fewest: {short.min()}), "
            f"because the {depth} best of each side take part, and visited lists may hold fewer; raise depth "
            "or nprobe, or ask for a smaller k",
            IncompleteResultsWarning,
            stacklevel=3,
        )
