"""A multi-vector index in the place of PyLate's own; PyLate need not be installed.

from cluscomp.eval.integrations.pylate import PyLateIndex

index = PyLateIndex(index_key="Pool16,SQ8")
index.add_documents(documents_ids, model.encode(documents, is_query=False))
pylate.retrieve.ColBERT(index=index).retrieve(model.encode(queries, is_query=True), k=10)
index.retrieve(queries_embeddings, k=10)  # the same, without PyLate
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.errors import DimensionError, DuplicateIdError, EmptyInputError, IndexFolderError, UsageError
from cluscomp.eval.integrations.embeddings import token_matrices
from cluscomp.eval.integrations.kept import KeptIndex
from cluscomp.indexes.factory import index_factory
from cluscomp.indexes.keys.grammar import parse_key
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.multivector.index import MultiVectorIndex
from cluscomp.indexes.segments.id_lookup import positions_of, require_kind
from cluscomp.indexes.segments.ids import make_ids
from cluscomp.multivector import as_ragged

Results = list[list[dict[str, Any]]]
Subset = Sequence[Any] | Sequence[Sequence[Any]] | None


class PyLateIndex:
    """An index with the methods of `pylate.indexes.PLAID`, for `pylate.retrieve.ColBERT` and by itself.

    index_folder, index_name, override: as PyLate's. With a folder, index_folder/index_name is opened if it is
    there; every change is a commit of what is new, and changes by other processes are taken up. override=True
    replaces it when the first documents come. Without, the index is in memory (`index.save` keeps it).
    index_key: begins with a pool; the first documents are trained on. metric: "ip" or "cosine".
    search_kwargs: of `MultiVectorIndex.search`, such as {"candidates": 500}.

    Embeddings: one array (n, t, d), a list with one (t_i, d) array or tensor a text, or one (t, d) array for
    a single text. Document ids are texts or integers.

    Raises UnknownKeyError and UsageError (key
    without a pool).
    """

    is_end_to_end_index = True

    def __init__(
        self,
        index_folder: str | None = None,
        index_name: str = "colbert",
        override: bool = False,
        *,
        index_key: str = "Pool16,SQ8",
        metric: str = "ip",
        search_kwargs: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.index_key, self.metric, self.seed = index_key, metric, seed
        self.search_kwargs = dict(search_kwargs or {})
        _require_pool(index_key)
        folder = None if index_folder is None else Path(index_folder) / index_name
        self._kept = KeptIndex(folder, replace=override)
        _ = self.index  # whether it is one of documents

    @property
    def index(self) -> MultiVectorIndex | None:
        """The index in its newest state, None before documents come."""
        index = self._kept.current()
        if index is not None and not isinstance(index, MultiVectorIndex):
            raise IndexFolderError(
                f"{self._kept.folder} holds an index of single vectors ({index.key}); take another index_name"
            )
        return index

    # ---- documents ----

    def add_documents(
        self, documents_ids: Any, documents_embeddings: Any, batch_size: int | None = None, **ignored: Any
    ) -> PyLateIndex:
        """Add documents under ids that the index does not have yet; the first call trains it, too.

        batch_size and other arguments: accepted as PyLate's indexes do, not needed. Raises DimensionError,
        DuplicateIdError (`update_documents` replaces a document), NonFiniteError, TooFewRowsError (the key
        needs more vectors to learn from).
        """
        ids, matrices = _named(documents_ids, documents_embeddings)
        with self._kept.lock:
            if self.index is None:
                self._begin(ids, matrices)
                return self
            with self._kept.change() as kept:
                index = self._filled()
                assert kept is index
                self._require_new(ids)
                index.add(matrices, ids=ids)
        return self

    def remove_documents(self, documents_ids: Any) -> PyLateIndex:
        """Take documents out. Raises InputError for an id that is not in the index; nothing is removed
        then.
        """
        self._filled()
        with self._kept.change() as index:
            index.delete(_listed(documents_ids))
        return self

    def update_documents(self, documents_ids: Any, documents_embeddings: Any) -> PyLateIndex:
        """Give documents new vectors, in one step; ids that are not in the index yet are added."""
        ids, matrices = _named(documents_ids, documents_embeddings)
        self._filled()
        with self._kept.change():
            self._filled().upsert(matrices, ids)
        return self

    def get_documents_embeddings(self, documents_ids: Sequence[Sequence[Any]]) -> list[list[np.ndarray]]:
        """What the codes of documents stand for, for `pylate.rank.rerank`: a list of (t_i, d) arrays for each
        list of ids.
        """
        index = self._filled()
        found = []
        for ids in documents_ids:
            vectors, lengths = index.vectors(list(ids))
            found.append(np.split(vectors, np.cumsum(lengths)[:-1]) if len(lengths) else [])
        return found

    # ---- search ----

    def __call__(self, queries_embeddings: Any, k: int = 10, subset: Subset = None) -> Results:
        """The best k documents of each query as {"id", "score"}, best first; fewer where there are fewer.

        subset: ids that may be found, one list for all queries or one for each; ids that the index does not
        have are no documents. Raises DimensionError, NonFiniteError, EmptyInputError (no documents yet).
        """
        index, queries = self._filled(), token_matrices(queries_embeddings)
        if not len(index):  # all documents have been removed
            return [[] for _ in range(len(as_ragged(queries)))]
        if subset is None:
            hits = index.search(queries, min(k, len(index)), **self.search_kwargs)
            return [_results(names, row) for row, names in zip(*hits, strict=True)]
        allowed = list(subset)
        is_one = not allowed or not isinstance(allowed[0], (list, tuple, np.ndarray))
        n_queries = len(as_ragged(queries))
        if not is_one and len(allowed) != n_queries:
            raise DimensionError(
                f"subset has {len(allowed)} lists for {n_queries} queries; give one for each"
            )
        if is_one:
            filters: Any = list(dict.fromkeys(allowed))
        else:
            filters = [list(dict.fromkeys(names)) for names in allowed]
        if not filters:
            return [[] for _ in range(n_queries)]
        hits = index.search(queries, k, filter=filters, **self.search_kwargs)
        return [_results(names[row > -np.inf], row[row > -np.inf]) for row, names in zip(*hits, strict=True)]

    def retrieve(
        self,
        queries_embeddings: Any,
        k: int = 10,
        k_token: int | None = None,
        device: str | None = None,
        batch_size: int | None = None,
        subset: Subset = None,
    ) -> Results:
        """As `pylate.retrieve.ColBERT.retrieve` with this index. k_token, device, batch_size: not needed."""
        return self(queries_embeddings, k=k, subset=subset)

    # ---- inside ----

    def _begin(self, ids: list[Any], matrices: Any) -> None:
        dim = int(np.shape(matrices[0])[-1])
        made = index_factory(self.index_key, dim, self.metric, seed=self.seed)
        assert isinstance(made, MultiVectorIndex)  # _require_pool
        made.train(matrices)
        made.add(matrices, ids=ids)
        self._kept.begin(made)

    def _positions(self, ids: list[Any]) -> np.ndarray:
        if not ids:
            return np.empty(0, dtype=np.int64)
        index, wanted = self._filled(), make_ids(ids, len(ids))
        require_kind(index.id_kind, wanted)
        return positions_of(index.segments, wanted)

    def _require_new(self, ids: list[Any]) -> None:
        known = [name for name, row in zip(ids, self._positions(ids), strict=True) if row >= 0]
        if known:
            raise DuplicateIdError(
                f"document {known[0]!r} is in the index already ({len(known)} of {len(ids)} are); "
                "update_documents replaces documents and adds new ones"
            )

    def _filled(self) -> MultiVectorIndex:
        index = self.index
        if index is None:
            raise EmptyInputError("the index is empty; call add_documents first")
        return index


def _require_pool(index_key: str) -> None:
    if not kind_of(parse_key(index_key)).ragged:
        raise UsageError(
            f"index key {index_key!r} is for single vectors; documents of several need a pool in front, such "
            f"as 'Pool16,{index_key}' or 'Pool(f=1),{index_key}' (all vectors kept)"
        )


def _listed(ids: Any) -> list[Any]:
    return [ids] if isinstance(ids, (str, int, np.integer)) else list(ids)


def _named(ids: Any, embeddings: Any) -> tuple[list[Any], Any]:
    """Ids and as many matrices. DimensionError when their counts differ."""
    names, matrices = _listed(ids), token_matrices(embeddings)
    if not isinstance(matrices, list):
        matrices = list(matrices) if matrices.ndim == 3 else [matrices]
    if len(names) != len(matrices) or not matrices:
        raise DimensionError(f"{len(names)} document ids came with {len(matrices)} documents")
    return names, matrices


def _results(ids: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
    return [{"id": name, "score": score} for name, score in zip(ids.tolist(), scores.tolist(), strict=True)]
