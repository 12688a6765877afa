"""What a measurement ran on: processor, cores, instruction set, versions, and the limits of the machine.

No names of hosts or users. The limits, float32 matrix products and reading memory, are measured.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.baselines import blas_control, installed, library

_TRIES = 5


def describe_machine() -> dict[str, Any]:
    """Processor, cores, instruction set and versions, as JSON values; no names of hosts or users."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "simd": native.simd_level(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@dataclass(frozen=True)
class Peak:
    """The machine's limits with `threads` threads.

    gflops: best float32 matrix product of NumPy and torch. library: which of them. side: of the square
    matrices. gbytes_per_s: best rate of reading an array far larger than the caches.
    """

    threads: int
    gflops: float
    library: str
    side: int
    gbytes_per_s: float

    def text(self) -> str:
        """One line."""
        return (
            f"{self.threads} thread(s): {self.gflops:.0f} GFLOP/s float32 ({self.library} product of two "
            f"{self.side} x {self.side} matrices, best of many), {self.gbytes_per_s:.1f} GB/s read"
        )


def best_of(a: Peak, b: Peak) -> Peak:
    """The higher of both limits, each for itself."""
    product = max(a, b, key=lambda peak: peak.gflops)
    return replace(product, gbytes_per_s=max(a.gbytes_per_s, b.gbytes_per_s))


def moved_by(before: Peak, after: Peak) -> float:
    """Share by which the matrix product's rate changed, of the higher one: 0 = not at all."""
    low, high = sorted((before.gflops, after.gflops))
    return 1 - low / high


def measure_peak(threads: int, *, quick: bool = False) -> Peak:
    """Measure both limits; thread budgets must have been set (`baselines.thread_budget`).

    The limit of a processor is what the best program reaches, so the best try of the best library counts.
    """
    side = 512 if quick else 2048
    results = {
        name: 2 * side**3 / best_seconds(product) / 1e9 for name, product in _products(side, threads).items()
    }
    best = max(results, key=lambda name: results[name])
    return Peak(threads, results[best], best, side, _read_rate(threads, quick=quick))


def _products(side: int, threads: int) -> dict[str, Callable[[], Any]]:
    a = np.random.default_rng(0).standard_normal((side, side)).astype(np.float32)
    name = "NumPy" if blas_control() is not None else "NumPy, its own number of threads,"
    products: dict[str, Callable[[], Any]] = {name: lambda: a @ a}
    if "torch" in installed():
        torch = library("torch")
        tensor = torch.from_numpy(a)

        def torch_product() -> None:
            before = torch.get_num_threads()
            torch.set_num_threads(threads)
            torch.mm(tensor, tensor)
            torch.set_num_threads(before)

        products["torch"] = torch_product
    return products


def _read_rate(threads: int, *, quick: bool) -> float:
    """GB/s of `threads` threads that each take the maximum of their part: one pass, nothing is written."""
    x = np.ones((1 << 24) if quick else (1 << 27), dtype=np.float32)
    parts = np.array_split(x, threads)
    with ThreadPoolExecutor(threads) as pool:
        return x.nbytes / best_seconds(lambda: list(pool.map(np.max, parts))) / 1e9


def best_seconds(run: Callable[[], Any]) -> float:
    """Least wall-clock seconds of a few tries."""
    seconds = []
    for _ in range(_TRIES):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
