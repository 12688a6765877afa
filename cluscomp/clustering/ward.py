"""Ward's method (Ward, "Hierarchical grouping to optimize an objective function", JASA 58 (1963)).

Merges the two clusters whose union raises the sum of squared distances to the means the least. The height of
a merge of A and B is sqrt(2 |A| |B| / (|A| + |B|)) |mean A - mean B|, as scipy's `linkage(..., "ward")` gives
it, and height ** 2 / 2 is what the merge adds to that sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from cluscomp import checks, native
from cluscomp.arrays import as_rows
from cluscomp.errors import InfeasibleError

LinkageInput = Literal["euclidean", "cosine_condensed", "cosine_square"]
LINKAGE_INPUTS: tuple[LinkageInput, ...] = get_args(LinkageInput)

MAX_ROWS = 16_384
"""Longest run that is clustered at once: its distances take up to 8 n^2 bytes, 2 GiB."""

_PRODUCTS_PER_BLOCK = 1 << 33  # multiply-adds of one native call: about 0.1-0.3 s on two cores


@dataclass(frozen=True)
class Merges:
    """Merges within runs of rows, by ascending height; run i is the rows starts[i]..stops[i].

    pairs: (N, 2) int32 and heights: (N,) float64; those of run i stand at starts[i]..stops[i] - 1, and the
    last row of a run holds (-1, -1) and infinity. A pair (a, b), a < b, counts rows from starts[i] and joins
    the clusters that the two rows are in.
    """

    pairs: np.ndarray
    heights: np.ndarray
    starts: np.ndarray
    stops: np.ndarray

    def cut(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cut run i into at most counts[i] clusters, as scipy's fcluster(criterion="maxclust") does.

        Merges of equal height are made all or none, so there may be fewer clusters than asked for. Returns
        labels (N,) int32, numbered by first appearance within the run and -1 outside all runs, and the number
        of clusters (n_runs,) int64.
        """
        return native.cut_merges(self.pairs, self.heights, self.starts, self.stops, counts)


def ward_merges(
    x: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    linkage_input: LinkageInput = "euclidean",
    advance: Callable[[int], None] | None = None,
) -> Merges:
    """Ward's method within runs of rows that do not overlap, each by itself, in parallel.

    x: (N, d) rows of kernel dtype. starts, stops: (n_runs,) int64, ascending. linkage_input: "euclidean" =
    distances of the rows, the true Ward; "cosine_condensed" = 1 - cosine in [0, 2], taken for a Euclidean
    distance; "cosine_square" = Euclidean distances between the rows of the matrix of 1 - cosine.
    advance(runs) is called after each block. Raises InfeasibleError for a run of more than MAX_ROWS rows.

    Merges equal scipy's where heights are not equal up to float64 rounding. Points ("euclidean" and
    "cosine_square") are rounded to 16 bits; where the bounds that follow leave more than one pair that may be
    the cheapest, float64 decides. "cosine_condensed" has no points: float32 products decide where distances
    differ by more than a tolerance, float64 elsewhere; that tolerance is five times the largest error that
    was measured, not a proven bound.
    """
    sizes = stops - starts
    longest = int(sizes.max(initial=0))
    if longest > MAX_ROWS:
        raise InfeasibleError(
            f"a run of {longest} rows needs {8e-9 * longest**2:.1f} GB of distances, and Ward's method takes "
            f"{MAX_ROWS} rows at most; use k-means, or method='kmeans' or 'sequential' for pooling"
        )
    pairs = np.full((x.shape[0], 2), -1, dtype=np.int32)
    heights = np.full(x.shape[0], np.inf)
    widths = x.shape[1] + (sizes if linkage_input == "cosine_square" else 0)
    ends = np.cumsum(sizes.astype(np.float64) ** 2 * widths)
    first, done = 0, 0.0
    while first < sizes.shape[0]:
        last = max(first + 1, int(np.searchsorted(ends, done + 2 * _PRODUCTS_PER_BLOCK, side="right")))
        rows = slice(int(starts[first]), int(stops[last - 1]))
        pairs[rows], heights[rows], _ = native.ward_merges(
            x[rows], starts[first:last] - rows.start, stops[first:last] - rows.start, linkage_input
        )
        if advance is not None:
            advance(last - first)
        first, done = last, float(ends[last - 1])
    return Merges(pairs, heights, starts, stops)


def ward_linkage(x: Any, *, linkage_input: str = "euclidean") -> np.ndarray:
    """Linkage matrix (n - 1, 4) float64 of the rows of x (n, d), in the form of scipy.cluster.hierarchy.

    Row i names the two clusters that merge (rows are 0..n-1, the cluster made by row j is n + j), the height,
    and the size. linkage_input: as in `ward_merges`. Raises what `as_rows` does, UnknownKeyError,
    InfeasibleError (more than MAX_ROWS rows).
    """
    rows = as_rows(x)
    checked = checks.one_of("linkage_input", linkage_input, LINKAGE_INPUTS)
    merges = ward_merges(rows, np.zeros(1, np.int64), np.array([rows.shape[0]]), checked)
    return native.linkage_matrix(merges.pairs, merges.heights)
