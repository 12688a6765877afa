"""Two indexes of the same documents searched together: by vectors and by words, with one ranking of both.

The candidates are the best documents of either search, and each is scored by both indexes: so a document that
words find takes part with its exact place among the vectors, also where the search by vectors has not visited
its list. The lists of both are then fused by convex combination (fusion.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cluscomp import checks
from cluscomp.errors import DimensionError, DTypeError, IncompleteResultsWarning, UsageError
from cluscomp.eval.fusion import DEPTH, fuse_runs
from cluscomp.indexes.filters.filterable import UNSAID
from cluscomp.terms import TermRows

if TYPE_CHECKING:
    from cluscomp.indexes.index import Index
    from cluscomp.indexes.multivector.index import MultiVectorIndex
    from cluscomp.indexes.sparse.index import SparseIndex

BOTH = ("filter", "tenant")
"""Options of both searches."""


@dataclass(frozen=True)
class HybridQueries:
    """Queries in both forms. vectors: (n, dim), or with lengths (n,) the vectors of all queries below each
    other. terms: n rows.
    """

    vectors: Any
    terms: TermRows
    lengths: Any = None

    def __len__(self) -> int:
        return len(self.terms)

    def __getitem__(self, part: slice) -> HybridQueries:
        """Some consecutive queries."""
        start, stop, _ = part.indices(len(self))
        if self.lengths is None:
            return HybridQueries(self.vectors[start:stop], self.terms[start:stop])
        ends = np.concatenate([[0], np.cumsum(self.lengths)])
        rows = self.vectors[int(ends[start]) : int(ends[stop])]
        return HybridQueries(rows, self.terms[start:stop], self.lengths[start:stop])

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of a search by vectors that belong to the queries."""
        return {} if self.lengths is None else {"lengths": self.lengths}


class HybridIndex:
    """An index of vectors and one of words, of the same documents under the same ids.

    Args:
        vectors: an `Index` or a `MultiVectorIndex`.
        words: a `SparseIndex`.
        weight: of the vectors, from 0 to 1; the words have the rest.
        depth: documents of either search that take part.

    Raises:
        UsageError: words is no index of terms, or vectors is one; weight or depth is out of its range.
        DTypeError: the ids of one are integers, those of the other texts.
    """

    def __init__(
        self,
        vectors: Index | MultiVectorIndex,
        words: SparseIndex,
        *,
        weight: float = 0.5,
        depth: int = DEPTH,
    ) -> None:
        _check_pair(vectors, words)
        self.vectors, self.words = vectors, words
        self.weight = checks.number("weight", weight, low=0, high=1)
        self.depth = checks.integer("depth", depth, 1)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def code_bytes_per_document(self) -> float:
        """Mean bytes of the codes and postings of a document."""
        return self.vectors.code_bytes_per_document + self.words.code_bytes_per_document

    @property
    def has_texts(self) -> bool:
        """Whether one of the two stores titles and texts."""
        return self.vectors.has_texts or self.words.has_texts

    def get(self, ids: Any, *, vectors: bool = False, tenant: Any = UNSAID) -> list[Any]:
        """Rows by id as the index returns them that stores texts; of vectors, where both or neither do.

        Args:
            ids: that are in this index.
            vectors: whether to decode the rows.
            tenant: whose rows, as for `Index.get`.

        Returns:
            A `Record` for each id.

        Raises:
            InputError: an id is not in the index.
        """
        index = self.words if self.words.has_texts and not self.vectors.has_texts else self.vectors
        return list(index.get(ids, vectors=vectors, tenant=tenant))

    def nbytes(self) -> dict[str, int]:
        """Bytes of both folders, by index; "total" is their sum."""
        sizes = {"vectors": self.vectors.nbytes()["total"], "words": self.words.nbytes()["total"]}
        return sizes | {"total": sum(sizes.values())}

    def search(self, queries: HybridQueries, k: int, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        """Find the k best documents for each query.

        Args:
            queries: as many vectors as rows of terms.
            k: hits a query, at least 1.
            options: of the search by vectors, such as nprobe; filter and tenant mean both searches.

        Returns:
            Scores (nq, k) float32, from 0 to 1, best first, and ids (nq, k), int64 or object array of str.
            Equal scores are ordered as `rank_documents` does. Where fewer documents are found, the rest is
            -inf with id -1 (None for text ids).

        Raises:
            UsageError: k cannot be used.
            DimensionError, DTypeError, NonFiniteError, InputError: the queries are wrong.
        """
        k = checks.integer("k", k, 1)
        runs = self.runs(queries, **options)
        fused = fuse_runs(runs, weights=(self.weight, 1 - self.weight), depth=self.depth)
        return self._arrays([fused[str(number)] for number in range(len(queries))], k)

    def runs(self, queries: HybridQueries, **options: Any) -> list[dict[str, dict[str, float]]]:
        """What is fused: the documents of either search with their scores by vectors, and by words.

        Args:
            queries: as in `search`.
            options: of the search by vectors, such as nprobe.

        Returns:
            Two runs, whose queries are called "0", "1" and so on.
        """
        _check_queries(queries)
        depth: dict[str, Any] = {"k": self.depth, "k_beyond": "clip"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IncompleteResultsWarning)  # what words find fills the list
            dense = self.vectors.search(queries.vectors, **depth, **queries.options, **options)
        lexical = self.words.search(queries.terms, **depth, **{n: options[n] for n in BOTH if n in options})
        whose = {name: options[name] for name in ("tenant",) if name in options}
        runs: list[dict[str, dict[str, float]]] = [{}, {}]
        for number in range(len(queries)):
            one = queries[number : number + 1]
            found = [_hits(scores[number], ids[number]) for scores, ids in (dense, lexical)]
            for run, hits, scored in zip(runs, found, self._scored(one, found, whose), strict=True):
                run[str(number)] = {str(name): score for name, score in (hits | scored).items()}
        return runs

    def _scored(
        self, query: HybridQueries, found: Sequence[Mapping[Any, float]], whose: dict[str, Any]
    ) -> list[dict[Any, float]]:
        """Scores by each index of what only the other has found. whose: the tenant, if one is said."""
        options: dict[str, Any] = {"missing": "ignore", **whose}
        by_vectors = [name for name in found[1] if name not in found[0]]
        by_words = [name for name in found[0] if name not in found[1]]
        scores: list[dict[Any, float]] = [{}, {}]
        if by_vectors:
            row = self.vectors.score(query.vectors, by_vectors, **options, **query.options)[0]
            scores[0] = _hits(row, by_vectors)
        if by_words:
            row = self.words.score(query.terms, by_words, **options)[0]
            scores[1] = {name: score for name, score in _hits(row, by_words).items() if score > 0}
        return scores

    def _arrays(self, fused: Sequence[Mapping[str, float]], k: int) -> tuple[np.ndarray, np.ndarray]:
        as_text = self.vectors.id_kind == "str"
        scores = np.full((len(fused), k), -np.inf, dtype=np.float32)
        ids = (
            np.full(scores.shape, None, dtype=object)
            if as_text
            else np.full(scores.shape, -1, dtype=np.int64)
        )
        for row, hits in enumerate(fused):
            names = list(hits)[:k]
            scores[row, : len(names)] = [hits[name] for name in names]
            ids[row, : len(names)] = names if as_text else [int(name) for name in names]
        return scores, ids


def _hits(scores: np.ndarray, ids: Any) -> dict[Any, float]:
    """Ids and scores of what was found."""
    names = ids.tolist() if isinstance(ids, np.ndarray) else ids
    return {name: score for name, score in zip(names, scores.tolist(), strict=True) if score > -np.inf}


def _check_pair(vectors: Any, words: Any) -> None:
    from cluscomp.indexes.kind import kind_of

    for index, wanted, what in ((vectors, False, "vectors"), (words, True, "weighted terms")):
        if kind_of(index.spec).terms != wanted:
            raise UsageError(
                f"{index.key!r} is no index of {what}; pass the index of vectors, then that of words"
            )
    kinds = {index.id_kind for index in (vectors, words)} - {None}
    if len(kinds) > 1:
        raise DTypeError(
            f"the index of vectors has ids of kind {vectors.id_kind}, that of words {words.id_kind}; both "
            "must have the same documents under the same ids"
        )


def _check_queries(queries: HybridQueries) -> None:
    n = len(queries.vectors if queries.lengths is None else queries.lengths)
    if n != len(queries.terms):
        raise DimensionError(f"there are {n} queries by vectors, but {len(queries.terms)} by words")
