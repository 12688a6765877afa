"""Lists around k-means centroids.

Rows are assigned and queries are probed by one rule, so that a row finds itself in the first list probed: l2
by smallest distance to k-means centroids; ip and cosine by largest inner product with the directions of
spherical k-means. Those directions are scaled by one common factor, the mean inner product of the training
rows with theirs. It changes no order, and makes the residuals that a product quantizer encodes nearly as
small as those to the lists' means:

    E|x - s c|^2 = E|x|^2 - s^2  <=  E|x|^2 + 1 - 2 s, the mean for unit directions
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cluscomp import native
from cluscomp.clustering.assign import run_assigner
from cluscomp.errors import NotTrainedError, TooFewRowsError
from cluscomp.indexes.keys.forms import NUMBER, Form
from cluscomp.indexes.keys.specs import PartitionSpec
from cluscomp.indexes.stages.cost import ROWS_PER_CENTROID, Cost, Shape, Work
from cluscomp.indexes.stages.faiss_parts import faiss_metric
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters
from cluscomp.indexes.stages.prescreen import build_prescreen
from cluscomp.indexes.stages.stage import Stage
from cluscomp.progress import Progress
from cluscomp.vocabulary import Metric

if TYPE_CHECKING:
    from cluscomp.clustering.parted import Crew

KMEANS_ITERATIONS = 20
MAX_POINTS_PER_LIST = 256
"""Training rows a list, at most."""


@dataclass(frozen=True)
class IVF(PartitionSpec):
    """Lists around n k-means centroids, of which a search visits nprobe."""

    nlist: int

    def __str__(self) -> str:
        return f"IVF{self.nlist}"


IVF_FORM = Form("partition", rf"IVF{NUMBER}", "IVF1024", IVF, "IVFn")


@dataclass(frozen=True)
class Probes:
    """lists: (nq, nprobe) int32 lists that each query visits, best first; negative is none. products: (nq,
    nprobe) float32 inner products of the queries with their centroids, None where nobody computed them.
    """

    lists: np.ndarray
    products: np.ndarray | None = None


EVERY, NEAREST, RANKED = "every list", "the nearest", "the best"

EVERYTHING = Probes(np.zeros((1, 1), dtype=np.int32))
"""What each query visits where all rows are one list."""


class ListAssigner(Protocol):
    """Chooses the lists of rows that are being added, in the order in which they come."""

    def assign(self, x: np.ndarray) -> np.ndarray:
        """List (n,) int32 of each float32 row."""
        ...


class Ivf(Stage):
    """Lists around k-means centroids (inverted file); the base of all partitions, which are made of (spec,
    dim, metric). metric: "l2" or "ip". plain_distances: lists are probed by distance and nothing else, so
    that kernels choose them; where this is False, `assign` and `ranked` do. places_in_order: the list of a
    row depends on the rows before it.
    """

    needs_training = True
    plain_distances = True
    places_in_order = False

    def __init__(self, spec: PartitionSpec, dim: int, metric: str) -> None:
        self.spec = spec
        self.nlist = spec.nlist
        self.dim = dim
        self.metric = metric
        self._centroids: np.ndarray | None = None
        self._assigner: Any = None
        self._choosers: dict[str, native.ListChooser] = {}

    @property
    def centroids(self) -> np.ndarray:
        """(nlist, dim) float32."""
        if self._centroids is None:
            raise NotTrainedError(f"{self.spec} has not been trained; call index.train(x) first")
        return self._centroids

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        """Learn centroids from rows (n, dim) of kernel dtype; raises TooFewRowsError for fewer than lists."""
        centroids = self._kmeans(x, seed, progress)
        if self.metric == "ip":
            _, scores = run_assigner(native.Assigner(centroids, "ip"), x)
            centroids *= common_scale(scores)
        self.load({"centroids": centroids})

    def train_parts(self, crew: Crew, first: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        """`train` with the same bits from rows in several places; crew, first: of `clustering.parted`."""
        from cluscomp.clustering.kmeans import DEFAULT_TOL
        from cluscomp.clustering.parted import cluster_parts

        metric = self.kmeans_metric
        centroids = cluster_parts(
            crew, first, self.nlist, metric=metric, n_iter=KMEANS_ITERATIONS, seed=seed, tol=DEFAULT_TOL,
            progress=progress,
        )  # fmt: skip
        if self.metric == "ip":
            centroids *= common_scale(np.concatenate(crew.each("best_products", centroids)))
        self.load({"centroids": centroids})

    def cost(self, shape: Shape) -> Cost:
        """Training on the rows of `shape`, and the choice of lists with residuals to their centroids."""
        from cluscomp.clustering.kmeans import kmeans_bytes

        one_pass = self.dim * self.nlist
        return Cost(
            train_bytes=kmeans_bytes(shape.rows, self.nlist, self.dim, self.kmeans_metric),
            train=Work(assign=one_pass) * (shape.rows * (KMEANS_ITERATIONS + 1)),
            least_rows=ROWS_PER_CENTROID * self.nlist,
            add_row_bytes=8 * self.dim + 16,
            add=Work(assign=one_pass),
        )

    def _kmeans(self, x: np.ndarray, seed: int, progress: Progress | None) -> np.ndarray:
        """Centroids (nlist, dim) float32; ip: of length one."""
        from cluscomp.arrays import row_norms
        from cluscomp.clustering.kmeans import cluster_rows

        if x.shape[0] < self.nlist:
            raise TooFewRowsError(
                f"{self.spec} needs at least {self.nlist} training rows, but got {x.shape[0]}; "
                f"pass more rows or a key with fewer lists, such as IVF{max(1, math.isqrt(x.shape[0]))},Flat"
            )
        options: dict[str, Any] = {"metric": self.kmeans_metric, "n_iter": KMEANS_ITERATIONS}
        try:
            result = cluster_rows(x, self.nlist, seed=seed, progress=progress, **options)
        except TooFewRowsError:  # enough rows, but not with a direction
            n_zero = int((row_norms(x) == 0).sum())
            raise TooFewRowsError(
                f"{self.spec} needs at least {self.nlist} training rows that are not zero, but {n_zero} of "
                f"{x.shape[0]} are; leave zero rows out (of empty texts?), or use the metric l2"
            ) from None
        return np.ascontiguousarray(result.centroids, dtype=np.float32)

    def assign(self, x: np.ndarray) -> np.ndarray:
        """List (n,) int32 of each float32 row."""
        return run_assigner(self._assigner_of(), x, with_scores=False)[0]

    def list_assigner(self, sizes: np.ndarray, n_new: int | None) -> ListAssigner:
        """Where new rows go. sizes: (nlist,) rows stored so far. n_new: how many will come, if known."""
        return self

    def largest_allowed(self, n: int) -> int | None:
        """Most rows that a list may hold when rows have been added up to n; None without a bound."""
        return None

    def beyond_bound(self, sizes: np.ndarray) -> tuple[int | None, int]:
        """Bound of lists that hold `sizes` rows (nlist,), None without one; rows of the largest beyond it."""
        bound = self.largest_allowed(int(sizes.sum()))
        return bound, 0 if bound is None else max(0, int(sizes.max()) - bound)

    def residuals(self, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """X minus the centroid of each row's list, float32."""
        return x - self.centroids[labels]

    def probe(self, queries: np.ndarray, nprobe: int) -> Probes:
        """The nprobe best lists of each query; the first is the list `assign` gives."""
        chooser = self.chooser(nprobe)
        if chooser is not None:
            return Probes(*chooser.choose(queries, nprobe))
        if nprobe == 1:
            return Probes(self.assign(queries)[:, None].astype(np.int32))
        return self.ranked(queries, nprobe)

    def chooser(self, nprobe: int) -> native.ListChooser | None:
        """What chooses nprobe lists in kernels; None where Python does."""
        if not self.plain_distances:
            return None
        if nprobe == self.nlist:
            return self._chooser(EVERY)
        return self._chooser(NEAREST if nprobe == 1 else RANKED)

    def _chooser(self, kind: str) -> native.ListChooser:
        made = self._choosers.get(kind)
        if made is None:  # when first used: an opened index may never ask
            made = self._choosers[kind] = self._make_chooser(kind)
        return made

    def _make_chooser(self, kind: str) -> native.ListChooser:
        if kind == EVERY:
            return native.ListChooser.every(self.nlist)
        if kind == NEAREST:  # near ties must fall as they fell when the rows were assigned
            return self._assigner_of().list_chooser()
        rows = build_prescreen(self.centroids, self.metric).over(self.centroids)
        return native.ListChooser.ranked(native.Parts([rows]), self.metric)

    def ranked(self, queries: np.ndarray, count: int) -> Probes:
        """The `count` best lists of each query, best first, also where these are all."""
        return Probes(*self._chooser(RANKED).choose(queries, count))

    def list_scores(self, queries: np.ndarray) -> np.ndarray:
        """Scores (nq, nlist) float32 by which `ranked` orders the lists, larger first; inner products of the
        queries with the centroids where `scores_are_products`.
        """
        scores: np.ndarray = native.score_pairs(queries, self.centroids, self.metric)
        return scores

    @property
    def scores_are_products(self) -> bool:
        """Whether `list_scores` are what residual codes add to the inner products of their rows."""
        return self.metric == "ip"

    @property
    def kmeans_metric(self) -> Metric:
        """Metric of the k-means that finds the centroids."""
        return "l2" if self.metric == "l2" else "cosine"

    def to_faiss(self, faiss: ModuleType) -> Any:
        """A faiss index of the centroids that chooses the same lists."""
        quantizer = faiss.IndexFlat(self.dim, faiss_metric(faiss, self.metric))
        quantizer.add(self.centroids)
        return quantizer

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        return {"centroids": ArraySpec("<f4", (self.nlist, self.dim))}

    def parameters(self) -> Parameters:
        return {} if self._centroids is None else {"centroids": self._centroids}

    def load(self, parameters: Parameters) -> None:
        self._centroids = np.ascontiguousarray(parameters["centroids"], dtype=np.float32)
        self._assigner, self._choosers = None, {}

    def _assigner_of(self) -> Any:
        if self._assigner is None:  # made when first used: an opened index may never assign
            self._assigner = native.Assigner(self.centroids, self.metric)
        return self._assigner


def default_nprobe(nlist: int) -> int:
    """Lists probed unless said otherwise: 4 * ceil(sqrt(nlist)), at most nlist.

    32 of 64, 128 of 1024, 1024 of 65536: the share falls as lists become more.
    """
    return min(nlist, 4 * math.isqrt(nlist - 1) + 4)


def common_scale(scores: np.ndarray) -> np.float32:
    """Factor of directions that makes residuals smallest: the mean inner product of rows with theirs."""
    mean = float(np.mean(scores, dtype=np.float64))
    return np.float32(mean if mean > 0 else 1.0)
