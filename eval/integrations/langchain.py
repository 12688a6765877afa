"""A vector store of LangChain on a compressed index.

    from cluscomp.eval.integrations.langchain import CluscompVectorStore

    store = CluscompVectorStore(embedding, "notes.index")
    store.add_texts(["a cat sleeps", "stock prices fell"], [{"year": 2020}, {"year": 2024}])
    store.similarity_search("kitten", k=1, filter={"year": {"$lt": 2022}})

The class exists once it is asked for, since it derives from one of langchain-core.
"""

from __future__ import annotations

import asyncio
import functools
import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cluscomp.errors import DimensionError, UsageError, require
from cluscomp.eval.integrations.growing import FINAL_KEY, TRAIN_AT, GrowingStore
from cluscomp.eval.integrations.langchain_filter import condition_of
from cluscomp.eval.integrations.rows import StoredRow

WHY = "CluscompVectorStore"


def __getattr__(name: str) -> Any:
    if name == "CluscompVectorStore":
        return _store_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _VectorStore:
    """Documents by the vectors of an embedding, in memory or in a folder that other processes may share.

    Documents with an id that is there replace the old ones. A store begins with exact vectors
    (index_key), and is converted to final_key in the background when it has train_at documents.

    embedding: LangChain's. folder: opened if an index is there, and saved to by every change; None keeps
    all in memory. metric: "cosine", "ip" or "l2". columns: names of metadata that filters may use; None:
    all whose values are texts, numbers, bools, instants or lists of texts. search_kwargs: of
    `Index.search`, such as {"nprobe": 16}.

    Filters are dicts such as {"source": "a.txt", "year": {"$gte": 2020}} or texts such as "year >= 2020".

    store: the `GrowingStore` behind it; `store.index` is the index.
    Raises UnknownKeyError, UsageError, IndexFolderError.
    """

    def __init__(
        self,
        embedding: Any,
        folder: str | os.PathLike[str] | None = None,
        *,
        metric: str | None = None,
        index_key: str = "Flat",
        final_key: str | None = FINAL_KEY,
        train_at: int | None = TRAIN_AT,
        columns: Mapping[str, Any] | Sequence[str] | None = None,
        search_kwargs: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.embedding = embedding
        self.store = GrowingStore(
            folder,
            metric=metric,
            index_key=index_key,
            final_key=final_key,
            train_at=train_at,
            columns=columns,
            search_kwargs=search_kwargs,
            seed=seed,
        )

    @property
    def embeddings(self) -> Any:
        """The embedding."""
        return self.embedding

    # ---- changes ----

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Embed and add texts, in the place of those that have their ids; returns the ids.

        Raises DimensionError (other numbers of metadata or ids), InputError (metadata).
        """
        found = list(texts)
        return self._put(found, self.embedding.embed_documents(found), metadatas, ids)

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """As `add_texts`; the embedding is awaited, the change runs on another thread."""
        found = list(texts)
        vectors = await self.embedding.aembed_documents(found)
        return await asyncio.to_thread(self._put, found, vectors, metadatas, ids)

    def delete(self, ids: Sequence[str] | None = None, **kwargs: Any) -> bool:
        """Take documents out; ids that are not there are passed over. Raises UsageError without ids."""
        if ids is None:
            raise UsageError("delete takes a list of ids; to empty a store, delete its ids")
        self.store.delete(list(ids))
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Any]:
        """Documents by id, in the order of ids; those that are not there are left out."""
        return [_document(row) for row in self.store.get(list(ids))]

    # ---- search ----

    def similarity_search(self, query: str, k: int = 4, filter: Any = None, **kwargs: Any) -> list[Any]:
        """The best k documents for a text."""
        return self.similarity_search_by_vector(self.embedding.embed_query(query), k, filter)

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Any = None, **kwargs: Any
    ) -> list[tuple[Any, float]]:
        """The same, with cosines, products or negative squared distances: more is better."""
        return self._scored(self.embedding.embed_query(query), k, filter)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Any = None, **kwargs: Any
    ) -> list[Any]:
        """The best k documents for a vector."""
        return [document for document, _ in self._scored(embedding, k, filter)]

    async def asimilarity_search(
        self, query: str, k: int = 4, filter: Any = None, **kwargs: Any
    ) -> list[Any]:
        """As `similarity_search`."""
        return [found for found, _ in await self.asimilarity_search_with_score(query, k, filter)]

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: Any = None, **kwargs: Any
    ) -> list[tuple[Any, float]]:
        """As `similarity_search_with_score`; the embedding is awaited, the search runs on a thread."""
        vector = await self.embedding.aembed_query(query)
        return await asyncio.to_thread(self._scored, vector, k, filter)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Any = None,
        **kwargs: Any,
    ) -> list[Any]:
        """K of the best fetch_k documents that are unlike each other (Carbonell and Goldstein 1998)."""
        rows = self.store.search(embedding, fetch_k, filter=condition_of(filter), vectors=True)
        module = require("langchain_core.vectorstores.utils", extra="langchain", why=WHY)
        chosen = module.maximal_marginal_relevance(
            np.asarray(embedding, dtype=np.float32), [row.vector for row in rows], lambda_mult, k
        )
        return [_document(rows[place]) for place in chosen]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Any = None,
        **kwargs: Any,
    ) -> list[Any]:
        """The same for a text."""
        vector = self.embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, filter)

    # ---- making one ----

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Any,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str | None] | None = None,
        **kwargs: Any,
    ) -> Any:
        """A store with these texts. kwargs: of the class."""
        store = cls(embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the index of a store in memory into a folder, which `CluscompVectorStore(embedding,
        folder)` opens. Raises EmptyInputError, OutputExistsError.
        """
        self.store.save(folder)

    # ---- inside ----

    def _put(
        self,
        texts: list[str],
        vectors: list[list[float]],
        metadatas: list[dict[str, Any]] | None,
        ids: Sequence[str | None] | None,
    ) -> list[str]:
        for name, values in (("metadatas", metadatas), ("ids", ids)):
            if values is not None and len(values) != len(texts):
                raise DimensionError(f"{len(values)} {name} came with {len(texts)} texts")
        names = [str(uuid.uuid4()) if name is None else name for name in ids or [None] * len(texts)]
        self.store.upsert(names, vectors, texts, metadatas or [{}] * len(texts))
        return names

    def _scored(self, vector: list[float], k: int, filter: Any) -> list[tuple[Any, float]]:
        rows = self.store.search(vector, k, filter=condition_of(filter))
        return [(_document(row), row.score) for row in rows]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        index = self.store.index
        metric = self.store.metric or ("cosine" if index is None else index.metric)
        if metric == "l2":  # LangChain's formula, which is for distances of vectors of length one
            return lambda score: 1 - (-score / 2) ** 0.5
        return lambda score: (1 + score) / 2


def _document(row: StoredRow) -> Any:
    documents = require("langchain_core.documents", extra="langchain", why=WHY)
    return documents.Document(id=row.id, page_content=row.text or "", metadata=row.metadata)


@functools.cache
def _store_class() -> type:
    core = require("langchain_core.vectorstores", extra="langchain", why=WHY)

    class CluscompVectorStore(_VectorStore, core.VectorStore):  # type: ignore[misc, name-defined]
        __doc__ = _VectorStore.__doc__

    CluscompVectorStore.__qualname__ = "CluscompVectorStore"
    return CluscompVectorStore
