"""A document store of Haystack on a compressed index, and its retriever.

    from cluscomp.eval.integrations.haystack import CluscompDocumentStore, CluscompEmbeddingRetriever

    store = CluscompDocumentStore("notes.index", embedding_dim=384)
    store.write_documents(documents_with_embeddings)
    CluscompEmbeddingRetriever(store, top_k=3).run(query_embedding=vector)["documents"]

The retriever exists once it is asked for, since it is a component of Haystack.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.errors import UsageError, require
from cluscomp.eval.integrations.conditions import Condition, all_of, comparison
from cluscomp.eval.integrations.growing import FINAL_KEY, TRAIN_AT, GrowingStore
from cluscomp.eval.integrations.haystack_documents import (
    BARE,
    WHY,
    columns_of,
    document_of,
    metadata_of_document,
)
from cluscomp.eval.integrations.haystack_filter import condition_of
from cluscomp.eval.integrations.rows import StoredRow


def __getattr__(name: str) -> Any:
    if name == "CluscompEmbeddingRetriever":
        return _retriever_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class CluscompDocumentStore:
    """Documents of Haystack, in memory or in a folder that other processes may share.

    A store begins with exact vectors (index_key), and is converted to final_key in the background when it has
    train_at documents. Documents without an embedding are kept, too, and no search finds them.

    folder: opened if an index is there, and saved to by every change; None keeps all in memory.
    embedding_dim: of the embeddings. metric: "ip" (None for a new index), "cosine", which keeps embeddings
    scaled to length one, or "l2". columns: names of metadata that filters may use; None: all whose values are
    texts, numbers, bools, instants or lists of texts. search_kwargs: of `Index.search`.

    store: the `GrowingStore` behind it; `store.index` is the index.
    Raises UnknownKeyError, UsageError, IndexFolderError; methods with filters raise Haystack's FilterError.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        embedding_dim: int = 768,
        metric: str | None = None,
        index_key: str = "Flat",
        final_key: str | None = FINAL_KEY,
        train_at: int | None = TRAIN_AT,
        columns: Sequence[str] | Mapping[str, str] | None = None,
        search_kwargs: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self._dim = checks.integer("embedding_dim", embedding_dim, 1)
        self._settings = {
            "folder": None if folder is None else os.fspath(folder),
            "embedding_dim": embedding_dim,
            "metric": metric,
            "index_key": index_key,
            "final_key": final_key,
            "train_at": train_at,
            "columns": columns,
            "search_kwargs": None if search_kwargs is None else dict(search_kwargs),
            "seed": seed,
        }
        self.store = GrowingStore(
            folder,
            default_metric="ip",
            metric=metric,
            index_key=index_key,
            final_key=final_key,
            train_at=train_at,
            dim=embedding_dim,
            columns=columns_of(columns),
            search_kwargs=search_kwargs,
            seed=seed,
        )

    def to_dict(self) -> dict[str, Any]:
        """The settings, for pipelines that are written down; a store in memory comes back empty."""
        found: dict[str, Any] = require("haystack", extra="haystack", why=WHY).default_to_dict(
            self, **self._settings
        )
        return found

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CluscompDocumentStore:
        """The store of what `to_dict` gave."""
        haystack = require("haystack", extra="haystack", why=WHY)
        found: CluscompDocumentStore = haystack.default_from_dict(cls, data)
        return found

    # ---- documents ----

    def count_documents(self) -> int:
        """How many documents there are."""
        return len(self.store)

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Any]:
        """All documents that pass, in the order in which they came, with their embeddings as the index keeps
        them.
        """
        return [document_of(row) for row in self._passing(filters, vectors=True)]

    def write_documents(self, documents: list[Any], policy: Any = None) -> int:
        """Write documents; returns how many were written.

        policy: DuplicatePolicy: OVERWRITE puts them in the place of those that have their ids, SKIP leaves
        those; FAIL and NONE refuse all of them. Raises DuplicateDocumentError, DimensionError, InputError
        (metadata), UsageError for what is no list of documents.
        """
        types = require("haystack.document_stores.types", extra="haystack", why=WHY)
        document = require("haystack.dataclasses", extra="haystack", why=WHY).Document
        if not isinstance(documents, list) or not all(isinstance(one, document) for one in documents):
            raise UsageError("write_documents takes a list of documents of Haystack")
        name = types.DuplicatePolicy.NONE.name if policy is None else policy.name
        chosen = documents if name == "OVERWRITE" else self._new(documents, skip=name == "SKIP")
        self.store.upsert(
            [one.id for one in chosen],
            [self._vector(one) for one in chosen],
            [one.content for one in chosen],
            [metadata_of_document(one) for one in chosen],
        )
        return len(chosen)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Take documents out; ids that are not there are passed over."""
        self.store.delete(document_ids)

    def delete_all_documents(self) -> None:
        """Take all documents out."""
        self.store.clear()

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Take out the documents that pass; returns how many."""
        return self.store.delete([row.id for row in self._passing(filters)])

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Change metadata of the documents that pass; returns how many these are."""
        rows = self._passing(filters)
        self.store.describe({row.id: {**row.metadata, **meta} for row in rows})
        return len(rows)

    # ---- search ----

    def embedding_retrieval(
        self,
        query_embedding: list[float],
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        return_embedding: bool = False,
    ) -> list[Any]:
        """The best top_k documents for a vector, with scores: more is better."""
        checks.integer("top_k", top_k, 1)
        has_embedding = comparison("is null", BARE, None, self.store.kinds())
        condition = all_of([self._condition(filters), has_embedding])
        rows = _as_filter_errors(
            lambda: self.store.search(query_embedding, top_k, filter=condition, vectors=return_embedding)
        )
        return [document_of(row) for row in rows]

    # ---- the same, awaited ----

    async def count_documents_async(self) -> int:
        """As `count_documents`."""
        return self.count_documents()

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[Any]:
        """As `filter_documents`."""
        return await asyncio.to_thread(self.filter_documents, filters)

    async def write_documents_async(self, documents: list[Any], policy: Any = None) -> int:
        """As `write_documents`."""
        return await asyncio.to_thread(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """As `delete_documents`."""
        await asyncio.to_thread(self.delete_documents, document_ids)

    async def embedding_retrieval_async(self, query_embedding: list[float], **settings: Any) -> list[Any]:
        """As `embedding_retrieval`."""
        return await asyncio.to_thread(
            functools.partial(self.embedding_retrieval, query_embedding, **settings)
        )

    # ---- inside ----

    def _passing(self, filters: dict[str, Any] | None, *, vectors: bool = False) -> list[StoredRow]:
        condition = self._condition(filters)
        return _as_filter_errors(lambda: self.store.select(condition, vectors=vectors))

    def _condition(self, filters: dict[str, Any] | None) -> Condition:
        return _as_filter_errors(lambda: condition_of(filters, self.store.kinds()))

    def _new(self, documents: list[Any], *, skip: bool) -> list[Any]:
        """The documents whose ids are new, of each id the first one. Raises DuplicateDocumentError."""
        known = {row.id for row in self.store.get([one.id for one in documents])}
        found = []
        for one in documents:
            if one.id not in known:
                known.add(one.id)
                found.append(one)
            elif not skip:
                module = require("haystack.document_stores.errors", extra="haystack", why=WHY)
                raise module.DuplicateDocumentError(f"ID '{one.id}' already exists.")
        return found

    def _vector(self, document: Any) -> Any:
        if document.embedding is not None:
            return document.embedding
        return np.zeros(self._dim, dtype=np.float32)


@functools.cache
def _retriever_class() -> type:
    haystack = require("haystack", extra="haystack", why="CluscompEmbeddingRetriever")
    documents: Any = list[haystack.Document]  # type: ignore[name-defined]

    @haystack.component
    class CluscompEmbeddingRetriever:
        """Finds the documents of a CluscompDocumentStore that are best for the embedding of a query.

        filters: for calls that bring none. top_k: most documents. return_embedding: whether documents have
        their embeddings.
        """

        def __init__(
            self,
            document_store: CluscompDocumentStore,
            *,
            filters: dict[str, Any] | None = None,
            top_k: int = 10,
            return_embedding: bool = False,
        ) -> None:
            if not isinstance(document_store, CluscompDocumentStore):
                raise UsageError(f"document_store must be a CluscompDocumentStore, but is {document_store!r}")
            self.document_store, self.filters = document_store, filters
            self.top_k, self.return_embedding = top_k, return_embedding

        @haystack.component.output_types(documents=documents)  # type: ignore[untyped-decorator]
        def run(
            self,
            query_embedding: list[float],
            filters: dict[str, Any] | None = None,
            top_k: int | None = None,
        ) -> dict[str, Any]:
            """The documents. filters, top_k: in the place of those of the component."""
            found = self.document_store.embedding_retrieval(
                query_embedding,
                filters=filters or self.filters,
                top_k=top_k or self.top_k,
                return_embedding=self.return_embedding,
            )
            return {"documents": found}

        def to_dict(self) -> dict[str, Any]:
            """The settings, with those of the store."""
            found: dict[str, Any] = haystack.default_to_dict(
                self,
                document_store=self.document_store.to_dict(),
                filters=self.filters,
                top_k=self.top_k,
                return_embedding=self.return_embedding,
            )
            return found

        @classmethod
        def from_dict(cls, data: dict[str, Any]) -> Any:
            """The component of what `to_dict` gave."""
            stored = data["init_parameters"]["document_store"]
            store = CluscompDocumentStore.from_dict(stored)
            settings = {**data["init_parameters"], "document_store": store}
            return haystack.default_from_dict(cls, {**data, "init_parameters": settings})

    CluscompEmbeddingRetriever.__qualname__ = "CluscompEmbeddingRetriever"
    return CluscompEmbeddingRetriever


def _as_filter_errors(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except UsageError as exc:
        raise require("haystack.errors", extra="haystack", why=WHY).FilterError(str(exc)) from exc
