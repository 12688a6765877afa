"""The neighbours of rows as a sparse graph for scikit-learn, found by an index instead of exact search.

    from sklearn.manifold import Isomap
    from sklearn.pipeline import make_pipeline
    from cluscomp.eval.integrations.sklearn import CluscompNeighborsTransformer

    make_pipeline(CluscompNeighborsTransformer(n_neighbors=10), Isomap(n_neighbors=10, metric="precomputed"))

The class exists once it is asked for, since it derives from scikit-learn's.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.errors import require
from cluscomp.eval.integrations.mteb import single_vectors
from cluscomp.indexes.factory import index_factory

METRICS = {"euclidean": "l2", "sqeuclidean": "l2", "cosine": "cosine"}
WHY = "CluscompNeighborsTransformer"


def __getattr__(name: str) -> Any:
    if name == "CluscompNeighborsTransformer":
        return _transformer_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def distances_of(scores: np.ndarray, metric: str) -> np.ndarray:
    """Distances, as scikit-learn calls the metric, of scores of an index."""
    if metric == "cosine":
        return np.maximum(0.0, 1.0 - scores)
    squared = np.maximum(0.0, -scores)
    return np.sqrt(squared) if metric == "euclidean" else squared


@functools.cache
def _transformer_class() -> type:
    base = require("sklearn.base", extra="sklearn", why=WHY)
    validation = require("sklearn.utils.validation", extra="sklearn", why=WHY)
    sparse = require("scipy.sparse", extra="sklearn", why=WHY)

    class CluscompNeighborsTransformer(base.TransformerMixin, base.BaseEstimator):  # type: ignore[misc, name-defined]
        """In the place of `sklearn.neighbors.KNeighborsTransformer`: a sparse graph of neighbours.

        n_neighbors: of each row; in mode "distance" one more is stored, since a row is its own neighbour.
        mode: "distance", or "connectivity" with ones. metric: "euclidean", "sqeuclidean" or "cosine".
        index_key: trained on the fitted rows. nprobe: of the search. seed: of training.

        index_: the index. n_samples_fit_: its rows.
        """

        def __init__(
            self,
            *,
            n_neighbors: int = 5,
            mode: str = "distance",
            metric: str = "euclidean",
            index_key: str = "Flat",
            nprobe: int | None = None,
            seed: int = 0,
        ) -> None:
            self.n_neighbors, self.mode, self.metric = n_neighbors, mode, metric
            self.index_key, self.nprobe, self.seed = index_key, nprobe, seed

        def fit(self, X: Any, y: Any = None) -> Any:
            """Build the index of rows (n, dim)."""
            rows = validation.validate_data(self, X, dtype=np.float32)
            checks.one_of("mode", self.mode, ("distance", "connectivity"))
            metric = METRICS[checks.one_of("metric", self.metric, METRICS)]
            checks.integer("n_neighbors", self.n_neighbors, 1)
            index = single_vectors(index_factory(self.index_key, rows.shape[1], metric, seed=self.seed))
            if index.pipeline.needs_training:
                index.train(rows)
            self.index_, self.n_samples_fit_ = index.add(rows), len(rows)
            return self

        def transform(self, X: Any) -> Any:
            """CSR matrix (len(X), n_samples_fit_) of distances, or of ones, to the nearest fitted rows."""
            validation.check_is_fitted(self)
            rows = validation.validate_data(self, X, dtype=np.float32, reset=False)
            k = self.n_neighbors + (self.mode == "distance")
            scores, ids = self.index_.search(rows, k, k_beyond="clip", nprobe=self.nprobe)
            there = ids >= 0
            values = distances_of(scores[there].astype(np.float64), self.metric)
            if self.mode == "connectivity":
                values = np.ones_like(values)
            starts = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
            return sparse.csr_matrix((values, ids[there], starts), shape=(len(rows), self.n_samples_fit_))

        def fit_transform(self, X: Any, y: Any = None) -> Any:
            """Fit, and the graph of the fitted rows themselves."""
            return self.fit(X).transform(X)

    CluscompNeighborsTransformer.__qualname__ = "CluscompNeighborsTransformer"
    return CluscompNeighborsTransformer
