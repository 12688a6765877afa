"""The index of weighted terms: train, add, search, score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np

from cluscomp import checks
from cluscomp.indexes.filters.filterable import UNSAID
from cluscomp.indexes.filters.info import SearchInfo
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.segments.asked_ids import asked_positions
from cluscomp.indexes.segments.ids import IdColumn
from cluscomp.indexes.sparse.decoding import decoded_terms
from cluscomp.indexes.sparse.named_terms import NamedTerms
from cluscomp.indexes.sparse.pipeline import TermPipeline
from cluscomp.indexes.sparse.search import score_terms
from cluscomp.indexes.sparse.searched import SearchedTerms, exactly
from cluscomp.progress import Progress
from cluscomp.terms import TermRows
from cluscomp.vocabulary import MISSING, KBeyond, Missing

_SEARCHED = ("codes", "chunks", "blocks", "summaries")


class SparseIndex(SearchedTerms):
    """A searchable collection of weighted terms: words of texts by BM25, or learned sparse vectors.

    `index_factory` and `open_index` make one for the key "Sparse" and its settings. Rows and queries are a
    list of mappings {term: weight}, a sparse matrix (n, columns) of scipy or torch, or, with bm25 in the key,
    a list of texts, whose words are counted. A score is the sum over the terms of a query of its weight times
    that of the row; a row without any term of the query is no hit. Searches are exact. Threads may search at
    the same time, also while others change the index.

    With bm25, statistics of the words (documents, mean length, how many documents hold each word) are those
    that the index was trained with, also for rows that are added later, and a word that training has not seen
    counts as one that no document held. So no score depends on the order of changes; build the index again to
    renew the statistics.

    Args:
        spec: the parsed key.
        dim: means nothing to terms; 1.
        metric: "ip".
        seed: nothing is random.

    Attributes:
        key: canonical key.
        spec: the parsed key.
        dim: 1, or what was given.
        metric: "ip".
        seed: as given.
        settings: JSON values that are saved with the index.
    """

    rows_are = "weighted terms; `vectors(ids)` gives them as mappings {term: weight}"

    # ---- what it is ----

    @property
    def n_postings(self) -> int:
        """Terms of all rows together, deleted rows included."""
        return sum(segment.n_postings for segment in self._segments)

    @property
    def code_bytes_per_document(self) -> float:
        """Mean bytes of the postings of a row."""
        rows = sum(segment.n_rows for segment in self._segments)
        return sum(segment.code_bytes for segment in self._segments) / max(1, rows)

    def row_facts(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        """Say what the terms take, under "terms": those of deleted rows are stored, and count.

        Args:
            sizes: bytes by part.

        Returns:
            JSON values. bytes_per_posting: of all that a search reads, without the names of terms.
        """
        postings, rows = self.n_postings, sum(segment.n_rows for segment in self._segments)
        facts = {
            "postings": postings,
            "postings_per_document": round(postings / max(1, rows), 2),
            "bytes_per_posting": round(sum(sizes.get(part, 0) for part in _SEARCHED) / max(1, postings), 2),
        }
        return {"terms": facts}

    # ---- train, add ----

    def train(
        self, rows: Any, *, vocabulary: Sequence[str] | None = None, progress: Progress | None = None
    ) -> SparseIndex:
        """Take over the statistics of rows, where the key keeps some (bm25, bits=8); no row is added.

        Args:
            rows: all rows that the index shall begin with, in any form.
            vocabulary: the term of each column of a sparse matrix; None calls them "0", "1" and so on.
            progress: called as progress(stage, done, total) when done.

        Returns:
            The index.

        Raises:
            UsageError: the index holds rows already, or rows are texts and the key has no bm25.
            EmptyInputError: no row has a term.
            DimensionError, DTypeError, NonFiniteError, InputError: the rows are wrong.
        """
        self._require_empty()
        given = self._rows(rows, vocabulary)
        self.pipeline.learn(given)
        if progress is not None:
            progress(self.key, len(given), len(given))
        return self

    def add(
        self,
        rows: Any,
        ids: Any = None,
        *,
        vocabulary: Sequence[str] | None = None,
        attributes: Any = None,
        new_attributes: bool = False,
        documents: Any = None,
        progress: Progress | None = None,
    ) -> SparseIndex:
        """Add rows under permanent ids: all of them, or none if an error is raised.

        Args:
            rows: in any form.
            ids: one a row, as `Index.add` takes them.
            vocabulary: the term of each column of a sparse matrix.
            attributes: facts about the rows for filters, as `Index.add` takes them.
            new_attributes: whether there may be columns that the index does not have yet.
            documents: titles and texts, which `get` returns, one for each row: a text, (title, text), (id,
                title, text) or a mapping with these. Where ids are not given, those of the documents are
                taken.
            progress: called as progress(stage, done, total) when done.

        Returns:
            The index.

        Raises:
            NotTrainedError: the key has to learn first.
            DuplicateIdError: an id is there already.
            DimensionError, DTypeError, NonFiniteError, TooLargeError, InputError: the rows or ids are wrong.
            UsageError: rows are texts and the key has no bm25.

        Warns:
            SaturatedValuesWarning: weights are above those that bits=8 can hold.
        """
        self.pipeline.require_trained()
        given = self._rows(rows, vocabulary)
        with self._lock:
            column = self._new_ids(ids, len(given), documents)
            described = self._described(attributes, column, new_attributes, documents)
            self._append(self._encoded(given, progress)(column), described)
        return self

    def upsert(
        self,
        rows: Any,
        ids: Any,
        *,
        vocabulary: Sequence[str] | None = None,
        attributes: Any = None,
        new_attributes: bool = False,
        documents: Any = None,
        progress: Progress | None = None,
    ) -> int:
        """Add rows under permanent ids, in the place of those that have the ids now, in one step.

        Args:
            rows: in any form.
            ids: n integers (int64, not -1) or n texts, different from each other.
            vocabulary: the term of each column of a sparse matrix.
            attributes: of the new rows; those of the rows that they replace are gone.
            new_attributes: whether there may be columns that the index does not have yet.
            documents: titles and texts, as for `add`; those of the rows that they replace are gone.
            progress: called as progress(stage, done, total) when done.

        Returns:
            How many rows were replaced; the others are new.

        Raises:
            NotTrainedError: the key has to learn first.
            DuplicateIdError: an id is given twice.
            DimensionError, DTypeError, NonFiniteError, TooLargeError, InputError: the rows or ids are wrong.
            UsageError: rows are texts and the key has no bm25.
        """
        self.pipeline.require_trained()
        given = self._rows(rows, vocabulary)
        encoded = self._encoded(given, progress)
        return self._replace(ids, len(given), encoded, attributes, new_attributes, documents)

    # ---- search ----

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
        return_info: bool = False,
    ) -> tuple[np.ndarray, np.ndarray] | tuple[np.ndarray, np.ndarray, SearchInfo]:
        """Find the k best rows for each query.

        Args:
            queries: in any form, as rows are; terms that no row holds count as nothing.
            k: hits a query, at least 1.
            vocabulary: the term of each column of a sparse matrix.
            k_beyond: where k is above len(index): "fail", or "clip", which returns len(index) hits. Of no
                effect with a filter.
            filter: which rows may be found, as `Index.search` takes it; all that pass are scored.
            tenant: whose rows may be found, where the index has a tenant column; None: those of all.
            return_info: also return a `SearchInfo`.

        Returns:
            Scores (nq, k) float32, best first, and ids (nq, k), int64 or object array of str; equal scores
            are ordered by time of adding. With a filter there are at most as many columns as rows that pass.
            Where fewer than k rows hold a term of the query, the rest is -inf
            with id -1 (None for text ids).

        Raises:
            UsageError: k cannot be used, or queries are texts and the key has no bm25.
            NotTrainedError: the key has to learn first.
            DimensionError, DTypeError, NonFiniteError, InputError: the queries are wrong.
        """
        return self._search(queries, k, vocabulary, k_beyond, filter, tenant, return_info, exactly)

    def score(
        self,
        queries: Any,
        ids: Any,
        *,
        vocabulary: Sequence[str] | None = None,
        missing: Missing = "fail",
        tenant: Any = UNSAID,
    ) -> np.ndarray:
        """Score rows by id, each as a search would; 0 where a row holds no term of the query.

        Args:
            queries: in any form, as rows are.
            ids: m ids for all queries, or (nq, m), m for each query; those of one query are different from
                each other.
            vocabulary: the term of each column of a sparse matrix.
            missing: "fail" where an id is not in the index, or "ignore" it: its score is -inf.
            tenant: whose rows, as for `get`.

        Returns:
            Scores (nq, m) float32, equal bits to those of a search.

        Raises:
            InputError: an id is not in the index.
            DuplicateIdError: an id is given twice for one query.
            UnknownKeyError: missing is unknown.
            NotTrainedError: the key has to learn first.
            DimensionError, DTypeError, NonFiniteError, UsageError: the queries or ids are wrong, or no tenant
                was said.
        """
        checks.one_of("missing", missing, MISSING)
        self.pipeline.require_trained()
        segments = self.segments_of(tenant)
        asked = self._asked(queries, vocabulary)
        positions = asked_positions(segments, self._id_kind, ids, len(asked), missing)
        return score_terms(segments, asked, positions)

    def _scores_at(self, queries: Any, positions: np.ndarray) -> np.ndarray:
        """`score` of rows by position (nq, m); -inf for -1."""
        return score_terms(self._together.segments, self._asked(queries), positions)

    def terms(self, ids: Any, *, tenant: Any = UNSAID) -> list[dict[str, float]]:
        """Return what rows are stored as: their terms, with weights that make a search's scores.

        Reads all postings once.

        Args:
            ids: of rows, different from each other.
            tenant: whose rows, as for `get`.

        Returns:
            A mapping for each row. The sum over the terms of a query of its weight (with bm25: how often it
            has the word) times that of the row is the score of a search, up to rounding.

        Raises:
            InputError: an id is not in the index.
            DuplicateIdError: an id is given twice.
            DTypeError: ids are not of the kind that the index has.
            UsageError: no tenant was said.
        """
        segments = self.segments_of(tenant)
        return self._vectors_at(segments, self._positions(segments, ids))

    def _vectors_at(self, segments: tuple[NamedTerms, ...], positions: np.ndarray) -> list[dict[str, float]]:
        return decoded_terms(self.pipeline, segments, positions)

    # ---- inside ----

    def _encoded(self, rows: TermRows, progress: Progress | None) -> Callable[[IdColumn], NamedTerms]:
        """What makes the segment of ids."""
        kind: type[NamedTerms] = kind_of(self.spec).segment  # type: ignore[assignment]

        def encoded(ids: IdColumn) -> NamedTerms:
            segment = kind.encoded(self.pipeline, self.pipeline.numbered(rows), ids)
            if progress is not None:
                progress("codes", len(rows), len(rows))
            return segment

        return encoded


def term_pipeline(spec: IndexSpec, dim: int, metric: str, seed: int) -> TermPipeline:
    """What is trained of an index of terms."""
    return TermPipeline(spec, dim, metric, seed)
