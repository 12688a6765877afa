"""The index of weighted terms in clustered postings: approximate searches that open few blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np

from cluscomp import checks
from cluscomp.errors import CorruptIndexError, UsageError
from cluscomp.indexes.filters.filterable import UNSAID
from cluscomp.indexes.filters.info import SearchInfo
from cluscomp.indexes.sparse.clustered_segment import ClusteredSegment
from cluscomp.indexes.sparse.index import SparseIndex
from cluscomp.indexes.sparse.search import Terms
from cluscomp.indexes.sparse.searched import DIRECT, LISTS, Way
from cluscomp.vocabulary import KBeyond

DEFAULT_QUERY_CUT, DEFAULT_HEAP_FACTOR = 10, 0.9
DIRECT_ROWS = 10_000
"""Rows that pass a filter up to which all of them are scored: so many cost about a millisecond."""


class SeismicIndex(SparseIndex):
    """Weighted terms in clustered postings (Seismic), searched approximately.

    `index_factory` and `open_index` make one for the key "Seismic" and its settings; all else is as in
    `SparseIndex`, and a score has the bits that it has there. A search looks at the blocks of the query's
    largest terms, opens those whose summaries promise most, and scores their rows exactly; with
    summary_energy=1 and n_postings=0 in the key, and query_cut=0 and heap_factor of at most 1, it is exact.

    Source: Bruch, Nardini, Rulli, Venturini, "Efficient inverted indexes for approximate retrieval over
    learned sparse representations", SIGIR 2024 (arXiv 2404.18812).

    Args:
        spec: the parsed key.
        dim: means nothing to terms; 1.
        metric: "ip".
        seed: of the choice of the rows around which blocks form.

    Attributes:
        key: canonical key.
        spec: the parsed key.
        dim: 1, or what was given.
        metric: "ip".
        seed: as given.
        settings: JSON values that are saved with the index, such as query_cut and heap_factor.
    """

    @property
    def query_cut(self) -> int:
        """Terms of a query whose blocks a search looks at by default, 0 for all; 10 until set. Saved."""
        return int(self.settings.get("query_cut", DEFAULT_QUERY_CUT))

    @query_cut.setter
    def query_cut(self, value: int) -> None:
        self.settings["query_cut"] = checks.integer("query_cut", value, 0)

    @property
    def heap_factor(self) -> float:
        """What a block must promise, in parts of the k-th score, to be opened; 0.9 until set. Saved."""
        return float(self.settings.get("heap_factor", DEFAULT_HEAP_FACTOR))

    @heap_factor.setter
    def heap_factor(self, value: float) -> None:
        self.settings["heap_factor"] = checks.number("heap_factor", value, low=0)

    def search_defaults(self) -> dict[str, float]:
        """List the parameters of `search` that have an effect for this key.

        Returns:
            Parameter -> default.
        """
        return {"query_cut": self.query_cut, "heap_factor": self.heap_factor}

    @overload
    def search(
        self,
        queries: Any,
        k: int,
        *,
        vocabulary: Sequence[str] | None = None,
        k_beyond: KBeyond = "fail",
        filter: Any = None,
        tenant: Any = UNSAID,
        query_cut: int | None = None,
        heap_factor: float | None = None,
        return_info: Literal[False] = False,
    ) -> tuple[np.ndarray, np.ndarray]: ...

    @overload
    def search(
        self,
        queries: Any,
        k: int,
        *,
        vocabulary: Sequence[str] | None = None,
        k_beyond: KBeyond = "fail",
        filter: Any = None,
        tenant: Any = UNSAID,
        query_cut: int | None = None,
        heap_factor: float | None = None,
        return_info: Literal[True],
    ) -> tuple[np.ndarray, np.ndarray, SearchInfo]: ...

    def search(
        self,
        queries: Any,
        k: int,
        *,
        vocabulary: Sequence[str] | None = None,
        k_beyond: KBeyond = "fail",
        filter: Any = None,
        tenant: Any = UNSAID,
        query_cut: int | None = None,
        heap_factor: float | None = None,
        return_info: bool = False,
    ) -> tuple[np.ndarray, np.ndarray] | tuple[np.ndarray, np.ndarray, SearchInfo]:
        """Find about the k best rows for each query.

        Args:
            queries: in any form, as rows are; terms that no row holds count as nothing.
            k: hits a query, at least 1.
            vocabulary: the term of each column of a sparse matrix.
            k_beyond: where k is above len(index): "fail", or "clip", which returns len(index) hits. Of no
                effect with a filter.
            filter: which rows may be found, as `Index.search` takes it; where not all pass, and at most
                10 000, these are all scored.
            tenant: whose rows may be found, where the index has a tenant column; None: those of all.
            query_cut: how many of the largest terms of a query lead to blocks; all of them count in scores.
                0: all. None: `index.query_cut`. More is slower and finds more.
            heap_factor: a block is left out once k rows are found and its summary promises less than this
                part of the k-th score. Less is slower and finds more. None: `index.heap_factor`.
            return_info: also return a `SearchInfo`, whose `rows_scored` are those of opened blocks.

        Returns:
            Scores (nq, k) float32, best first, and ids (nq, k), as `SparseIndex.search` returns them. Where
            fewer than k rows are found, the rest is -inf with id -1 (None for text ids).

        Raises:
            UsageError: k, query_cut or heap_factor cannot be used, or queries are texts and the key has no
                bm25.
            NotTrainedError: the key has to learn first.
            DimensionError, DTypeError, NonFiniteError, InputError: the queries are wrong.
        """
        cut = self.query_cut if query_cut is None else checks.integer("query_cut", query_cut, 0)
        factor = self.heap_factor if heap_factor is None else checks.number("heap_factor", heap_factor, low=0)

        def finder(n_passing: int | None) -> Way:
            every = n_passing is not None and n_passing <= DIRECT_ROWS
            counts: list[np.ndarray] = []

            def find(segment: ClusteredSegment, terms: Terms, most: int) -> tuple[np.ndarray, np.ndarray]:
                scores, positions, scored = segment.native.search(
                    *terms, most, cut, factor, every, segment.skip_bits
                )
                counts.append(scored)
                return scores, positions

            return Way(find, DIRECT if every else LISTS, lambda: np.add.reduce(counts))

        return self._search(queries, k, vocabulary, k_beyond, filter, tenant, return_info, finder)

    def row_facts(self, sizes: Any) -> dict[str, Any]:
        """Say what the terms and their blocks take, under "terms".

        Args:
            sizes: bytes by part.

        Returns:
            JSON values. bytes_per_posting: of all that a search reads, without the names of terms.
        """
        facts = super().row_facts(sizes)
        blocks = sum(segment.n_blocks for segment in self._segments)
        return {"terms": facts["terms"] | {"blocks": blocks}}

    def _load_settings(self, settings: dict[str, Any], where: str) -> None:
        super()._load_settings(settings, where)
        try:
            self.query_cut, self.heap_factor = self.query_cut, self.heap_factor
        except (UsageError, ValueError, TypeError, OverflowError) as exc:
            raise CorruptIndexError(f"{where}: the settings of the index are inconsistent ({exc})") from exc
        self.settings = dict(settings)
