"""The index of documents that are several vectors each: train, add, search."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.checks import one_of
from cluscomp.errors import SubsampleWarning, UsageError
from cluscomp.indexes.filters.filterable import UNSAID
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.multivector.candidates import score_positions, vectors_at
from cluscomp.indexes.multivector.pooling import fitted_spec, learn_pool, pool_of, pooled, query_directions
from cluscomp.indexes.multivector.queries import ragged_of_dim, require_query_vectors
from cluscomp.indexes.multivector.searched import DEFAULT_CANDIDATES, SearchedDocuments
from cluscomp.indexes.multivector.segment import (
    DocumentSegment,
    encode_documents,
    require_finite_documents,
)
from cluscomp.indexes.segments.asked_ids import asked_positions
from cluscomp.indexes.segments.ids import IdColumn, RangeIds
from cluscomp.indexes.segments.segment import list_sizes
from cluscomp.indexes.stages.kernel_codec import kernel_codec
from cluscomp.indexes.uncopied import Uncopied
from cluscomp.multivector import Ragged
from cluscomp.progress import Progress, as_stage
from cluscomp.vocabulary import MISSING, Missing

__all__ = ["DEFAULT_CANDIDATES", "MultiVectorIndex"]
TRAINED_PARTS = ("pool", "centroids", "codebooks", "rotation")


class MultiVectorIndex(Uncopied, SearchedDocuments):
    """A searchable, compressed collection of documents, each of several vectors, under permanent ids.

    `index_factory` and `open_index` make one for keys that begin with a pool, such as "Pool16,IVF1024,PQ96".
    Documents and queries are ragged: x (N, d) with the vectors of all documents below each other and lengths
    (n,), the number of vectors of each; or without lengths a list of (n_i, d) arrays, or one array (n,
    vectors, d). A score is MaxSim: the sum over the vectors of a query of the largest inner product (metric
    "ip") or cosine with any vector of the document. Threads may search at the same time, also while others
    change the index: changes (`add`, `upsert`, `delete`, `compact`, `save`) wait for each other.

    Args:
        spec: the parsed key.
        dim: of vectors.
        metric: "ip" or "cosine".
        seed: of all random choices of training.

    Attributes:
        key: canonical key.
        spec: the parsed key.
        pool: the pool of the key.
        dim: of vectors.
        metric: "ip" or "cosine".
        seed: of training.
        settings: JSON values that are saved with the index, such as nprobe and candidates.

    Raises:
        UsageError: the metric is "l2".
    """

    rows_are = (
        "documents of several vectors; `convert --to npy` and `vectors(ids)` give the vectors, which an "
        "index of single vectors may hold"
    )

    def __init__(self, spec: IndexSpec, dim: int, metric: str = "ip", *, seed: int = 0) -> None:
        if checks.metric(metric) == "l2":
            raise UsageError(
                f"index key {str(spec)!r}: documents of several vectors are compared by MaxSim, the sum of "
                "largest inner products; valid metrics are 'ip' and 'cosine'"
            )
        super().__init__(fitted_spec(spec, dim), dim, metric, seed=seed)
        for codec in (self.pipeline.codec, self.pipeline.refine):
            if codec is not None:
                kernel_codec(codec)
        if self.spec != spec:
            self.settings["asked_key"] = str(spec)
        self.pool = pool_of(self.spec)

    # ---- what it is ----

    @property
    def n_vectors(self) -> int:
        """Vectors stored, those of deleted documents included."""
        return sum(segment.n_vectors for segment in self._segments)

    @property
    def code_bytes_per_document(self) -> float:
        """Mean bytes of the codes of a document."""
        documents = sum(segment.n_rows for segment in self._segments)
        return self.n_vectors * self.code_size / max(1, documents)

    def row_facts(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        """Say what the documents take, under "vectors": deleted ones are stored, and count.

        Args:
            sizes: bytes by part.

        Returns:
            JSON values. stored_bytes_per_document: codes with list numbers, offsets and ids. trained_bytes:
            rotation, centroids and codebooks, whose size does not depend on the number of documents.
        """
        n = max(1, sum(segment.n_rows for segment in self._segments))
        stored = sum(sizes[part] for part in (*DocumentSegment.parts.values(), "ids", "tombstones"))
        facts = {
            "n_vectors": self.n_vectors,
            "vectors_per_document": round(self.n_vectors / n, 2),
            "stored_bytes_per_document": round(stored / n, 2),
            "trained_bytes": sum(sizes.get(part, 0) for part in TRAINED_PARTS),
        }
        return {"vectors": facts}

    def search_defaults(self) -> dict[str, float]:
        """List the parameters of `search` that have an effect for this key.

        Returns:
            Parameter -> default.
        """
        defaults = super().search_defaults()
        return defaults if self.spec.partition is None else {**defaults, "candidates": self.candidates}

    # ---- train, add ----

    def train(
        self, x: Any, *, lengths: Any = None, pool_sample: Any = None, progress: Progress | None = None
    ) -> MultiVectorIndex:
        """Learn rotation, lists and codebooks from the token vectors of documents; none is added.

        Documents are pooled first; where more vectors result than training looks at (256 a list, at least
        65536), a random sample of documents is used and a SubsampleWarning is issued.

        Args:
            x: token vectors of documents, ragged.
            lengths: (n,) vectors of each document, or None.
            pool_sample: for pools that are fitted to MaxSim: vectors (n, d) of likely queries, an array or a
                path; pooled documents are to keep their largest inner products with 2000 of these. None: with
                2000 of the documents' own tokens.
            progress: called as progress(stage, done, total); stage is the part of the key that learns.

        Returns:
            The index.

        Raises:
            TooFewRowsError: fewer vectors than the key has centroids.
            UsageError: the index holds documents already, or pool_sample is given for another pool.
            DimensionError, DTypeError, NonFiniteError, TooLargeError: the vectors are wrong.
        """
        self._require_empty()
        directions = query_directions(pool_sample, self.spec, self.dim, self.seed)
        documents = ragged_of_dim(x, lengths, self.dim, "vectors", largest=None)
        sample = self._sample(documents)
        if self.pipeline.needs_training and len(sample) < len(documents):
            warnings.warn(
                f"the index trains on {len(sample)} of {len(documents)} documents, drawn at random",
                SubsampleWarning,
                stacklevel=2,
            )
        require_finite_documents(sample, RangeIds(0, len(sample)), self.pipeline.largest)
        learn_pool(self.pipeline, sample, directions)
        kept = self.pool_documents(sample, as_stage(progress, str(self.pool)))
        self.train_vectors(kept.rows, progress, n_rows=len(documents))
        return self

    def pool_documents(self, documents: Ragged, progress: Progress | None = None) -> Ragged:
        """Pool token vectors into those that would be stored.

        Args:
            documents: ragged, finite, of kernel dtype.
            progress: called as progress(stage, done, total) in documents.

        Returns:
            The vectors that would be stored, ragged.
        """
        return pooled(self.pipeline, documents, progress)

    def add(
        self,
        x: Any,
        ids: Any = None,
        *,
        lengths: Any = None,
        attributes: Any = None,
        new_attributes: bool = False,
        documents: Any = None,
        progress: Progress | None = None,
    ) -> MultiVectorIndex:
        """Pool and store documents under permanent ids: all of them, or none if an error is raised.

        Args:
            x: token vectors of documents, ragged. They are read in blocks, so x may be a memory map.
            ids: one a document, as `Index.add` takes them.
            lengths: (n,) vectors of each document, or None.
            attributes: facts about the documents for filters, as `Index.add` takes them.
            new_attributes: whether there may be columns that the index does not have yet.
            documents: titles and texts, which `get` returns, one for each row: a text, (title, text), (id,
                title, text) or a mapping with these. Where ids are not given, those of the documents are
                taken.
            progress: called as progress(stage, done, total): documents pooled under the name of the pool,
                then "codes" for vectors.

        Returns:
            The index.

        Raises:
            NotTrainedError: the key has to learn first.
            DuplicateIdError: an id is there already.
            InputError: a document has no vectors; the message names the id.
            DimensionError, DTypeError, NonFiniteError, TooLargeError: the vectors, lengths or ids are wrong.
        """
        self.pipeline.require_trained()
        given = self._given(x, lengths=lengths)
        with self._lock:
            column = self._new_ids(ids, len(given), documents)
            described = self._described(attributes, column, new_attributes, documents)
            self._append(self._encoded(given, column, progress), described)
        return self

    def upsert(
        self,
        x: Any,
        ids: Any,
        *,
        lengths: Any = None,
        attributes: Any = None,
        new_attributes: bool = False,
        documents: Any = None,
        progress: Progress | None = None,
    ) -> int:
        """Add documents under permanent ids, in the place of those that have the ids now.

        All documents or none, in one step: a search meets the old document of an id or the new one. Replaced
        documents are deleted ones, and still take room.

        Args:
            x: token vectors of documents, ragged.
            ids: n integers (int64, not -1) or n texts, different from each other.
            lengths: (n,) vectors of each document, or None.
            attributes: of the new documents; those of the documents that they replace are gone.
            new_attributes: whether there may be columns that the index does not have yet.
            documents: titles and texts, as for `add`; those of the rows that they replace are gone.
            progress: called as progress(stage, done, total) as for `add`.

        Returns:
            How many documents were replaced; the others are new.

        Raises:
            NotTrainedError: the key has to learn first.
            DuplicateIdError: an id is given twice.
            DimensionError: another dim, or another number of ids.
            NonFiniteError, TooLargeError, DTypeError, InputError: a document cannot be stored; the message
                names the id.
        """
        self.pipeline.require_trained()
        given = self._given(x, lengths=lengths)

        def encoded(column: IdColumn) -> DocumentSegment:
            return self._encoded(given, column, progress)

        return self._replace(ids, len(given), encoded, attributes, new_attributes, documents)

    # ---- single documents ----

    def score(
        self,
        queries: Any,
        ids: Any,
        *,
        lengths: Any = None,
        missing: Missing = "fail",
        tenant: Any = UNSAID,
    ) -> np.ndarray:
        """Score documents by id, each as a search of all of them would.

        Args:
            queries: ragged, as `search` takes them.
            ids: m ids of documents for all queries, or (nq, m), m for each query; those of one query are
                different from each other.
            lengths: (nq,) vectors of each query, or None.
            missing: "fail" where an id is not in the index, or "ignore" it: its score is -inf.
            tenant: whose documents, as for `get`.

        Returns:
            Scores (nq, m) float32, equal bits to those of a search.

        Raises:
            InputError: an id is not in the index, or a query has no vectors.
            UsageError: no tenant was said.
            DuplicateIdError: an id is given twice for one query.
            UnknownKeyError: missing is unknown.
            DimensionError, DTypeError, NonFiniteError, TooLargeError: the queries or ids are wrong.
        """
        one_of("missing", missing, MISSING)
        self.pipeline.require_trained()
        asked = ragged_of_dim(queries, lengths, self.dim, "queries", largest=self.pipeline.largest)
        require_query_vectors(asked)
        together = self._visible(tenant)
        positions = asked_positions(together.segments, self._id_kind, ids, len(asked), missing)
        return score_positions(self.pipeline, together, asked, positions)

    def _scores_at(self, queries: Any, positions: np.ndarray, *, lengths: Any = None) -> np.ndarray:
        """`score` of documents by position (nq, m); -inf for -1."""
        asked = ragged_of_dim(queries, lengths, self.dim, "queries", largest=self.pipeline.largest)
        return score_positions(self.pipeline, self._together, asked, positions)

    def vectors(self, ids: Any, *, tenant: Any = UNSAID) -> tuple[np.ndarray, np.ndarray]:
        """Return what the codes of documents stand for, by the finer codes of a rerank where there are some.

        Args:
            ids: of documents, different from each other.
            tenant: whose documents, as for `get`.

        Returns:
            Vectors (N, dim) float32 below each other, and lengths (len(ids),) int64. MaxSim with them equals
            `score` up to rounding.

        Raises:
            InputError: an id is not in the index.
            DuplicateIdError: an id is given twice.
            UsageError: the key has a transform without a way back (RepCONC, MRL) and no rerank, or no tenant
                was said.
        """
        self.pipeline.require_trained()
        segments = self.segments_of(tenant)
        found = vectors_at(self.pipeline, segments, self._positions(segments, ids))
        return found.rows, found.lengths

    def _vectors_at(self, segments: tuple[DocumentSegment, ...], positions: np.ndarray) -> list[np.ndarray]:
        found = vectors_at(self.pipeline, segments, positions)
        return np.split(found.rows, found.offsets[1:-1])

    # ---- inside ----

    def _given(self, x: Any, *, lengths: Any = None) -> Ragged:
        """Token vectors as `_encoded` takes them."""
        return ragged_of_dim(x, lengths, self.dim, "vectors", largest=None)

    def _encoded(self, documents: Ragged, ids: IdColumn, progress: Progress | None) -> DocumentSegment:
        require_finite_documents(documents, ids, self.pipeline.largest)
        sizes = list_sizes(self._segments, self.spec.nlist)
        kept = self.pool_documents(documents, as_stage(progress, str(self.pool)))
        return encode_documents(self.pipeline, kept, ids, sizes, progress)

    def _new_vectors(self, new: Any, lengths: Any) -> np.ndarray:
        if hasattr(new, "blocks"):
            new = new.read(0, new.n)
        documents = ragged_of_dim(new, lengths, self.dim, "vectors", largest=self.pipeline.largest)
        return self.pool_documents(documents).rows

    def _sample(self, documents: Ragged) -> Ragged:
        """Documents, drawn at random, that leave about as many vectors as training looks at."""
        limit = self.training_limit
        kept = documents.lengths if self.pool.f is None else documents.lengths // max(1, int(self.pool.f))
        if self.pool.n is not None:
            kept = np.minimum(kept, self.pool.n)
        if int(kept.sum()) <= limit:
            return documents
        order = checks.rng(self.seed).permutation(len(documents))
        n = int(np.searchsorted(np.cumsum(kept[order]), limit)) + 1
        return documents.take(np.sort(order[:n]))
