"""A vector store of LlamaIndex on a compressed index.

    from cluscomp.eval.integrations.llamaindex import CluscompVectorStore

    store = CluscompVectorStore(folder="notes.index")
    index = VectorStoreIndex.from_documents(documents, StorageContext.from_defaults(vector_store=store))
    VectorStoreIndex.from_vector_store(CluscompVectorStore(folder="notes.index"))  # later, elsewhere

The class exists once it is asked for, since it derives from one of llama-index-core.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluscomp.errors import IndexMissingError, UsageError, require
from cluscomp.eval.integrations.conditions import Condition, all_of, comparison
from cluscomp.eval.integrations.growing import FINAL_KEY, TRAIN_AT, GrowingStore
from cluscomp.eval.integrations.llamaindex_filter import condition_of
from cluscomp.eval.integrations.rows import StoredRow

NODE = "_node"
"""Name under which the rest of a node is kept among its metadata."""
REF = "ref_doc_id"
"""Column of the document that a node is a part of."""
MMR_PREFETCH = 4
WHY = "CluscompVectorStore"


def __getattr__(name: str) -> Any:
    if name == "CluscompVectorStore":
        return _store_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _VectorStore:
    """Nodes with their embeddings and texts, in memory or in a folder that other processes may share.

    Nodes with an id that is there replace the old ones. A store begins with exact vectors (index_key), and is
    converted to final_key in the background when it has train_at nodes.

    folder: opened if an index is there, and saved to by every change; None keeps all in memory. metric:
    "cosine", "ip" or "l2". columns: names of metadata that filters may use; None: all whose values are texts,
    numbers, bools or lists of texts. search_kwargs: of `Index.search`.

    client: the `GrowingStore` behind it; `client.index` is the index.
    Raises UnknownKeyError, UsageError, IndexFolderError.
    """

    if TYPE_CHECKING:  # an annotation alone would be a field for pydantic

        @property
        def client(self) -> GrowingStore: ...

    # ---- changes ----

    def add(self, nodes: Sequence[Any], **kwargs: Any) -> list[str]:
        """Add nodes that have embeddings; returns their ids."""
        self.client.upsert(
            [node.node_id for node in nodes],
            [node.get_embedding() for node in nodes],
            [node.get_content() for node in nodes],
            [_metadata(node) for node in nodes],
        )
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **kwargs: Any) -> None:
        """Take out all nodes of a document."""
        self.client.delete_where(comparison("==", REF, ref_doc_id, self.client.kinds()))

    def delete_nodes(self, node_ids: list[str] | None = None, filters: Any = None, **kwargs: Any) -> None:
        """Take out nodes by id, by filters, or by both; ids that are not there are passed over."""
        if node_ids is None and filters is None:
            raise UsageError("delete_nodes takes node_ids or filters; clear() takes out all nodes")
        self.client.delete([row.id for row in self._rows(node_ids, filters)])

    def clear(self) -> None:
        """Take all nodes out."""
        self.client.clear()

    # ---- reading ----

    def get_nodes(self, node_ids: list[str] | None = None, filters: Any = None) -> list[Any]:
        """Nodes by id, by filters, or by both; all of them without."""
        return [_node(row) for row in self._rows(node_ids, filters)]

    def query(self, query: Any, **kwargs: Any) -> Any:
        """The best nodes for query_embedding: modes default and mmr. similarity: more is better.

        mmr_threshold of the query or the call: 1 looks at similarity alone, 0 at difference alone.
        """
        types = require("llama_index.core.vector_stores.types", extra="llamaindex", why=WHY)
        mode = str(getattr(query.mode, "value", query.mode))
        if query.query_embedding is None or mode not in ("default", "mmr"):
            raise UsageError(
                f"a query needs query_embedding, and mode 'default' or 'mmr', but here mode is {mode!r}"
                + (" and query_embedding None" if query.query_embedding is None else "")
            )
        k = query.similarity_top_k
        rows = self._found(query, k if mode == "default" else MMR_PREFETCH * k, vectors=mode == "mmr")
        if mode == "mmr":
            threshold = kwargs.get("mmr_threshold", query.mmr_threshold)
            rows = _unlike(query.query_embedding, rows, k, threshold)
        return types.VectorStoreQueryResult(
            nodes=[_node(row) for row in rows],
            similarities=[row.score for row in rows],
            ids=[row.id for row in rows],
        )

    # ---- keeping ----

    def persist(self, persist_path: str, fs: Any = None) -> None:
        """Write a store in memory into the folder persist_path with the ending .index, in the place of an
        index that is there. A store with a folder is in it already. fs: LlamaIndex's local one.
        """
        if self.client.folder is None and self.client.index is not None:
            self.client.save(_folder_of(persist_path, fs), if_exists="replace")

    @classmethod
    def from_persist_path(cls, persist_path: str, fs: Any = None, **settings: Any) -> Any:
        """The store of what `persist` wrote there, where its changes are saved. Raises IndexMissingError."""
        folder = _folder_of(persist_path, fs)
        if not folder.exists():
            raise IndexMissingError(f"there is no index at {folder}; a store without nodes writes none")
        return cls(folder=str(folder), **settings)  # type: ignore[call-arg]

    @classmethod
    def from_persist_dir(
        cls, persist_dir: str = "./storage", namespace: str = "default", fs: Any = None, **settings: Any
    ) -> Any:
        """The store of a folder that `StorageContext.persist` wrote. Raises IndexMissingError."""
        return cls.from_persist_path(
            os.path.join(persist_dir, f"{namespace}__vector_store.json"), fs, **settings
        )

    # ---- inside ----

    def _condition(self, filters: Any) -> Condition:
        return condition_of(filters, self.client.kinds(), self.client.values)

    def _rows(self, node_ids: list[str] | None, filters: Any) -> list[StoredRow]:
        if filters is None and node_ids is not None:
            rows: list[StoredRow] = self.client.get(list(dict.fromkeys(node_ids)))
            return rows
        found: list[StoredRow] = self.client.select(self._condition(filters))
        wanted = None if node_ids is None else set(node_ids)
        return [row for row in found if wanted is None or row.id in wanted]

    def _found(self, query: Any, k: int, *, vectors: bool) -> list[StoredRow]:
        condition = self._condition(query.filters)
        if query.doc_ids:  # LlamaIndex sends an empty list where all may be found
            of_documents = comparison("in", REF, list(query.doc_ids), self.client.kinds())
            condition = all_of([condition, of_documents])
        allowed: Any = condition
        if query.node_ids:
            passing = set(query.node_ids if condition is True else self.client.passing(condition))
            allowed = [name for name in dict.fromkeys(query.node_ids) if name in passing]
        rows: list[StoredRow] = self.client.search(query.query_embedding, k, filter=allowed, vectors=vectors)
        return rows


@functools.cache
def _store_class() -> type:
    types = require("llama_index.core.vector_stores.types", extra="llamaindex", why=WHY)
    pydantic = require("pydantic", extra="llamaindex", why=WHY)

    class CluscompVectorStore(_VectorStore, types.BasePydanticVectorStore):  # type: ignore[misc, name-defined]
        __doc__ = _VectorStore.__doc__
        stores_text: bool = True
        folder: str | None = None
        metric: str | None = None
        index_key: str = "Flat"
        final_key: str | None = FINAL_KEY
        train_at: int | None = TRAIN_AT
        columns: list[str] | dict[str, str] | None = None
        search_kwargs: dict[str, Any] | None = None
        seed: int = 0
        _store: Any = pydantic.PrivateAttr()

        def __init__(self, **settings: Any) -> None:
            folder = settings.get("folder")
            super().__init__(**{**settings, "folder": None if folder is None else os.fspath(folder)})
            self._store = GrowingStore(
                self.folder,
                metric=self.metric,
                index_key=self.index_key,
                final_key=self.final_key,
                train_at=self.train_at,
                columns=_with_own(self.columns),
                search_kwargs=self.search_kwargs,
                seed=self.seed,
            )

        @classmethod
        def class_name(cls) -> str:
            """Name of the class in what LlamaIndex writes down."""
            return "CluscompVectorStore"

        @property
        def client(self) -> GrowingStore:
            """The store behind it."""
            store: GrowingStore = self._store
            return store

    CluscompVectorStore.__qualname__ = "CluscompVectorStore"
    return CluscompVectorStore


def _with_own(columns: Sequence[str] | Mapping[str, str] | None) -> Any:
    if columns is None:
        return None
    return {**columns, REF: "text"} if isinstance(columns, Mapping) else [*columns, REF]


def _metadata(node: Any) -> dict[str, Any]:
    """Metadata of a node; what else it is goes under one name of them, the text aside."""
    utils = require("llama_index.core.vector_stores.utils", extra="llamaindex", why=WHY)
    found = utils.node_to_metadata_dict(node, remove_text=True)
    content = json.loads(found["_node_content"])
    metadata = content.pop("metadata", {})
    return {**metadata, REF: node.ref_doc_id, NODE: {"type": found["_node_type"], "content": content}}


def _node(row: StoredRow) -> Any:
    utils = require("llama_index.core.vector_stores.utils", extra="llamaindex", why=WHY)
    metadata = dict(row.metadata)
    metadata.pop(REF, None)
    kept = metadata.pop(NODE, None)
    if kept is None:  # another tool added it
        schema = require("llama_index.core.schema", extra="llamaindex", why=WHY)
        return schema.TextNode(id_=row.id, text=row.text or "", metadata=metadata)
    content = json.dumps({**kept["content"], "metadata": metadata})
    return utils.metadata_dict_to_node({"_node_content": content, "_node_type": kept["type"]}, text=row.text)


def _unlike(
    query: Sequence[float], rows: list[StoredRow], k: int, threshold: float | None
) -> list[StoredRow]:
    """K rows that are good and unlike each other (Carbonell and Goldstein 1998)."""
    utils = require("llama_index.core.indices.query.embedding_utils", extra="llamaindex", why=WHY)
    _, chosen = utils.get_top_k_mmr_embeddings(
        query,
        [row.vector for row in rows],
        similarity_top_k=k,
        embedding_ids=list(range(len(rows))),
        mmr_threshold=threshold,
    )
    return [rows[place] for place in chosen]


def _folder_of(persist_path: str, fs: Any) -> Path:
    protocol = getattr(fs, "protocol", "file")
    if "file" not in ((protocol,) if isinstance(protocol, str) else tuple(protocol)):
        raise UsageError(f"an index is written to the local file system only, but fs is {protocol!r}")
    return Path(persist_path).with_suffix(".index")
