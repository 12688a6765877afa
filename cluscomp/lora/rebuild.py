"""The rank units of one module, clustered and rebuilt.

A unit is row i of A beside column i of B, so that the update is the sum of the outer products b_i a_i^T
of all units and does not depend on their order.
Method: Zhao et al., "Merging LoRAs like playing LEGO" (arXiv 2409.16167).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.lora.cluster import cluster_units

_ROUNDING = 1e-6  # a mean this much shorter than its members is what rounding left of units that cancel
_COLUMNS = 4096  # of a Gram matrix, at a time


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
    """Merged units (k, d_in + d_out) float32, and how they came from the n source units.

    labels: (n,) merged unit of each source unit, -1 for empty ones. mix_a, mix_b: (k, n) float64 weights with
    which the merged rows of A and columns of B are sums of the sources'. gram_a, gram_b: (n, n) float64 inner
    products of those.
    """

    units: np.ndarray
    labels: np.ndarray
    mix_a: np.ndarray
    mix_b: np.ndarray
    gram_a: np.ndarray
    gram_b: np.ndarray


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
    gram_a, gram_b = _gram(units[:, :d_in]), _gram(units[:, d_in:])
    labels = np.full(units.shape[0], -1, dtype=np.int64)
    if alive.size <= rank:
        labels[alive] = np.arange(alive.size)
        merged, mix = units[alive], np.eye(units.shape[0])[alive]
    else:
        order = np.array(sorted(alive, key=lambda i: units[i].tobytes()), dtype=np.int64)
        gram = (gram_a + gram_b)[np.ix_(order, order)]
        labels[order] = cluster_units(units[order], gram, rank, method.clustering, method.seed)
        merged, mix = _means(units, order, labels, method.parameter_reweighting)
    scale = np.sqrt(source_rank / max(1, merged.shape[0])) if method.output_reweighting else 1.0
    merged[:, d_in:] *= scale
    return Rebuilt(merged, labels, mix, scale * mix, gram_a, gram_b)


def _means(
    units: np.ndarray, order: np.ndarray, labels: np.ndarray, restore_norms: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Cluster means (k, d) float32, summed in the given order of units, and their weights (k, n) float64.

    restore_norms: give each mean the mean norm of its members.
    """
    lengths = norms(units)
    k = int(labels.max()) + 1
    means, mix = np.empty((k, units.shape[1]), np.float32), np.zeros((k, units.shape[0]))
    for c in range(k):
        members = order[labels[order] == c]
        mean, factor = units[members].mean(axis=0, dtype=np.float64), 1.0
        if restore_norms:
            wanted, have = lengths[members].mean(), norms(mean[None])[0]
            factor = wanted / have if have > _ROUNDING * wanted else 1.0
        means[c] = factor * mean
        mix[c, members] = factor / members.size
    return means, mix


def equal_magnitudes(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Factors a (k, d_in), b (k, d_out) of the same update, each unit scaled by a power of two so that its
    largest values in a and b are about equal: both then fit a narrow range of exponents if any two do.
    """
    largest = [np.abs(part).max(axis=1).astype(np.float64) for part in (a, b)]
    alive = (largest[0] > 0) & (largest[1] > 0)
    ratio = np.divide(largest[1], largest[0], out=np.ones(len(a)), where=alive)
    shift = np.rint(np.log2(ratio) / 2).astype(np.int32)[:, None]
    return np.ldexp(a, shift), np.ldexp(b, -shift)


def norms(rows: np.ndarray) -> np.ndarray:
    """Length (n,) float64 of each row."""
    lengths = [np.sqrt(np.square(row, dtype=np.float64).sum()) for row in rows]
    return np.array(lengths, dtype=np.float64)


def _gram(x: np.ndarray) -> np.ndarray:
    """Inner products (n, n) float64 of the rows of x, a block of columns at a time."""
    gram = np.zeros((x.shape[0], x.shape[0]))
    for block in iter_blocks(x.shape[1], _COLUMNS):
        part = x[:, block].astype(np.float64)
        gram += part @ part.T
    return gram
