"""Bits for each group of principal axes by how much rows vary along them: SAQ (arXiv 2509.12086).

Rows less their mean are turned to their principal axes, and by a random rotation within each group of axes.
A group gets bits so that the sum of its variances times 2^-bits is least over all groups: the error of an
inner product is weighted by the energy of the query, too, which falls like that of the rows. Grids of a
dimension are those that are best for normal values of its variance (Max, "Quantizing for minimum distortion",
1960).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluscomp.progress import Progress, Ticker
from cluscomp.quantization.pca import mean_and_covariance, principal_directions
from cluscomp.quantization.rotation import random_rotation

GROUP = 16
"""Axes of the same bits."""
MOST_BITS = 8

_STEPS = (0.0, 1.596, 0.9957, 0.586, 0.3352, 0.1881, 0.1041, 0.0569, 0.0308)
"""Distance of neighbouring levels of the best even grid of so many bits for standard normal values."""
_ERRORS = (1.0, 0.3634, 0.1188, 0.03744, 0.01154, 0.003495, 0.00104, 0.000304, 0.0000877)
"""Mean squared error of that grid."""
_LEAST_SHARE = 1e-12  # of the energy of the first group: what varies less gets no bits


@dataclass(frozen=True)
class VariedBits:
    """mean: (d,). directions: (d, d) orthonormal rows. units: (d,), what one step of a number of the most
    bits stands for. widths: bytes of each plane, that of the highest bits first: its bits are those of the
    first 8 * width axes. bar: standard deviation of the error of an inner product, where queries vary like
    rows, as a multiple of what it would be if either lay in any direction.
    """

    mean: np.ndarray
    directions: np.ndarray
    units: np.ndarray
    widths: list[int]
    bar: float


def most_code_bytes(dim: int) -> int:
    """Bytes of MOST_BITS bits a dimension."""
    return MOST_BITS * -(-dim // 8)


def train_varied_bits(
    x: np.ndarray, code_bytes: int, seed: int, progress: Progress | None = None
) -> VariedBits:
    """What rows x (n, d) say of codes of at most so many bytes."""
    n, dim = x.shape
    mean, covariance = mean_and_covariance(x, Ticker(progress, "varied bits", 2 * n))
    directions, variances = principal_directions(covariance)
    firsts = range(0, dim, GROUP)
    for first in firsts:
        group = slice(first, min(first + GROUP, dim))
        size = group.stop - group.start
        directions[group] = random_rotation(size, size, seed + first).matrix @ directions[group]
    sizes = np.array([min(GROUP, dim - first) for first in firsts])
    energies = np.add.reduceat(np.maximum(variances, 0.0), list(firsts))
    bytes_of = -(-sizes // 8)
    bits = allotted(energies, bytes_of, code_bytes)
    most = int(bits.max())
    spread = np.sqrt(energies / sizes)
    steps = spread * np.take(_STEPS, bits) / 2.0 ** (most - bits)
    units = np.repeat(np.where(steps > 0, steps, 1.0), sizes)
    widths = [int(bytes_of[bits > plane].sum()) for plane in range(most)]
    return VariedBits(mean, directions, units, widths, _bar(energies, sizes, np.take(_ERRORS, bits)))


def _bar(energies: np.ndarray, sizes: np.ndarray, lost: np.ndarray) -> float:
    """VariedBits.bar. lost: of the energy of each group, by its grid."""
    total = energies.sum()
    if not total > 0:
        return 1.0
    scale = total / (energies * (1 - lost)).sum()  # that makes estimates unbiased, which lengthens codes
    errors = energies * ((scale * (1 - lost) - 1) ** 2 + scale**2 * lost * (1 - lost))
    return float(np.sqrt(sizes.sum() * (errors * energies / sizes).sum() / (errors.sum() * total)))


def allotted(energies: np.ndarray, costs: np.ndarray, quota: int) -> np.ndarray:
    """Bits (g,) of groups that make the sum of energies times 2^-bits least, at most MOST_BITS each.

    energies: (g,), none above the one before. costs: of a bit of each group, of which `quota` may be spent.
    No group has more bits than the one before; of equal gains the last such group is taken. The first has one
    bit at least.
    """
    bits = np.zeros(len(energies), dtype=np.int64)
    gains = np.where(energies > _LEAST_SHARE * energies[0], energies, 0.0)
    while True:
        before = np.concatenate([[MOST_BITS], bits[:-1]])
        possible = (gains > 0) & (bits < before) & (costs <= quota)
        if not possible.any():
            break
        best = np.flatnonzero(possible & (gains == gains[possible].max()))[-1]
        bits[best] += 1
        gains[best] /= 2
        quota -= int(costs[best])
    bits[0] = max(bits[0], 1)
    return bits
