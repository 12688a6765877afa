"""The index: train, add, search, delete, save; and `open_index`."""

from __future__ import annotations

import copy
import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from cluscomp import checks
from cluscomp.errors import SubsampleWarning
from cluscomp.indexes.contents import DEFAULT_REFINE_FACTOR
from cluscomp.indexes.filters.filterable import UNSAID
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.segments.decoding import decoded_rows
from cluscomp.indexes.segments.ids import IdColumn
from cluscomp.indexes.segments.rows import rows_of_dim
from cluscomp.indexes.segments.segment import Segment, encode_segment, list_sizes
from cluscomp.indexes.storage.hub import fetched, is_address, parse_address
from cluscomp.indexes.storage.local_place import LocalPlace
from cluscomp.indexes.storage.opening import open_folder
from cluscomp.indexes.storage.places import place_of
from cluscomp.indexes.vector_search import SearchedVectors
from cluscomp.progress import Progress

if TYPE_CHECKING:
    import faiss

    from cluscomp.indexes.cuvs_bridge import ForCuvs
    from cluscomp.indexes.hybrid.index import HybridIndex
    from cluscomp.indexes.lance_bridge import ForLance
    from cluscomp.indexes.multivector.index import MultiVectorIndex
    from cluscomp.indexes.sparse.index import SparseIndex

__all__ = ["DEFAULT_REFINE_FACTOR", "Index", "open_index"]


class Index(SearchedVectors):
    """A searchable, compressed collection of vectors under permanent ids.

    `index_factory` and `open_index` make one. Any number of threads may search one index at the same time,
    also while others change it: a search sees the rows that were there when it began, and changes (`add`,
    `upsert`, `delete`, `compact`, `save`) wait for each other.

    Args:
        spec: the parsed key.
        dim: of rows and queries.
        metric: "ip", "l2" or "cosine".
        seed: of all random choices of training.

    Attributes:
        key: canonical key.
        spec: the parsed key.
        dim: of rows and queries.
        metric: "ip", "l2" or "cosine".
        seed: of training.
        settings: JSON values that are saved with the index, such as nprobe and training_rows.
    """

    # ---- train, add ----

    def train(self, x: Any, *, progress: Progress | None = None) -> Index:
        """Learn rotation, lists and codebooks from rows; no row is added.

        Of more rows than 256 a list and 65536, a random sample is used and a SubsampleWarning is issued; the
        number used is in settings["training_rows"]. Keys that learn nothing (Flat, SQfp16) may skip this.

        Args:
            x: rows (n, dim), NumPy, torch or memory map.
            progress: called as progress(stage, done, total); stage is the part of the key that learns.

        Returns:
            The index.

        Raises:
            TooFewRowsError: fewer rows than the key has centroids.
            UsageError: the index holds rows already.
            DimensionError, DTypeError, NonFiniteError, TooLargeError: the rows are wrong.
        """
        self._require_empty()
        rows = rows_of_dim(x, self.dim, "rows", largest=None)
        if self.pipeline.needs_training and self.training_limit < rows.shape[0]:
            warnings.warn(
                f"the index trains on {self.training_limit} of {rows.shape[0]} rows, drawn at random",
                SubsampleWarning,
                stacklevel=2,
            )
        self.train_vectors(rows, progress)
        return self

    def add(
        self,
        x: Any,
        ids: Any = None,
        *,
        attributes: Any = None,
        new_attributes: bool = False,
        documents: Any = None,
        progress: Progress | None = None,
    ) -> Index:
        """Add rows under permanent ids: all of them, or none if an error is raised.

        Args:
            x: rows (n, dim), NumPy, torch or memory map.
            ids: n integers (int64, not -1) or n texts, different from each other and from the ids in the
                index; the first add decides the kind. None numbers on from the largest integer id so far,
                starting at 0.
            attributes: facts about the rows for filters, one row of them for each: an Arrow table, a data
                frame, a dict of columns, or a list of dicts. None and NaN are no value.
            new_attributes: whether there may be columns that the index does not have yet; those of the first
                rows with attributes always are.
            documents: titles and texts, which `get` returns, one for each row: a text, (title, text), (id,
                title, text) or a mapping with these. Where ids are not given, those of the documents are
                taken.
            progress: called as progress(stage, done, total) in rows.

        Returns:
            The index.

        Raises:
            NotTrainedError: the key has to learn first.
            DuplicateIdError: an id is there already.
            DimensionError: another dim, or another number of ids.
            NonFiniteError, TooLargeError, DTypeError, InputError: a value cannot be stored; the message names
                the id.
        """
        self.pipeline.require_trained()
        rows = self._given(x)
        with self._lock:
            column = self._new_ids(ids, rows.shape[0], documents)
            described = self._described(attributes, column, new_attributes, documents)
            self._append(self._encoded(rows, column, progress), described)
        return self

    def upsert(
        self,
        x: Any,
        ids: Any,
        *,
        attributes: Any = None,
        new_attributes: bool = False,
        documents: Any = None,
        progress: Progress | None = None,
    ) -> int:
        """Add rows under permanent ids, in the place of those that have the ids now.

        All rows or none, in one step: a search meets the old row of an id or the new one. Replaced rows
        are deleted ones, and still take room.

        Args:
            x: rows (n, dim), NumPy, torch or memory map.
            ids: n integers (int64, not -1) or n texts, different from each other.
            attributes: of the new rows, as for `add`; those of the rows that they replace are gone.
            new_attributes: whether there may be columns that the index does not have yet.
            documents: titles and texts, as for `add`; those of the rows that they replace are gone.
            progress: called as progress(stage, done, total) in rows.

        Returns:
            How many rows were replaced; the others are new.

        Raises:
            NotTrainedError: the key has to learn first.
            DuplicateIdError: an id is given twice.
            DimensionError: another dim, or another number of ids.
            NonFiniteError, TooLargeError, DTypeError, InputError: a value cannot be stored; the message names
                the id.
        """
        self.pipeline.require_trained()
        rows = self._given(x)

        def encoded(column: IdColumn) -> Segment:
            return self._encoded(rows, column, progress)

        return self._replace(ids, rows.shape[0], encoded, attributes, new_attributes, documents)

    # ---- single rows ----

    def vectors(self, ids: Any, *, tenant: Any = UNSAID) -> np.ndarray:
        """Return what the codes of rows stand for: the rows themselves, as exactly as the index keeps them.

        Where the key has a rerank, its finer codes are decoded, and with RFlat the rows come back as they
        were. With metric "cosine" and behind L2norm, rows have been scaled to length one. The first call
        makes a table of 4 bytes a row for keys with lists.

        Args:
            ids: ids that are in the index, different from each other, such as `ids[0]` of a search.
            tenant: whose rows, as for `get`.

        Returns:
            Rows (len(ids), dim) float32 in the order of ids. Their inner products with queries are the scores
            of a search by these codes, up to rounding.

        Raises:
            InputError: an id is not in the index.
            DuplicateIdError: an id is given twice.
            DTypeError: ids are not of the kind that the index has.
            UsageError: the key has a transform without a way back (RepCONC, MRL) and no rerank, or no tenant
                was said.
        """
        self.pipeline.require_trained()
        segments = self.segments_of(tenant)
        return decoded_rows(self.pipeline, segments, self._positions(segments, ids))

    def _vectors_at(self, segments: tuple[Segment, ...], positions: np.ndarray) -> list[np.ndarray]:
        return list(decoded_rows(self.pipeline, segments, positions))

    # ---- other tools ----

    def to_faiss(self, *, text_ids: str = "fail", filter: Any = None, tenant: Any = UNSAID) -> faiss.Index:
        """Copy the index into faiss, with the same ids and scores and nothing trained again.

        nprobe and refine_factor are set to this index's defaults. With 4-bit codes before a rerank a few
        candidates may differ: here rounded sums choose them. faiss returns POSITIVE squared distances for l2.

        Args:
            text_ids: faiss knows integer ids only: "fail" for text ids, or "rows", which gives row i of
                `index.ids` the id i.
            filter: copy only rows that pass, as for `search`; the copy has no attributes.
            tenant: whose rows are copied, where the index has a tenant column; None: those of all.

        Returns:
            A faiss index.

        Raises:
            UsageError: the index has text ids, or a part that faiss does not have, or no tenant was said.
            EmptyInputError: the index holds no rows, or none passes.
            OptionalDependencyError: faiss is not installed.
        """
        from cluscomp.indexes.faiss_bridge import to_faiss

        allowed = self._allowed_by(self._together, filter, tenant)
        part = copy.copy(self)
        part._segments = allowed.together.segments
        return to_faiss(part, text_ids=text_ids)

    def to_lance(self, *, unit_rows: bool = False) -> ForLance:
        """Centroids and codebooks for `create_index` of a Lance dataset, which then trains nothing.

        The rows themselves go into a column: `for_lance.rows(x)`. Lance codes them anew, and by the nearest
        codeword, which for ip and cosine is not always the code of this index.

        Args:
            unit_rows: all rows have length one, so that Lance's metric cosine may stand for ip.

        Returns:
            The arguments, and what rows and queries pass before. pylance itself is not needed.

        Raises:
            UsageError: a part that Lance does not have; the message says which key has a counterpart.
            NotTrainedError: the key has to learn first.
        """
        from cluscomp.indexes.lance_bridge import to_lance

        return to_lance(self, unit_rows=unit_rows)

    def to_cuvs(self) -> ForCuvs:
        """Centroids, codebooks and rotation for `build_precomputed` of cuVS, which then trains nothing.

        Rows are coded on the GPU by `extend`. These arrays have not been tried on one: their shapes are those
        that cuVS documents, and scores that NumPy computes of them as cuVS describes are those of the index.

        Returns:
            The arguments, and what rows and queries pass before. cuVS itself is not needed.

        Raises:
            UsageError: a part that cuVS does not have; the message says which key has a counterpart.
            NotTrainedError: the key has to learn first.
        """
        from cluscomp.indexes.cuvs_bridge import to_cuvs

        return to_cuvs(self)

    # ---- inside ----

    def _given(self, x: Any) -> np.ndarray:
        """Rows as `_encoded` takes them."""
        return rows_of_dim(x, self.dim, "rows", largest=None)

    def _encoded(self, rows: np.ndarray, ids: IdColumn, progress: Progress | None) -> Segment:
        sizes = list_sizes(self._segments, self.spec.nlist)
        return encode_segment(self.pipeline, rows, ids, sizes, progress)


def open_index(
    path: str | os.PathLike[str], *, verify: bool = False, generation: int | None = None
) -> Index | MultiVectorIndex | SparseIndex | HybridIndex:
    """Open an index folder. Arrays stay on disk, mapped into memory: opening costs about what is touched
    later.

    Args:
        path: the folder; or hf://owner/name or hf://owner/name@revision, an index of the Hugging Face hub
            (`push_to_hub`); or s3://bucket/name, gs://, az:// or memory://, one in an object store. These are
            downloaded into the cache at their first use, with all checksums compared.
        verify: also read every file and compare its checksum.
        generation: the state of the folder to open, while its files are there (`grace` of `save`); None: the
            newest.

    Returns:
        An `Index`, a `MultiVectorIndex` where its key begins with a pool, a `SparseIndex` of terms, or a
        `HybridIndex` of both.

    Raises:
        IndexMissingError: there is no index, or not this generation of it any more, or the hub does not
            give it.
        OptionalDependencyError: an address without the package huggingface_hub or obstore.
        ForeignFileError: another tool's file, or a git-LFS pointer.
        NewerFormatError: a later version wrote it.
        CorruptIndexError: truncated, altered or inconsistent.
    """
    if generation is not None:
        generation = checks.integer("generation", generation, 0)
    place = LocalPlace(fetched(parse_address(str(path)))) if is_address(path) else place_of(path)
    opened = open_folder(place, verify=verify, generation=generation)
    made = kind_of(opened.pipeline.spec).index
    index: Index | MultiVectorIndex | SparseIndex | HybridIndex = made.from_folder(opened)
    return index
