"""The rank units of one module, clustered and rebuilt.

A unit is row i of A beside column i of B, so that the update is the sum of the outer products b_i a_i^T
of all units and does not depend on their order.
Method: Zhao et al., "Merging LoRAs like playing LEGO" (arXiv 2409.16167).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluscomp.clustering.kmeans import KMeans
from cluscomp.clustering.labels import by_first_appearance
from cluscomp.errors import UsageError

CLUSTERINGS = ("kmeans",)
_ROUNDING = 1e-6  # a mean this much shorter than its members is what rounding left of units that cancel


@dataclass(frozen=True)
class Method:
    """How units are merged; see `merge_adapters`."""

    clustering: str = "kmeans"
    balance_norms: bool = False
    parameter_reweighting: bool = True
    output_reweighting: bool = True
    seed: int = 0


@dataclass(frozen=True)
class Rebuilt:
    """Merged units (k, d_in + d_out) float32, and the merged unit of each source unit, -1 for empty ones."""

    units: np.ndarray
    labels: np.ndarray


def rebuild(units: np.ndarray, d_in: int, rank: int, source_rank: float, method: Method) -> Rebuilt:
    """Merge units (n, d_in + d_out) float32 of one module to at most `rank`.

    source_rank: mean rank of the adapters that have the module, for output reweighting. Units without an
    update (a or b is zero) are left out; where no more than `rank` others are left, they are kept as they
    are. Two orders of the same units give the same bits. `units` is changed where norms are balanced.
    """
    a_norms, b_norms = norms(units[:, :d_in]), norms(units[:, d_in:])
    alive = np.flatnonzero((a_norms > 0) & (b_norms > 0))
    if method.balance_norms:
        factor = np.sqrt(b_norms[alive] / a_norms[alive])[:, None]
        units[alive, :d_in] *= factor
        units[alive, d_in:] /= factor
    order = np.array(sorted(alive, key=lambda i: units[i].tobytes()), dtype=np.int64)
    labels = np.full(units.shape[0], -1, dtype=np.int64)
    if order.size <= rank:
        labels[alive] = np.arange(alive.size)
        merged = units[alive].astype(np.float64)
    else:
        ordered = units[order]
        labels[order] = cluster(ordered, rank, method)
        merged = _means(ordered, labels[order], method.parameter_reweighting)
    if method.output_reweighting and merged.shape[0]:
        merged[:, d_in:] *= np.sqrt(source_rank / merged.shape[0])
    return Rebuilt(merged.astype(np.float32), labels)


def cluster(units: np.ndarray, k: int, method: Method) -> np.ndarray:
    """Labels (n,) of the rows, from 0 without a gap, in the order of first members."""
    if method.clustering == "kmeans":
        found = KMeans(k, init="k-means++", seed=method.seed).fit_predict(units)
    else:
        raise UsageError(f"clustering is {method.clustering!r}; valid are {', '.join(CLUSTERINGS)}")
    return by_first_appearance(found)


def _means(units: np.ndarray, labels: np.ndarray, restore_norms: bool) -> np.ndarray:
    """Cluster means (k, d) float64; with the mean norm of the members where `restore_norms` asks for it."""
    lengths = norms(units)
    means = np.empty((int(labels.max()) + 1, units.shape[1]))
    for c in range(means.shape[0]):
        members = np.flatnonzero(labels == c)
        means[c] = units[members].mean(axis=0, dtype=np.float64)
        if restore_norms:
            wanted, have = lengths[members].mean(), norms(means[c : c + 1])[0]
            means[c] *= wanted / have if have > _ROUNDING * wanted else 1.0
    return means


def norms(rows: np.ndarray) -> np.ndarray:
    """Length (n,) float64 of each row."""
    lengths = [np.sqrt(np.square(row, dtype=np.float64).sum()) for row in rows]
    return np.array(lengths, dtype=np.float64)
