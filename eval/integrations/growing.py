"""A store of documents for other packages: vectors, texts and metadata under text ids, in one index.

Lists and codebooks cannot be learned from the first two documents, so a store begins with exact vectors and
is converted to its final key, beside the searches and changes, when it has enough rows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.arrays import as_rows
from cluscomp.errors import DimensionError, DTypeError, UsageError
from cluscomp.eval.integrations.growth import Growth
from cluscomp.eval.integrations.kept import KeptIndex
from cluscomp.eval.integrations.metadata import attributes_of
from cluscomp.eval.integrations.mteb import single_vectors
from cluscomp.eval.integrations.rows import StoredRow, passing_ids, row_of
from cluscomp.indexes.factory import index_factory
from cluscomp.indexes.index import Index
from cluscomp.indexes.keys.grammar import parse_key
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.records import Record
from cluscomp.inputs.ids import ids_of_kind

FINAL_KEY = "IVF256,SQ8"
"""One byte a dimension, a quarter of the size. Of the 10 best rows it finds .99 with its default nprobe where
later rows are like those that it was trained on (NPL), and .80 where they are of another collection (SciFact
after 10 000 rows of NPL); docs/integrations.md says what to do about stores that change so.
"""
TRAIN_AT = 10_000


class GrowingStore:
    """Documents in an index that any number of threads and processes change and search.

    folder: where the index is kept; None: in memory. metric: None takes that of the folder, and
    default_metric for a new index. index_key: of the index at first. final_key: of the index from train_at
    rows on; None, or train_at=None: it stays as it is. dim: of the vectors; None takes that of the first.
    columns: names of metadata that can be filtered by, or kinds by name; None: all whose values a column can
    hold. search_kwargs: of `Index.search`. seed: of training.

    Raises UnknownKeyError, UsageError, and the errors of `open_index`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        metric: str | None = None,
        default_metric: str = "cosine",
        index_key: str = "Flat",
        final_key: str | None = FINAL_KEY,
        train_at: int | None = TRAIN_AT,
        dim: int | None = None,
        columns: Mapping[str, Any] | Sequence[str] | None = None,
        search_kwargs: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.index_key = _key_of_vectors(index_key)
        self.final_key = None if final_key is None else _key_of_vectors(final_key)
        self.train_at = None if train_at is None else checks.integer("train_at", train_at, 1)
        self.metric, self.dim, self.seed = None if metric is None else checks.metric(metric), dim, seed
        self.default_metric = checks.metric(default_metric)
        self.columns = columns
        self.search_kwargs = dict(search_kwargs or {})
        self._kept = KeptIndex(folder)
        self._check_opened()
        self._growth = Growth(self._kept, self.index_key, self.final_key, self.train_at, seed)
        self._growth.begin()

    # ---- facts ----

    def __len__(self) -> int:
        index = self._kept.current()
        return 0 if index is None else len(index)

    @property
    def index(self) -> Index | None:
        """The index in its newest state; None before the first document."""
        index = self._kept.current()
        return None if index is None else single_vectors(index)

    @property
    def folder(self) -> str | None:
        """Where the index is kept; None: in memory."""
        return None if self._kept.folder is None else str(self._kept.folder)

    # ---- changes ----

    def upsert(
        self,
        ids: Sequence[str],
        vectors: Any,
        texts: Sequence[str | None],
        metadatas: Sequence[Mapping[str, Any]],
    ) -> None:
        """Add documents, in the place of those that have their ids. Of two with one id the later one counts.

        vectors: (n, dim). Raises DimensionError (another dim, or other numbers of values), DuplicateIdError,
        DTypeError (ids are no texts), InputError (metadata), and the errors of `Index.upsert`.
        """
        _require_texts(ids)
        if not len(ids) == len(vectors) == len(texts) == len(metadatas):
            raise DimensionError(
                f"{len(ids)} ids came with {len(vectors)} vectors, {len(texts)} texts and {len(metadatas)} "
                "metadata; pass one of each a document"
            )
        last = sorted({name: row for row, name in enumerate(ids)}.values())
        if not last:
            return
        names = [ids[row] for row in last]
        rows = as_rows(vectors, name="vectors")[last]
        documents = [(None, texts[row]) for row in last]
        self._growth.tell_of_failure()
        with self._kept.lock:
            is_first = self._kept.current() is None
            if is_first:
                self._begin(rows, names, documents, [metadatas[row] for row in last])
            else:
                with self._kept.change() as kept:
                    self._put(single_vectors(kept), rows, names, documents, [metadatas[row] for row in last])
        self._growth.begin()

    def delete(self, ids: Sequence[str]) -> int:
        """Take documents out; ids that are not there are passed over. Returns how many there were."""
        _require_texts(ids)
        if not len(self) or not len(ids):
            return 0
        with self._kept.change() as index:
            found: int = index.delete(ids_of_kind(list(dict.fromkeys(ids)), index.id_kind), missing="ignore")
        return found

    def delete_where(self, filter: Any) -> int:
        """Take out the documents that pass a filter. Returns how many. filter: a condition, or a bool for
        all or none. Raises UsageError.
        """
        if not len(self) or filter is False:
            return 0
        with self._kept.change() as index:
            found: int = index.delete(index.ids) if filter is True else index.delete(filter=filter)
        return found

    def describe(self, metadatas: Mapping[str, Mapping[str, Any]]) -> None:
        """Change the metadata of documents by id. Raises InputError for an id that is not there."""
        if not metadatas:
            return
        with self._kept.change() as index:
            known = index.attribute_schema.kinds
            names = ids_of_kind(list(metadatas), index.id_kind)
            rows = attributes_of(list(metadatas.values()), list(metadatas), known, self.columns)
            columns = list(dict.fromkeys([*known, *(name for row in rows for name in row)]))
            if columns:
                table = {name: [row.get(name) for row in rows] for name in columns}
                index.set_attributes(names, table, new_attributes=True)

    def clear(self) -> None:
        """Take all documents out."""
        self.delete_where(True)

    # ---- reading ----

    def get(self, ids: Sequence[str], *, vectors: bool = False) -> list[StoredRow]:
        """Documents by id, in the order of ids; those that are not there are left out."""
        _require_texts(ids)
        if not len(self) or not len(ids):
            return []
        rows = {row.id: row for row in self._rows(list(dict.fromkeys(ids)), vectors)}
        return [rows[name] for name in ids if name in rows]

    def select(self, filter: Any = None, *, vectors: bool = False) -> list[StoredRow]:
        """All documents that pass a filter, in the order in which they came. filter: as of `passing`."""
        return self._rows(self.passing(filter), vectors)

    def passing(self, filter: Any = None) -> list[str]:
        """Ids of all documents that pass a filter, in the order in which they came.

        filter: a condition, or a bool for all or none. Raises UsageError.
        """
        return self._kept.read(lambda index: passing_ids(index, filter)) if len(self) else []

    def search(self, query: Any, k: int, *, filter: Any = None, vectors: bool = False) -> list[StoredRow]:
        """The best k documents for a query vector, best first; fewer where there are fewer.

        filter: as of `Index.search`, or a bool for all or none. Raises DimensionError, NonFiniteError,
        UsageError.
        """
        checks.integer("k", k, 1)
        if not len(self) or filter is False:
            return []
        wanted = None if filter is True else filter

        def ask(index: Any) -> tuple[np.ndarray, np.ndarray]:
            found = index.search(query, k, k_beyond="clip", filter=wanted, **self.search_kwargs)
            return found[0][0], found[1][0]

        scores, ids = self._kept.read(ask)
        there = np.isfinite(scores)
        best = dict(zip(map(str, ids[there].tolist()), scores[there].tolist(), strict=True))
        found = {row.id: row for row in self._rows(list(best), vectors)}
        return [replace(found[name], score=score) for name, score in best.items() if name in found]

    def values(self, name: str) -> set[Any]:
        """The different values of a column, of lists those in them; empty where there is no such column."""

        def column(index: Any) -> set[Any]:
            if name not in index.attribute_schema:
                return set()
            found = index.attributes([name]).to_dict()[name]
            lists = [value if isinstance(value, list) else [value] for value in found if value is not None]
            return {value for values in lists for value in values}

        return self._kept.read(column) if len(self) else set()

    def kinds(self) -> dict[str, str]:
        """Kinds of the columns by name."""
        index = self._kept.current()
        return {} if index is None else dict(index.attribute_schema.kinds)

    def save(self, folder: str | os.PathLike[str], *, if_exists: str = "fail") -> None:
        """Write the index into another folder. Raises EmptyInputError, OutputExistsError and others of
        `Index.save`.
        """
        self._kept.read(lambda index: index.save(folder, if_exists=if_exists))

    def finish_conversion(self, timeout: float | None = None) -> bool:
        """Wait for a conversion that runs; whether none is left. timeout: most seconds.

        Raises what made it fail.
        """
        return self._growth.finish(timeout)

    # ---- inside ----

    def _begin(self, rows: np.ndarray, names: list[str], documents: list[Any], metadatas: list[Any]) -> None:
        dim = rows.shape[-1] if self.dim is None else self.dim
        metric = self.metric or self.default_metric
        if self.final_key is not None:
            index_factory(self.final_key, dim, metric)  # whether it fits the dim
        index = single_vectors(index_factory(self.index_key, dim, metric, seed=self.seed))
        if isinstance(self.columns, Mapping):
            index.declare_attributes(self.columns)
        if index.pipeline.needs_training:
            index.train(rows)
        self._put(index, rows, names, documents, metadatas)
        self._kept.begin(index)

    def _put(
        self, index: Index, rows: np.ndarray, names: list[str], documents: list[Any], metadatas: list[Any]
    ) -> None:
        attributes = attributes_of(metadatas, names, index.attribute_schema.kinds, self.columns)
        described: dict[str, Any] = {}
        if any(attributes):
            described = {"attributes": attributes, "new_attributes": True}
        index.upsert(rows, names, documents=documents, **described)

    def _rows(self, ids: list[str], vectors: bool) -> list[StoredRow]:
        def records(index: Any) -> list[Record]:
            return index.get(ids_of_kind(ids, index.id_kind), missing="ignore", vectors=vectors)

        return [row_of(record) for record in self._kept.read(records)] if ids else []

    def _check_opened(self) -> None:
        index = self.index
        if index is None:
            return
        if index.attribute_schema.tenant is not None:
            raise UsageError(
                f"{self.folder} holds an index of tenants, and a store does not say whose documents it "
                "wants; keep one folder a tenant"
            )
        for name, wanted in (("metric", self.metric), ("dim", self.dim)):
            if wanted not in (None, getattr(index, name)):
                raise UsageError(
                    f"{self.folder} holds an index of {name} {getattr(index, name)!r}, but {wanted!r} was "
                    f"asked for; leave {name} out, or take another folder"
                )


def _key_of_vectors(key: str) -> str:
    """The canonical key. Raises UnknownKeyError, and UsageError where it is not for single vectors."""
    spec = parse_key(key).resolved()
    if kind_of(spec).index is not Index:
        raise UsageError(
            f"index key {key!r} is for words or for several vectors a document, but a store has one vector a "
            "document; take a key such as 'IVF256,SQ8'"
        )
    return str(spec)


def _require_texts(ids: Sequence[Any]) -> None:
    wrong = [ids] if isinstance(ids, str) else [name for name in ids if not isinstance(name, str)]
    if wrong:
        raise DTypeError(f"ids must be a list of texts, but there is {wrong[0]!r}")
