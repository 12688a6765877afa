"""The index of documents in two forms, vectors and weighted terms: train, add."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from cluscomp.indexes.filters.filterable import UNSAID
from cluscomp.indexes.hybrid.searched import SearchedHybrid, Sides, require_both
from cluscomp.indexes.hybrid.segment import HybridSegment
from cluscomp.indexes.keys.hybrid import HybridSpec
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.segments.ids import IdColumn
from cluscomp.progress import Progress
from cluscomp.terms.hybrid import HybridRows


class HybridIndex(SearchedHybrid):
    """A searchable collection of documents, each as a vector (or several) and as weighted terms.

    `index_factory` and `open_index` make one for a key of two parts with + between them, such as
    "OPQ48,PQ48+Sparse(bm25,bits=8)". Rows and queries are `HybridRows`: vectors as the first part takes them,
    and terms as the second does; the encoder that `build_index` gives such an index makes both of a text.
    Both forms of a document have one id, are added, replaced and deleted together, and lie in one folder,
    whose every generation holds both. Threads may search at the same time, also while others change the
    index.

    Args:
        spec: the parsed key.
        dim: of the vectors.
        metric: of the vectors: "ip", "l2" or "cosine".
        seed: of all random choices of training.

    Attributes:
        key: canonical key.
        spec: the parsed key.
        dim: of the vectors.
        metric: of the vectors.
        seed: of training.
        settings: JSON values that are saved with the index, such as weight and nprobe.
    """

    def __init__(self, spec: IndexSpec, dim: int, metric: str = "ip", *, seed: int = 0) -> None:
        assert isinstance(spec, HybridSpec)
        dense = kind_of(spec.dense).index(spec.dense, dim, metric, seed=seed)
        fitted = {field.name: getattr(dense.spec, field.name) for field in fields(IndexSpec)}
        super().__init__(replace(spec, **fitted), dim, metric, seed=seed)
        if self.spec != spec:
            self.settings["asked_key"] = str(spec)
        self._blank = Sides(dense, kind_of(spec.terms).index(spec.terms, 1))

    # ---- what it is ----

    @property
    def code_bytes_per_document(self) -> float:
        """Mean bytes of the codes and postings of a document."""
        return self.dense.code_bytes_per_document + self.lexical.code_bytes_per_document

    def row_facts(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        """Say what vectors and terms take, as indexes of one of them do, and code bytes of each.

        Args:
            sizes: bytes by part.

        Returns:
            JSON values.
        """
        as_terms = {**sizes, "codes": sizes["postings"]}
        return {
            **self.dense.row_facts(sizes),
            **self.lexical.row_facts(as_terms),
            "dense_code_bytes_per_document": round(self.dense.code_bytes_per_document, 2),
            "lexical_code_bytes_per_document": round(self.lexical.code_bytes_per_document, 2),
        }

    # ---- train, add ----

    def train(self, rows: Any, *, progress: Progress | None = None) -> HybridIndex:
        """Learn what either side learns: rotation, lists and codebooks, and statistics of words.

        Args:
            rows: `HybridRows`, all that the index shall begin with. Texts among them are split into stems of
                words, unless `encoder` says otherwise, and so are later ones.
            progress: called as progress(stage, done, total).

        Returns:
            The index.

        Raises:
            UsageError: the index holds rows already, or rows have texts and the key no bm25.
            EmptyInputError: no row has a term.
            TooFewRowsError: fewer vectors than the key has centroids.
            DimensionError, DTypeError, NonFiniteError, TooLargeError, InputError: the rows are wrong.
        """
        self._require_empty()
        rows = self._split(require_both(rows, "rows"), first=True)
        dense: Any = self._set_up(self._blank).dense
        dense.train(rows.vectors, **rows.options, progress=progress)
        self._training = dense.training
        self.lexical.train(rows.terms, progress=progress)
        return self

    def add(
        self,
        rows: Any,
        ids: Any = None,
        *,
        attributes: Any = None,
        new_attributes: bool = False,
        documents: Any = None,
        progress: Progress | None = None,
    ) -> HybridIndex:
        """Add documents in both forms under permanent ids: all of them, or none if an error is raised.

        Args:
            rows: `HybridRows` of n documents.
            ids: one a document, as `Index.add` takes them.
            attributes: facts about the documents for filters, as `Index.add` takes them.
            new_attributes: whether there may be columns that the index does not have yet.
            documents: titles and texts, as `Index.add` takes them.
            progress: called as progress(stage, done, total).

        Returns:
            The index.

        Raises:
            NotTrainedError: the key has to learn first.
            DuplicateIdError: an id is there already.
            UsageError: rows have texts, and the index does not know how its own were split.
            DimensionError, DTypeError, NonFiniteError, TooLargeError, InputError: the rows or ids are wrong.

        Warns:
            SaturatedValuesWarning: weights of terms are above those that bits=8 can hold.
        """
        self.pipeline.require_trained()
        rows = self._split(require_both(rows, "rows"))
        with self._lock:
            column = self._new_ids(ids, len(rows), documents)
            described = self._described(attributes, column, new_attributes, documents)
            self._append(self._encoded(rows, progress)(column), described)
        return self

    def upsert(
        self,
        rows: Any,
        ids: Any,
        *,
        attributes: Any = None,
        new_attributes: bool = False,
        documents: Any = None,
        progress: Progress | None = None,
    ) -> int:
        """Add documents under permanent ids, in the place of those that have the ids now, in one step.

        Args:
            rows: `HybridRows` of n documents.
            ids: n integers (int64, not -1) or n texts, different from each other.
            attributes: of the new documents; those of the documents that they replace are gone.
            new_attributes: whether there may be columns that the index does not have yet.
            documents: titles and texts; those of the documents that they replace are gone.
            progress: called as progress(stage, done, total).

        Returns:
            How many documents were replaced; the others are new.

        Raises:
            NotTrainedError: the key has to learn first.
            DuplicateIdError: an id is given twice.
            UsageError: rows have texts, and the index does not know how its own were split.
            DimensionError, DTypeError, NonFiniteError, TooLargeError, InputError: the rows or ids are wrong.
        """
        self.pipeline.require_trained()
        rows = self._split(require_both(rows, "rows"))
        encoded = self._encoded(rows, progress)
        return self._replace(ids, len(rows), encoded, attributes, new_attributes, documents)

    # ---- single documents ----

    def vectors(self, ids: Any, *, tenant: Any = UNSAID) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return what the codes of documents stand for, as the index of vectors does (`dense`).

        Args:
            ids: of documents, different from each other.
            tenant: whose documents, as for `get`.

        Returns:
            As `Index.vectors` or `MultiVectorIndex.vectors`.

        Raises:
            InputError: an id is not in the index.
            DuplicateIdError: an id is given twice.
            UsageError: the key has a transform without a way back and no rerank.
        """
        dense: Any = self.dense
        found: np.ndarray | tuple[np.ndarray, np.ndarray] = dense.vectors(ids, tenant=tenant)
        return found

    def terms(self, ids: Any, *, tenant: Any = UNSAID) -> list[dict[str, float]]:
        """Return the terms of documents with their weights, as `SparseIndex.terms` does.

        Args:
            ids: of documents, different from each other.
            tenant: whose documents, as for `get`.

        Returns:
            A mapping for each document.

        Raises:
            InputError: an id is not in the index.
            DuplicateIdError: an id is given twice.
        """
        return self.lexical.terms(ids, tenant=tenant)

    def _vectors_at(self, segments: tuple[HybridSegment, ...], positions: np.ndarray) -> Any:
        dense: Any = self._blank.dense
        dense.pipeline = self.pipeline
        return dense._vectors_at(tuple(segment.dense for segment in segments), positions)

    # ---- inside ----

    def _encoded(self, rows: HybridRows, progress: Progress | None) -> Callable[[IdColumn], HybridSegment]:
        """What makes the segment of ids."""
        dense: Any = self.dense
        words: Callable[[IdColumn], Any] = self.lexical._encoded(rows.terms, progress)

        def encoded(ids: IdColumn) -> HybridSegment:
            given = dense._given(rows.vectors, **rows.options)
            return HybridSegment.of(dense._encoded(given, ids, progress), words(ids))

        return encoded

    def _new_vectors(self, new: Any, lengths: Any) -> np.ndarray:
        dense: Any = self.dense
        found: np.ndarray = dense._new_vectors(new, lengths)
        return found

    def _searched(self) -> Any:
        """What is probed are the vectors."""
        return self.dense
