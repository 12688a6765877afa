"""The four calls that take torch CUDA tensors, against torch and, for distances, faiss's GPU index.

All data is on the GPU before the clock starts, but for faiss.Kmeans, which takes it from the host; every
contender waits for the device at its end. `of peak` is relative to a bfloat16 matrix product of torch.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

from cluscomp import native
from cluscomp.baselines import installed, library
from cluscomp.bench.assign import faiss_assign, torch_assign
from cluscomp.bench.checks import check_labels
from cluscomp.bench.harness import OURS, Case, Contender, Measured, Verdict, Work, host_array
from cluscomp.bench.kmeans import STEPS, check_objectives, faiss_kmeans, torch_kmeans
from cluscomp.bench.pq_encode import NBITS, M, check_codes, torch_encode
from cluscomp.bench.settings import Settings
from cluscomp.bench.sinkhorn import check_plans
from cluscomp.bench.workbench import Plan, Workbench, contenders
from cluscomp.clustering import assign, train_kmeans
from cluscomp.clustering.transport.sinkhorn import sinkhorn
from cluscomp.machine import best_seconds
from cluscomp.quantization import ProductQuantizer

BASELINES = ("faiss", "torch")
SHAPES = ((1024, 384), (4096, 384), (16384, 384), (65536, 128))
ITERATIONS, EPSILON = 100, 0.003
DEVICE = "cuda"  # tests that emulate the kernels let it be "cpu"


def plans(settings: Settings) -> list[Plan]:
    """Raises UsageError where CUDA kernels cannot run."""
    native.cuda_kernels()
    n = settings.rows(1_000_000, 2_000)
    shapes = dict.fromkeys((min(k, max(1, n // 8)), d) for k, d in SHAPES)
    works = {f"assign n={n} k={k} d={d}": partial(_assign, n, k, d) for k, d in shapes}
    k = min(4096, max(1, n // 40))
    works[f"kmeans n={n} k={k} d=384, {STEPS} steps"] = partial(_kmeans, n, k)
    works[f"pq-encode n={n} d=384 m={M} {NBITS}-bit"] = partial(_encode, n)
    rows, k = n // 5, min(256, n // 10)
    works[f"sinkhorn n={rows} k={k} epsilon={EPSILON}, {ITERATIONS} iterations"] = partial(_sinkhorn, rows, k)
    return [Plan(name, partial(work, name)) for name, work in works.items()]


def _assign(n: int, k: int, d: int, name: str, bench: Workbench) -> list[Measured]:
    rows = bench.data.vectors(n, d)
    x = _place(rows.x)
    c = train_kmeans(x, k, n_iter=2, seed=bench.settings.seed).centroids
    theirs = {"torch": partial(torch_assign, x=x, centroids=c), "faiss": partial(_faiss_assign, x=x, c=c)}
    check = partial(check_labels, rows.x, host_array(c))
    return _measure(bench, name, rows.name, lambda: assign(x, c), theirs, check, 2.0 * n * k * d)


def _kmeans(n: int, k: int, name: str, bench: Workbench) -> list[Measured]:
    rows = bench.data.embeddings(n)
    x, start = _place(rows.x), rows.x[:: n // k][:k]
    theirs = {
        "torch": partial(torch_kmeans, x=x, start=start),
        "faiss": partial(faiss_kmeans, x=rows.x, start=start, gpu=True),
    }
    check = partial(check_objectives, rows.x, 1e-3 if bench.settings.quick else 1e-5)

    def ours() -> Any:
        return train_kmeans(x, k, n_iter=STEPS, init=start, tol=0.0).centroids

    return _measure(bench, name, rows.name, ours, theirs, check, 2.0 * rows.x.size * k * STEPS)


def _encode(n: int, name: str, bench: Workbench) -> list[Measured]:
    rows = bench.data.embeddings(n)
    quantizer = ProductQuantizer(rows.x.shape[1], M, NBITS, n_iter=2, seed=bench.settings.seed)
    x, books = _place(rows.x), quantizer.train(rows.x[:16_384]).centroids
    theirs = {"torch": partial(torch_encode, x=x, codebooks=books)}
    check, flops = partial(check_codes, rows.x, books), 2.0 * rows.x.size * (1 << NBITS)
    return _measure(bench, name, rows.name, lambda: quantizer.encode(x), theirs, check, flops)


def _sinkhorn(n: int, k: int, name: str, bench: Workbench) -> list[Measured]:
    rows = bench.data.embeddings(n)
    x = _place(rows.x)
    cost = -(x @ train_kmeans(x, k, n_iter=2).centroids.T)

    def ours() -> Any:
        return sinkhorn(cost, epsilon=EPSILON, n_iter=ITERATIONS, tol=0, cost_scale="range")

    def check(found: Mapping[str, Any]) -> Verdict:
        plan = host_array(found[OURS].plan())
        return check_plans(n, {**found, OURS: SimpleNamespace(plan=lambda: plan)})

    return _measure(bench, name, rows.name, ours, {"torch": partial(_torch_plan, cost=cost)}, check, None)


def _measure(
    bench: Workbench, name: str, data: str, ours: Callable[[], Any],
    theirs: Mapping[str, Callable[[ModuleType], Callable[[], Any]]],
    check: Callable[[Mapping[str, Any]], Verdict], flops: float | None,
) -> list[Measured]:  # fmt: skip
    peak = _peak(256 if bench.settings.quick else 8192)
    notes = [f"peak: {peak:.0f} GFLOP/s, bfloat16"]
    if "faiss" in theirs and not (
        "faiss" in installed() and hasattr(library("faiss"), "StandardGpuResources")
    ):
        theirs = {other: make for other, make in theirs.items() if other != "faiss"}
        notes.append("no faiss with GPU indexes here")
    waiting = [Contender(c.name, _waiting(c.run)) for c in contenders(bench.settings, ours, theirs)]
    return bench.measure(Case(name, data, tuple(waiting), check, Work(flops, peak_gflops=peak), tuple(notes)))


def _place(x: Any) -> Any:
    return library("torch").as_tensor(x, device=DEVICE)


def _waiting(run: Callable[[], Any]) -> Callable[[], Any]:
    def finished() -> Any:
        found = run()
        if DEVICE == "cuda":
            library("torch").cuda.synchronize()
        return found

    return finished


def _peak(side: int) -> float:
    a = _place(library("torch").ones(side, side)).bfloat16()
    return 2 * side**3 / best_seconds(_waiting(lambda: a @ a)) / 1e9


def _faiss_assign(faiss: ModuleType, x: Any, c: Any) -> Callable[[], Any]:
    importlib.import_module("faiss.contrib.torch_utils")  # lets faiss take tensors
    return faiss_assign(faiss, x, c, faiss.GpuIndexFlatL2(faiss.StandardGpuResources(), x.shape[1]))


def _torch_plan(torch: ModuleType, cost: Any) -> Callable[[], Any]:
    """Log-domain iterations in float64, as in POT's sinkhorn_log; scaled outside the time."""
    wide, (n, k) = cost.double(), cost.shape
    mid = (wide.max() + wide.min()) / 2
    exponents = -(wide - mid) / (wide.max() - mid + 1e-5) / EPSILON

    def run() -> Any:
        f = exponents.new_zeros((n, 1))
        for _ in range(ITERATIONS):
            g = -(exponents + f).logsumexp(0, keepdim=True) - math.log(k)
            f = -(exponents + g).logsumexp(1, keepdim=True) - math.log(n)
        return (exponents + f + g).exp()

    return run
