"""Balanced lists: k-means lists of bounded size (capacity-constrained k-means).

Bound: after every `add`, and at the end of a streamed build, a list holds at most ceil(cap * n / nlist) of
the n rows stored. Deleted rows count in both numbers, since a scan reads them. `compact` drops them and
leaves the others in their lists, which may then exceed the bound of the rows that are left; its report says
by how much.

Training ends with one price a list. A row prefers the lists of smallest cost + price, cost being half the
squared distance (l2) or minus the inner product of the row's direction with the centroid (ip); for rows like
those of the training the prices alone keep the lists within the bound, or nearly. Rows are assigned one
after the other to their cheapest list that is not full. The quota is that of all rows of the call (of a
streamed build, if it announces them); where rows come unannounced, that of the rows so far, so that the bound
holds at every moment. No choice depends on blocks: a streamed build makes the lists that one `add` makes.
Queries probe lists in the same order of cost + price, so that a row that got its first choice is found in the
first list probed.

Source of prices: clustering/balanced/solver.py. Rows beyond the quota go to their next choice as in
Elasticsearch's and Weaviate's capped lists; there the first choice has no price.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from cluscomp import native
from cluscomp.arrays import normalize_rows
from cluscomp.errors import UsageError
from cluscomp.indexes.keys.forms import NUMBER, Form
from cluscomp.indexes.keys.specs import PartitionSpec
from cluscomp.indexes.stages.cost import Cost, Shape, Work
from cluscomp.indexes.stages.faiss_parts import chain
from cluscomp.indexes.stages.ivf import Ivf, Probes, common_scale
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters
from cluscomp.progress import Progress, Ticker

if TYPE_CHECKING:
    from cluscomp.clustering.parted import Crew

DEFAULT_CAP = 1.5
BALANCE_ITERATIONS = 5
"""Steps within the bounds, after those of plain k-means."""

PREFERENCES = 16
"""Lists looked at beyond the first, and four times as many each time they are all full."""
_ENTRIES = 1 << 20  # of preferences held at once
_ENTRY_BYTES = 12  # number and cost of a list that a row may choose
_PLAIN_STEPS = 3  # that a step within the bounds takes as long as, about


@dataclass(frozen=True)
class BIVF(PartitionSpec):
    """Balanced lists, of which none holds more than cap times the mean number of rows."""

    nlist: int
    cap: float = DEFAULT_CAP

    def __str__(self) -> str:
        return f"BIVF{self.nlist}" if self.cap == DEFAULT_CAP else f"BIVF{self.nlist}(cap={self.cap:g})"


def _capped(nlist: int, cap: float | None) -> BIVF:
    if cap is not None and cap < 1:
        raise UsageError(
            f"BIVF{nlist}(cap={cap:g}): lists of at most {cap:g} times the mean cannot hold all rows; "
            "the cap must be at least 1"
        )
    return BIVF(nlist, cap or DEFAULT_CAP)


BIVF_FORM = Form(
    "partition", rf"BIVF{NUMBER}(?:\(cap=(\d{{1,3}}(?:\.\d{{1,3}})?)\))?", "BIVF1024", _capped,
    "BIVFn[(cap=1.5)]",
)  # fmt: skip


class BalancedIvf(Ivf):
    """Lists around the centroids of capacity-constrained k-means, each with a price."""

    spec: BIVF
    plain_distances = False
    places_in_order = True
    _finder: native.Candidates | None = None

    @property
    def prices(self) -> np.ndarray:
        """(nlist,) float32, in the unit of the cost."""
        self.centroids  # noqa: B018 - raises NotTrainedError
        return self._prices

    @property
    def milli(self) -> int:
        """The cap in thousandths, which the key's grammar makes exact."""
        return round(1000 * self.spec.cap)

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        """Learn centroids and prices from rows (n, dim) of kernel dtype; raises as `Ivf.train`."""
        from cluscomp.clustering.balanced.assign import Bounds
        from cluscomp.clustering.balanced.kmeans import balanced_lloyd
        from cluscomp.clustering.lloyd import WeightedRows

        n, steps = x.shape[0], (BALANCE_ITERATIONS + 1) * x.shape[0]
        before = None if progress is None else lambda stage, i, of: progress(stage, i, of + steps)
        start = self._kmeans(x, seed, before)
        rows = WeightedRows(x, "l2" if self.metric == "l2" else "cosine")
        bounds = Bounds.of(0, native.list_quota(self.milli, n, self.nlist), n, self.nlist)
        ticker = Ticker(progress, "train", steps)
        result = balanced_lloyd(rows, start, bounds, n_iter=BALANCE_ITERATIONS, ticker=ticker)
        centroids, prices = np.ascontiguousarray(result.centroids), result.found.prices
        if self.metric == "ip":
            scale = common_scale(native.pair_scores(x, centroids, "ip", result.found.labels))
            centroids, prices = centroids * scale, prices * scale
        self.load({"centroids": centroids, "prices": prices})
        ticker.finish()

    def train_parts(self, crew: Crew, first: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        """Refused: bounds hold for all rows together."""
        raise UsageError(
            f"{self.spec} trains in one place, since the bounds of its lists hold for all rows together; "
            f"train without --train distributed, or use IVF{self.nlist}"
        )

    def cost(self, shape: Shape) -> Cost:
        """That of plain lists, with the steps within the bounds; and the choices of rows that are placed."""
        from cluscomp.clustering.balanced.solver import solver_bytes

        plain, steps = super().cost(shape), _PLAIN_STEPS * (BALANCE_ITERATIONS + 1)
        solving = 40 * shape.rows + 24 * self.nlist * self.dim + solver_bytes(shape.rows, self.nlist)
        return replace(
            plain,
            train_bytes=max(plain.train_bytes, solving),
            train=plain.train + Work(assign=self.dim * self.nlist) * (shape.rows * steps),
            add_bytes=_ENTRIES * _ENTRY_BYTES,
            add_row_bytes=plain.add_row_bytes + (12 * self.dim if self.metric == "ip" else 0),  # unit rows
        )

    def assign(self, x: np.ndarray) -> np.ndarray:
        """First choice (n,) int32 of each float32 row: the list where it belongs while there is room."""
        return np.asarray(self._assigner_of().assign(self._comparable(x))[0])

    def list_assigner(self, sizes: np.ndarray, n_new: int | None) -> CappedAssigner:
        """Places rows within the quota, in the order in which they come."""
        return CappedAssigner(self, sizes, n_new)

    def largest_allowed(self, n: int) -> int:
        """Bound of the lists: ceil(cap * n / nlist)."""
        return int(native.list_quota(self.milli, n, self.nlist))

    def preferences(self, x: np.ndarray, length: int) -> np.ndarray:
        """The `length` best lists (n, length) int32 of each float32 row, by cost + price."""
        if self._finder is None:
            self._finder = native.Candidates(self.centroids, self.metric, self.prices.astype(np.float64))
        return np.asarray(self._finder.nearest(self._comparable(x), length)[0])

    def probe(self, queries: np.ndarray, nprobe: int) -> Probes:
        """The nprobe best lists of each query, best first."""
        if nprobe == 1:
            return Probes(self.assign(queries)[:, None])
        return self.ranked(queries, nprobe)

    def ranked(self, queries: np.ndarray, count: int) -> Probes:
        return Probes(self.preferences(queries, count))

    def list_scores(self, queries: np.ndarray) -> np.ndarray:
        ranks = np.broadcast_to(-np.arange(self.nlist, dtype=np.float32), (len(queries), self.nlist))
        scores = np.empty_like(ranks)
        np.put_along_axis(scores, self.preferences(queries, self.nlist), ranks, axis=1)
        return scores

    scores_are_products = False

    def to_faiss(self, faiss: ModuleType) -> Any:
        """Cost + price as a plain distance or inner product of rows that have one more value, 0 or 1."""
        dim, prices = self.dim, self.prices.astype(np.float64)
        if self.metric == "l2":  # |x - c|^2 + 2 p
            more = np.sqrt(2 * (prices - prices.min()))
            flat, links = faiss.IndexFlatL2(dim + 1), [faiss.RemapDimensionsTransform(dim, dim + 1, False)]
        else:  # <x / |x|, c> - p
            more = -prices
            widen = faiss.LinearTransform(dim, dim + 1, True)
            faiss.copy_array_to_vector(np.eye(dim + 1, dim, dtype=np.float32).reshape(-1), widen.A)
            faiss.copy_array_to_vector(np.eye(1, dim + 1, dim, dtype=np.float32).reshape(-1), widen.b)
            widen.is_trained = widen.is_orthonormal = True
            flat, links = faiss.IndexFlatIP(dim + 1), [faiss.NormalizationTransform(dim, 2.0), widen]
        flat.add(np.hstack([self.centroids, more[:, None]]).astype(np.float32))
        return chain(faiss, links, flat)

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        return super().parameter_specs | {"prices": ArraySpec("<f4", (self.nlist,))}

    def parameters(self) -> Parameters:
        return {} if self._centroids is None else {"centroids": self._centroids, "prices": self._prices}

    def load(self, parameters: Parameters) -> None:
        super().load(parameters)
        self._prices = np.ascontiguousarray(parameters["prices"], dtype=np.float32)
        self._finder = None

    def _assigner_of(self) -> native.Assigner:
        if self._assigner is None:
            self._assigner = native.Assigner(self.centroids, self.metric, -self._prices)
        return self._assigner

    def _comparable(self, x: np.ndarray) -> np.ndarray:
        """Prices belong to unit rows where the centroids are directions."""
        return normalize_rows(x) if self.metric == "ip" else x


Preferences = Callable[[slice, int], np.ndarray]
"""(rows, length): the `length` best lists (n, length) int32 of some of the rows, by cost + price."""


class CappedAssigner:
    """Places rows one after the other into lists that hold `sizes` rows."""

    def __init__(self, lists: BalancedIvf, sizes: np.ndarray, n_new: int | None) -> None:
        self._lists = lists
        self._sizes = np.array(sizes, dtype=np.int64)
        self._n = int(self._sizes.sum())
        self._announced = 0 if n_new is None else self._n + n_new

    def assign(self, x: np.ndarray) -> np.ndarray:
        """List (n,) int32 of each float32 row: its first choice that has room."""
        return self.place(
            self._lists.assign(x), lambda part, length: self._lists.preferences(x[part], length)
        )

    def place(self, labels: np.ndarray, preferences: Preferences) -> np.ndarray:
        """`assign` for rows whose first choices (n,) int32 are known; these are written over, and returned.

        preferences: asked for rows whose first choice may be full.
        """
        done = self._place(labels[:, None], labels)
        length = PREFERENCES
        while done < len(labels):
            length = min(length, self._lists.nlist)
            part = slice(done, min(len(labels), done + max(1, _ENTRIES // length)))
            choices = np.hstack([labels[part, None], preferences(part, length)])
            placed = self._place(choices, labels[part])
            done += placed
            length = length * 4 if placed < len(choices) else max(PREFERENCES, length // 4)
        return labels

    def _place(self, choices: np.ndarray, labels: np.ndarray) -> int:
        """Write the lists of the rows up to the first for which all its choices are full."""
        placed = native.place_in_order(
            np.ascontiguousarray(choices), self._n, self._announced, self._lists.milli, self._sizes, labels
        )
        self._n += placed
        return int(placed)
