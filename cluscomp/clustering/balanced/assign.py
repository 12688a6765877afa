"""Assignment with a capacity for every cluster, and the certificate of its cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp import checks, native
from cluscomp.arrays import as_numbers, as_rows, iter_blocks, normalize_rows, to_float32
from cluscomp.clustering.balanced.items import Items, find_items
from cluscomp.clustering.balanced.solver import Solution, solve
from cluscomp.clustering.blocks import block_rows
from cluscomp.clustering.metrics import kernel_metric
from cluscomp.errors import DimensionError, UsageError
from cluscomp.progress import Progress, Ticker
from cluscomp.vocabulary import Metric


def balanced_assign(
    x: Any,
    centroids: Any,
    *,
    capacity: Any,
    metric: str = "l2",
    minimum: Any = 0,
    progress: Progress | None = None,
) -> np.ndarray:
    """Assign rows to centroids at the least total cost, with at most `capacity` rows for each.

    The cost is the least possible where n * k is at most 4 million; above, rows choose among the 16 to 64
    best clusters of each. The same for any thread count, block size and instruction set. Source: the
    transportation problem, solved in its dual.

    Args:
        x: rows (n, d), as `assign` takes them, on the CPU.
        centroids: (k, d).
        capacity: most rows of a cluster, a whole number or (k,) of them.
        metric: "l2" (cost: squared distance), "ip" (minus inner product) or "cosine" (one minus cosine).
        minimum: least rows of a cluster, a whole number or (k,) of them.
        progress: called as progress(stage, done, total) in rows.

    Returns:
        Labels (n,) int32. Ties: the lowest centroid index where the bounds leave the choice; of equal rows
        that must be split, earlier rows go to lower clusters.

    Raises:
        UsageError: the bounds cannot hold n rows; the message has the numbers.
        UnknownKeyError: the metric is unknown.
        DimensionError, DTypeError, NonFiniteError, EmptyInputError: as `assign` raises them.
    """
    checked = checks.metric(metric)
    points = to_float32(as_rows(centroids, name="centroids"))
    rows = as_rows(x, dim=points.shape[1], min_rows=0)
    bounds = Bounds.of(minimum, capacity, rows.shape[0], points.shape[0])
    if rows.shape[0] == 0:
        return np.empty(0, dtype=np.int32)
    ticker = Ticker(progress, "assign", rows.shape[0])
    found = bounds.solve(find_items(rows, checked, int(bounds.high.min())), points, ticker=ticker)
    ticker.finish()
    return found.labels


@dataclass(frozen=True)
class Bounds:
    """Least and most rows of each cluster: low and high, (k,) int64."""

    low: np.ndarray
    high: np.ndarray

    @staticmethod
    def of(minimum: Any, capacity: Any, n: int, k: int) -> Bounds:
        """Checked bounds; UsageError where n rows cannot keep them."""
        low, high = _whole(minimum, k, "minimum"), _whole(capacity, k, "capacity")
        if (low > high).any():
            j = int(np.argmax(low > high))
            raise UsageError(f"cluster {j} has minimum {low[j]} above its capacity {high[j]}")
        if high.sum() < n:
            raise UsageError(
                f"{n} rows do not fit {k} clusters with a total capacity of {high.sum()}; "
                f"a capacity of {-(-n // k)} for each is enough"
            )
        if low.sum() > n:
            raise UsageError(
                f"{k} clusters need at least {low.sum()} rows in all, but there are {n}; lower the minimum"
            )
        return Bounds(low, np.minimum(high, max(n, 1)))

    def solve(self, items: Items, centroids: np.ndarray, **options: Any) -> Solution:
        """`balance_solver.solve` within these bounds."""
        return solve(items, centroids, self.low, self.high, **options)


def _whole(value: Any, k: int, name: str) -> np.ndarray:
    numbers = as_numbers(value, name=name)
    if numbers.shape not in ((), (k,)):
        raise DimensionError(f"{name} has shape {numbers.shape}, but there are {k} clusters")
    if numbers.dtype.kind not in "iu" and not (
        numbers.dtype.kind == "f" and np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all()
    ):
        raise UsageError(f"{name} must be whole numbers of rows, but is {value!r}")
    if (numbers < 0).any():
        raise UsageError(f"{name} must not be negative, but is {value!r}")
    return np.ascontiguousarray(np.broadcast_to(numbers, (k,)).astype(np.int64))


def total_cost(x: np.ndarray, centroids: np.ndarray, labels: np.ndarray, metric: Metric) -> float:
    """Objective of the labels in float64 (table in metrics.py); x of kernel dtype."""
    if metric == "cosine":
        centroids = normalize_rows(centroids)
    losses = np.empty(x.shape[0])  # summed as a whole: sums of blocks would round as the blocks fall
    for block in iter_blocks(x.shape[0], block_rows(x.shape[1], 16)):
        rows = normalize_rows(x[block]) if metric == "cosine" else x[block]
        scores = native.pair_scores(rows, centroids, kernel_metric(metric), labels[block])
        losses[block] = _losses(scores, metric)
    return float(losses.sum())


def _losses(scores: np.ndarray, metric: Metric) -> np.ndarray:
    scores = scores.astype(np.float64)
    if metric == "l2":
        return scores
    return (1.0 if metric == "cosine" else 0.0) - scores


def priced_labels(
    x: np.ndarray, centroids: np.ndarray, metric: Metric, prices: np.ndarray, ticker: Ticker | None = None
) -> np.ndarray:
    """Labels (n,) int32 of smallest cost + price, each row by itself; x of kernel dtype."""
    assigner = _priced(centroids, metric, prices)
    labels = np.empty(x.shape[0], dtype=np.int32)
    for block in iter_blocks(x.shape[0], block_rows(x.shape[1], centroids.shape[0])):
        labels[block] = assigner.assign(normalize_rows(x[block]) if metric == "cosine" else x[block])[0]
        if ticker is not None:
            ticker.advance(block.stop - block.start)
    return labels


def _priced(centroids: np.ndarray, metric: Metric, prices: np.ndarray) -> native.Assigner:
    points = normalize_rows(centroids) if metric == "cosine" else centroids
    return native.Assigner(
        np.ascontiguousarray(points, np.float32), kernel_metric(metric), -prices.astype(np.float32)
    )


def duality_gap(
    x: np.ndarray, centroids: np.ndarray, found: Solution, bounds: Bounds, metric: Metric
) -> float:
    """How much the total cost may lie above the least possible one, at most; in units of the objective.

    One pass over all pairs: the dual value of the prices bounds every balanced assignment from below.
    """
    unit = 2.0 if metric == "l2" else 1.0  # prices belong to half the squared distance
    paid = found.prices.astype(np.float32).astype(np.float64)
    assigner = _priced(centroids, metric, found.prices)
    reduced = np.empty(x.shape[0])
    for block in iter_blocks(x.shape[0], block_rows(*centroids.shape[::-1])):
        rows = normalize_rows(x[block]) if metric == "cosine" else x[block]
        labels, scores = assigner.assign(rows)
        reduced[block] = _losses(scores, metric) + unit * paid[labels]
    dual = float(reduced.sum()) - unit * float(np.maximum(paid * bounds.high, paid * bounds.low).sum())
    return max(0.0, total_cost(x, centroids, found.labels, metric) - dual)
