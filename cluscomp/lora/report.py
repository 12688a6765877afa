"""What a merge kept, from the factors alone: norms and inner products of updates by Gram matrices.

The update is DW = B A, and <DW, DW'> is the sum of the products of A A'^T and B^T B', entry by entry, both as
small as the ranks; the update itself, d_out x d_in, is never formed. Merged units are weighted sums of source
units, so the Gram matrices of those are enough.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cluscomp.lora.rebuild import Rebuilt

POOR_COSINE = 0.5
"""A unit is badly represented when its update has less than this cosine with that of its cluster."""
_NOTHING = 1e-12


@dataclass(frozen=True)
class ModuleReport:
    """One module. energy: squared Frobenius norm of an update; sum: the weighted sum of the adapters.

    inner: inner product of sum and merged update. best_energy: of the best update of that rank, by singular
    values. cluster_sizes: units that each merged unit stands for. poor_units: adapter number, rank index and
    cosine of the units that their cluster represents badly, worst first (`POOR_COSINE`). empty_units: those
    without an update.
    """

    module: str
    source_ranks: tuple[int, ...]
    rank: int
    sum_energy: float
    merged_energy: float
    inner: float
    best_energy: float
    cluster_sizes: tuple[int, ...]
    poor_units: tuple[tuple[int, int, float], ...]
    empty_units: int

    @property
    def energy_kept(self) -> float:
        """Merged energy as a share of the sum's; may exceed 1."""
        return _share(self.merged_energy, self.sum_energy)

    @property
    def cosine(self) -> float:
        """Cosine of merged update and sum: 1 where they differ by a factor only."""
        return _share(self.inner, math.sqrt(self.sum_energy * self.merged_energy))

    @property
    def error(self) -> float:
        """Distance of merged update and sum, relative to the sum."""
        square = self.sum_energy - 2 * self.inner + self.merged_energy
        return math.sqrt(max(0.0, _share(square, self.sum_energy)))

    def to_json(self) -> dict[str, Any]:
        """All figures as plain values."""
        best = _share(self.best_energy, self.sum_energy)
        shares = {"energy_kept": self.energy_kept, "cosine": self.cosine, "error": self.error}
        return {**asdict(self), **shares, "best_energy_kept": best}


@dataclass(frozen=True)
class MergeReport:
    """A whole merge: settings, and one `ModuleReport` a module.

    wide: names of the tensors that are float32 in a file of float16, which would lose them.
    """

    settings: dict[str, Any]
    modules: tuple[ModuleReport, ...]
    wide: tuple[str, ...] = ()

    def total(self) -> ModuleReport:
        """The modules together, as if they were one block-diagonal update."""
        mods = self.modules
        return ModuleReport(
            "all modules",
            source_ranks=tuple(sum(ranks) for ranks in zip(*(m.source_ranks for m in mods), strict=True)),
            rank=sum(m.rank for m in mods),
            sum_energy=sum(m.sum_energy for m in mods),
            merged_energy=sum(m.merged_energy for m in mods),
            inner=sum(m.inner for m in mods),
            best_energy=sum(m.best_energy for m in mods),
            cluster_sizes=tuple(size for m in mods for size in m.cluster_sizes),
            poor_units=tuple(unit for m in mods for unit in m.poor_units),
            empty_units=sum(m.empty_units for m in mods),
        )

    def to_json(self) -> dict[str, Any]:
        """Settings, totals and modules as plain values."""
        total = self.total().to_json()
        for name in ("module", "cluster_sizes", "poor_units"):
            total.pop(name)
        total["n_poor_units"] = sum(len(m.poor_units) for m in self.modules)
        modules = [m.to_json() for m in self.modules]
        return {**self.settings, "total": total, "modules": modules, "float32_tensors": list(self.wide)}


def module_report(name: str, ranks: tuple[int, ...], rebuilt: Rebuilt) -> ModuleReport:
    """Compare the units of all adapters (ranks: how many of each, in their order) with those made of them."""
    a, b, rank = rebuilt.gram_a, rebuilt.gram_b, rebuilt.units.shape[0]
    mixed_a, mixed_b = a @ rebuilt.mix_a.T, b @ rebuilt.mix_b.T
    made_a, made_b = rebuilt.mix_a @ mixed_a, rebuilt.mix_b @ mixed_b
    own, made = (
        np.sqrt(np.maximum(np.diag(x) * np.diag(y), 0.0)) for x, y in ((a, b), (made_a, made_b))
    )  # 0: where units cancelled, rounding may leave less than nothing
    products = mixed_a * mixed_b
    sizes = np.bincount(rebuilt.labels[rebuilt.labels >= 0], minlength=rank)
    return ModuleReport(
        module=name,
        source_ranks=ranks,
        rank=rank,
        sum_energy=float(np.sum(a * b)),
        merged_energy=float(np.sum(made_a * made_b)),
        inner=float(np.sum(products)),
        best_energy=_best_energy(a, b, rank),
        cluster_sizes=tuple(int(size) for size in sizes),
        poor_units=tuple(_poor(ranks, rebuilt.labels, products, own, made)),
        empty_units=int(np.sum(rebuilt.labels < 0)),
    )


def _best_energy(a: np.ndarray, b: np.ndarray, rank: int) -> float:
    """Energy of the best update of a rank: with A A^T = L L^T, B A has the singular values of B L."""
    values, vectors = np.linalg.eigh(a)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    squares = np.linalg.eigvalsh(root.T @ b @ root)[::-1]
    return float(np.maximum(squares[:rank], 0.0).sum())


def _poor(
    ranks: tuple[int, ...], labels: np.ndarray, products: np.ndarray, own: np.ndarray, made: np.ndarray
) -> list[tuple[int, int, float]]:
    """Units whose update has a small cosine with that of their cluster, worst first.

    products: (n, k) inner products of source and merged updates. own: (n,), made: (k,) their norms.
    """
    source = [(adapter, index) for adapter, rank in enumerate(ranks) for index in range(rank)]
    found = []
    for i in np.flatnonzero(labels >= 0):
        c = labels[i]
        # Where units cancelled, rounding may leave something of their cluster.
        cosine = float(products[i, c] / (own[i] * made[c])) if made[c] > _NOTHING * own[i] else 0.0
        if cosine < POOR_COSINE:
            found.append((*source[i], cosine))
    return sorted(found, key=lambda unit: unit[2])


def _share(part: float, whole: float) -> float:
    """Part / whole; of nothing, nothing is lost."""
    return float(part / whole) if whole > 0 else 1.0
