"""Partitions: the division of rows into lists, and the choice of lists that a query visits.

Rows are assigned and queries are probed by one rule, so that a row finds itself in the first list probed: l2
by smallest distance to k-means centroids; ip and cosine by largest inner product with the directions of
spherical k-means. Those directions are scaled by one common factor, the mean inner product of the training
rows with theirs. It changes no order, and makes the residuals that a product quantizer encodes nearly as
small as those to the lists' means: |x - s c|^2 averages |x|^2 - s^2, where unit directions give |x|^2 + 1 - 2
s.

To add one: a spec and a form in key.py, a class here with the attributes of `Ivf`, a line in `PARTITIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.clustering.blocks import Progress
from cluscomp.errors import NotTrainedError, TooFewRowsError
from cluscomp.indexes.key import IVF, PartitionSpec
from cluscomp.indexes.parameters import ArraySpec, Parameters
from cluscomp.indexes.shadow import Shadow, build_shadow, search_shadow

KMEANS_ITERATIONS = 20
MAX_POINTS_PER_LIST = 256


def default_nprobe(nlist: int) -> int:
    """Lists probed unless said otherwise: 4 * ceil(sqrt(nlist)), at most nlist.

    32 of 64, 128 of 1024, 1024 of 65536: the share falls as lists become more.
    """
    return min(nlist, 4 * math.isqrt(nlist - 1) + 4)


class Ivf:
    """Lists around k-means centroids (inverted file). metric: "l2" or "ip"."""

    def __init__(self, spec: PartitionSpec, dim: int, metric: str) -> None:
        self.spec = spec
        self.nlist = spec.nlist
        self.dim = dim
        self.metric = metric
        self._centroids: np.ndarray | None = None
        self._assigner: Any = None
        self._shadow: Shadow | None = None

    @property
    def centroids(self) -> np.ndarray:
        """(nlist, dim) float32."""
        if self._centroids is None:
            raise NotTrainedError(f"{self.spec} has not been trained; call index.train(x) first")
        return self._centroids

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        """Learn centroids from float32 rows (n, dim); raises TooFewRowsError for fewer rows than lists."""
        from cluscomp.clustering.kmeans import train_kmeans

        if x.shape[0] < self.nlist:
            raise TooFewRowsError(
                f"{self.spec} needs at least {self.nlist} training rows, but got {x.shape[0]}; "
                f"pass more rows or a key with fewer lists, such as IVF{max(1, math.isqrt(x.shape[0]))}"
            )
        kmeans_metric = "l2" if self.metric == "l2" else "cosine"
        result = train_kmeans(
            x, self.nlist, metric=kmeans_metric, n_iter=KMEANS_ITERATIONS, seed=seed, progress=progress
        )
        centroids = np.ascontiguousarray(result.centroids, dtype=np.float32)
        if self.metric == "ip":
            centroids *= _common_scale(x, centroids)
        self.load({"centroids": centroids})

    def assign(self, x: np.ndarray) -> np.ndarray:
        """List (n,) int32 of each float32 row."""
        labels, _ = self._assigner_of().assign(x)
        return np.asarray(labels)

    def residuals(self, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """x minus the centroid of each row's list, float32."""
        return x - self.centroids[labels]

    def probe(self, queries: np.ndarray, nprobe: int) -> np.ndarray:
        """The nprobe best lists (nq, nprobe) int32 of each query, best first; the first is the list `assign`
        gives.
        """
        if nprobe == self.nlist:
            return np.broadcast_to(np.arange(self.nlist, dtype=np.int32), (len(queries), nprobe)).copy()
        if nprobe == 1:  # near ties must fall as they fell when the rows were assigned
            return self.assign(queries)[:, None].astype(np.int32)
        if self._shadow is None:
            self._shadow = build_shadow(self.centroids, self.metric)
        _, lists = search_shadow(self._shadow, self.centroids, queries, nprobe, self.metric, None)
        return lists.astype(np.int32)

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        return {"centroids": ArraySpec("<f4", (self.nlist, self.dim))}

    def parameters(self) -> Parameters:
        return {} if self._centroids is None else {"centroids": self._centroids}

    def load(self, parameters: Parameters) -> None:
        self._centroids = np.ascontiguousarray(parameters["centroids"], dtype=np.float32)
        self._assigner = self._shadow = None

    def _assigner_of(self) -> Any:
        if self._assigner is None:  # made when first used: an opened index may never assign
            self._assigner = native.Assigner(self.centroids, self.metric)
        return self._assigner


def _common_scale(x: np.ndarray, directions: np.ndarray) -> np.float32:
    """Mean inner product of rows with their best direction: the scale that makes residuals smallest."""
    _, scores = native.Assigner(directions, "ip").assign(x)
    mean = float(np.mean(scores, dtype=np.float64))
    return np.float32(mean if mean > 0 else 1.0)


PARTITIONS: dict[type, Callable[[PartitionSpec, int, str], Ivf]] = {IVF: Ivf}


def make_partition(spec: PartitionSpec | None, dim: int, metric: str) -> Ivf | None:
    """The untrained partition that a key part stands for, or None for one list."""
    return None if spec is None else PARTITIONS[type(spec)](spec, dim, metric)
