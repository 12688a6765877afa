"""The libraries that `filter` compares with: rows of rank below a number are found among all rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cluscomp.baselines import library

M, EF_CONSTRUCTION = 16, 100
"""Links of a row of hnswlib in each layer, and candidates that it keeps while it builds."""

Searcher = Callable[[int], Callable[..., np.ndarray]]
"""Given the least rank that does not pass, a search that takes its setting and returns ids (nq, k)."""


class FaissRows:
    """Rows x (n, d) in a faiss index of the same key, with an IDSelectorBitmap by rank (n,)."""

    def __init__(self, key: str, x: np.ndarray, ranks: np.ndarray) -> None:
        self._faiss: Any = library("faiss")
        self._ranks = ranks
        faiss_key = key.replace("x4", "x4fs")
        self._index = self._faiss.index_factory(x.shape[1], faiss_key, self._faiss.METRIC_INNER_PRODUCT)
        self._has_lists = "IVF" in key
        if self._has_lists:
            ivf = self._faiss.downcast_index(self._index.base_index)
            ivf.cp.min_points_per_centroid = 1  # only silences its warning about few rows
            ivf.pq.cp.min_points_per_centroid = 1
        self._index.train(x)
        self._index.add(x)

    def searcher(self, queries: np.ndarray, k: int) -> Searcher:
        """Settings: lists to visit, candidates for the rerank."""

        def among(most: int) -> Callable[..., np.ndarray]:
            bits = np.packbits(self._ranks < most, bitorder="little")
            selector = self._faiss.IDSelectorBitmap(bits)

            def search(n_probe: int, candidates: int) -> np.ndarray:
                options = self._options(selector, n_probe, candidates / k)
                return np.asarray(self._index.search(queries, k, params=options)[1])

            return search

        return among

    def _options(self, selector: Any, n_probe: int, k_factor: float) -> Any:
        if not self._has_lists:
            return self._faiss.SearchParameters(sel=selector)
        lists = self._faiss.SearchParametersIVF(nprobe=n_probe, sel=selector)
        return self._faiss.IndexRefineSearchParameters(k_factor=k_factor, base_index_params=lists)


class HnswRows:
    """Rows x (n, d) in a graph of hnswlib, built by all processors, with a Python function by rank (n,)."""

    def __init__(self, x: np.ndarray, ranks: np.ndarray, seed: int) -> None:
        self._graph: Any = library("hnswlib").Index("ip", x.shape[1])
        self._graph.init_index(len(x), M=M, ef_construction=EF_CONSTRUCTION, random_seed=seed + 1)
        self._graph.add_items(x)
        self._ranks = ranks

    def searcher(self, queries: np.ndarray, k: int) -> Searcher:
        """Settings: candidates that are kept (ef)."""

        def among(most: int) -> Callable[..., np.ndarray]:
            passes = (self._ranks < most).tolist().__getitem__

            def search(effort: int) -> np.ndarray:
                self._graph.set_ef(effort)
                try:
                    found = self._graph.knn_query(queries, k, num_threads=1, filter=passes)[0]
                except RuntimeError:  # a query found fewer than k: it says no more of any
                    return np.full((len(queries), k), -1, dtype=np.int64)
                return np.asarray(found).astype(np.int64)

            return search

        return among
