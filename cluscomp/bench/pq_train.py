"""Training a product quantizer, without and with a rotation, against ProductQuantizer.train and OPQMatrix.

Starts are random on both sides and cannot be shared, so equality means: our reconstruction error on the
training rows is not above theirs by more than the scatter between two starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks
from cluscomp.bench.checks import check_not_above
from cluscomp.bench.harness import Case, Measured, Verdict, Work
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench, contenders
from cluscomp.quantization import ProductQuantizer, train_opq

BASELINES = ("faiss",)
NBITS = 8
FAISS_INNER_STEPS = 4

Trained = tuple[np.ndarray | None, np.ndarray]
"""Rotation (d, d) or None, and codebooks (m, 2**nbits, width)."""


@dataclass(frozen=True)
class Size:
    """n rows, m groups, steps: of k-means (PQ) or outer ones (OPQ)."""

    n: int
    m: int
    steps: int

    def name(self, kind: str) -> str:
        """Name of the case."""
        return f"{kind} n={self.n} d=384 m={self.m} {NBITS}-bit, {self.steps} steps"


def plans(settings: Settings) -> list[Plan]:
    """65 536 rows and 25 k-means steps; OPQ: a quarter and 5 outer steps, as faiss takes very long there."""
    m = settings.pick(48, 12)
    pq = Size(settings.rows(65_536, 1_024), m, settings.pick(25, 2))
    opq = Size(settings.rows(16_384, 1_024), m, settings.pick(5, 2))
    return [
        Plan(pq.name("PQ"), partial(_run_pq, pq)),
        Plan(opq.name("OPQ"), partial(_run_opq, opq)),
    ]


def _run_pq(size: Size, bench: Workbench) -> list[Measured]:
    rows = bench.data.embeddings(size.n)
    x, seed = rows.x, bench.settings.seed

    def ours() -> Trained:
        quantizer = ProductQuantizer(x.shape[1], size.m, NBITS, n_iter=size.steps, seed=seed)
        return None, quantizer.train(x).centroids

    case = Case(
        name=size.name("PQ"),
        data=rows.name,
        contenders=contenders(bench.settings, ours, {"faiss": lambda m: partial(faiss_pq, m, x, size)}),
        check=partial(check_errors, x, _tolerance(bench.settings)),
        work=Work(flops=2.0 * x.size * (1 << NBITS) * size.steps),
    )
    return bench.measure(case)


def _run_opq(size: Size, bench: Workbench) -> list[Measured]:
    rows = bench.data.embeddings(size.n)
    x, seed = rows.x, bench.settings.seed

    def ours() -> Trained:
        rotation, codebooks = train_opq(x, size.m, NBITS, n_iter=size.steps, seed=seed)
        return rotation.matrix, codebooks

    case = Case(
        name=size.name("OPQ"),
        data=rows.name,
        contenders=contenders(bench.settings, ours, {"faiss": lambda m: partial(faiss_opq, m, x, size)}),
        check=partial(check_errors, x, _tolerance(bench.settings)),
        notes=(
            f"{size.steps} outer steps each: one k-means step of ours, {FAISS_INNER_STEPS} of faiss (its "
            f"default) in each; both then train codebooks for the rotated rows with {size.steps} steps",
        ),
    )
    return bench.measure(case)


def _tolerance(settings: Settings) -> float:
    return 0.05 if settings.quick else 0.005


def check_errors(x: np.ndarray, tolerance: float, trained: Mapping[str, Trained]) -> Verdict:
    """Squared reconstruction error of all training rows, as a share of their squared length."""
    errors = {name: reconstruction_error(x, *result) for name, result in trained.items()}
    return check_not_above(errors, tolerance, "reconstruction error")


def reconstruction_error(x: np.ndarray, rotation: np.ndarray | None, codebooks: np.ndarray) -> float:
    """Sum of |row - decoded row|^2 over the sum of |row|^2, in float64.

    Rows are rotated, encoded, decoded and rotated back, so that a matrix that is no rotation shows as error.
    """
    words = native.PqCodebook(np.ascontiguousarray(codebooks), NBITS)
    lost = total = 0.0
    for block in iter_blocks(x.shape[0], 8192):
        rows = x[block] if rotation is None else np.ascontiguousarray(x[block] @ rotation.T)
        decoded = words.decode(words.encode(rows)).astype(np.float64)
        difference = x[block] - (decoded if rotation is None else decoded @ rotation)
        lost += float(np.sum(difference**2))
        total += float(np.sum(x[block].astype(np.float64) ** 2))
    return lost / total


def faiss_pq(faiss: ModuleType, x: np.ndarray, size: Size) -> Trained:
    """ProductQuantizer.train with so many k-means steps."""
    return None, _train_faiss(faiss, x, size)


def faiss_opq(faiss: ModuleType, x: np.ndarray, size: Size) -> Trained:
    """OPQMatrix.train with so many outer steps, then ProductQuantizer.train on the rotated rows."""
    d = x.shape[1]
    inner = _faiss_pq(faiss, d, size)
    opq = faiss.OPQMatrix(d, size.m)
    opq.pq = inner  # a pointer: the name keeps the object alive
    opq.niter, opq.niter_pq = size.steps, FAISS_INNER_STEPS
    opq.niter_pq_0 = min(opq.niter_pq_0, 20 * size.steps)  # its default of 40, but for quick runs
    opq.train(x)
    rotation = faiss.vector_to_array(opq.A).reshape(d, d)
    return rotation, _train_faiss(faiss, opq.apply(x), size)


def _train_faiss(faiss: ModuleType, x: np.ndarray, size: Size) -> np.ndarray:
    quantizer = _faiss_pq(faiss, x.shape[1], size)
    quantizer.train(x)
    return np.asarray(faiss.vector_to_array(quantizer.centroids).reshape(size.m, 1 << NBITS, -1))


def _faiss_pq(faiss: ModuleType, dim: int, size: Size) -> Any:
    quantizer = faiss.ProductQuantizer(dim, size.m, NBITS)
    quantizer.cp.niter = size.steps
    quantizer.cp.min_points_per_centroid = 1  # only silences its warning about few rows
    return quantizer
