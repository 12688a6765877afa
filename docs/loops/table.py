"""How long Python answers no signal while an operation runs: the longest stretch, in CPU seconds of one core.

    python docs/loops/table.py [NAME ...]

A timer sends SIGALRM every 20 ms; its handler runs where KeyboardInterrupt would be raised. CPU time, since
that does not depend on other jobs of the machine. An operation is stopped after 12 s. docs/notes/loops.md
holds what was measured.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CLUSCOMP_NUM_THREADS": "1"}

import numpy as np

import cluscomp as cc
from cluscomp.clustering.ward import ward_linkage
from cluscomp.quantization import ScalarQuantizer8, train_pca
from cluscomp.terms import TermRows

LIMIT = 12.0
M = 1_000_000


class Stop(BaseException):
    """Ends an operation."""


def rows(n: int, dim: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    """A mixture of 256 Gaussians."""
    rng = np.random.default_rng(seed)
    centres, x = rng.standard_normal((256, dim), dtype=np.float32), np.empty((n, dim), dtype)
    for i in range(0, n, 8192):
        part = x[i : i + 8192]
        part[:] = centres[rng.integers(0, 256, len(part))]
        part += (0.7 * rng.standard_normal(part.shape, dtype=np.float32)).astype(dtype)
    return x


def filled(key: str, n: int = M, dim: int = 384) -> Any:
    """An index of n rows."""
    x = rows(n, dim)
    return cc.index_factory(key, dim, "ip").train(x[:20_000]).add(x)


def terms(n: int, seed: int = 0) -> Any:
    """Rows of 30 words of 20 000, the frequent ones in many rows."""
    rng = np.random.default_rng(seed)
    numbers = np.minimum(20_000 * rng.random(30 * n) ** 3, 19_999).astype(np.int64)
    return TermRows.of([str(i) for i in range(20_000)], np.full(n, 30), numbers, np.ones(30 * n))


def postings(n: int) -> tuple[Any]:
    """An inverted file of n rows."""
    return (cc.index_factory("Sparse(bits=16)", 1).add(terms(n)),)


def quantizer(x: np.ndarray, m: int) -> cc.ProductQuantizer:
    """Trained on few rows."""
    return cc.ProductQuantizer(x.shape[1], m, n_iter=1).train(x[:2000])


def scalar(x: np.ndarray) -> None:
    """Train, encode, decode."""
    trained = ScalarQuantizer8(x.shape[1]).train(x)
    trained.decode(trained.encode(x))


def ready(work: Callable[..., Any], *inputs: Any) -> Callable[[], Any]:
    """The work on inputs that were made before."""
    return lambda: work(*inputs)


CASES: dict[str, Callable[[], Callable[[], Any]]] = {
    "assign 1M x 384, k=1": lambda: ready(cc.assign, rows(M, 384), rows(1, 384, 1)),
    "assign x 384, k=65536": lambda: ready(cc.assign, rows(M, 384), rows(65_536, 384, 1)),
    "assign x 4096, k=65536": lambda: ready(cc.assign, rows(4000, 4096), rows(65_536, 4096, 1)),
    "assign x 384, 65536 equal centroids": lambda: ready(
        cc.assign, rows(50_000, 384), np.repeat(rows(1, 384, 1), 65_536, axis=0)
    ),
    "KMeans 1M x 384, k=65536": lambda: ready(cc.KMeans(65_536, n_iter=1).fit, rows(M, 384)),
    "the same by k-means++": lambda: ready(cc.KMeans(65_536, init="k-means++").fit, rows(M, 384)),
    "BalancedKMeans 1M x 64, k=1024": lambda: ready(cc.BalancedKMeans(1024, n_iter=2).fit, rows(M, 64)),
    "KMeansTree 1M x 384": lambda: ready(cc.KMeansTree(16, leaf_size=2000, n_iter=2).fit, rows(M, 384)),
    "KMedoids 20k x 4096": lambda: ready(cc.KMedoids(5000, metric="cosine").fit, rows(20_000, 4096)),
    "Ward 16384 x 384": lambda: ready(cc.Ward(10).fit, rows(16_384, 384)),
    "Ward 16384 x 4096": lambda: ready(cc.Ward(10).fit, rows(16_384, 4096)),
    "Ward on cosine_square, 8192 rows": lambda: ready(
        lambda x: ward_linkage(x, linkage_input="cosine_square"), rows(8192, 384)
    ),
    "sinkhorn, plan 200k x 1024": lambda: ready(cc.sinkhorn(rows(200_000, 1024), epsilon=1.0, n_iter=2).plan),
    "sinkhorn_points x 384, k=65536": lambda: ready(
        lambda x, c: cc.sinkhorn_points(x, c, epsilon=50.0, cost_scale="range"),
        rows(20_000, 384),
        rows(65_536, 384, 1),
    ),
    "maxsim, 320k query vectors": lambda: ready(
        cc.maxsim, rows(320_000, 128, 1), np.full(10_000, 32), rows(M, 128), np.full(5000, 200)
    ),
    "fde_encode, one document of 1M": lambda: ready(
        lambda x: cc.fde_encode(x, [M], side="document", k_sim=5, repetitions=10), rows(M, 128)
    ),
    "PCA 20k x 4096": lambda: ready(lambda x: train_pca(x, 64), rows(20_000, 4096)),
    "OPQ 1M x 384": lambda: ready(cc.ProductQuantizer(384, 48, rotation="opq").train, rows(M, 384)),
    "PQ behind a random rotation x 4096": lambda: ready(
        cc.ProductQuantizer(4096, 256, n_iter=1, rotation="random").train, rows(20_000, 4096)
    ),
    "PQ encode 1M x 384": lambda: (lambda x: ready(quantizer(x, 48).encode, x))(rows(M, 384)),
    "PQ decode 2M x 384": lambda: ready(
        quantizer(rows(2000, 384), 48).decode, np.zeros((2 * M, 48), dtype=np.uint8)
    ),
    "SQ8 200k x 4096": lambda: ready(scalar, rows(200_000, 4096)),
    "train IVF4096,PQ48 on 1M, float16, cosine": lambda: ready(
        cc.index_factory("IVF4096,PQ48", 384, "cosine").train, rows(M, 384, dtype=np.float16)
    ),
    "train IVF8192,Flat on 2M of 3M": lambda: ready(
        cc.index_factory("IVF8192,Flat", 128, "ip").train, rows(3 * M, 128)
    ),
    "add 1M to IVF256,Flat": lambda: (lambda x: ready(filled("IVF256,Flat", 20_000).add, x))(rows(M, 384)),
    "search 1M, SQ8": lambda: ready(filled("SQ8").search, rows(2000, 384, 9), 100),
    "search 1M, PQ48": lambda: ready(filled("PQ48", 200_000).search, rows(20_000, 384, 9), 100),
    "search 1M rows of 30 words, Sparse": lambda: ready(
        lambda i, q: i.search(q, 100), *postings(M), terms(2000, 9)
    ),
    "search 1M, IVF256,Flat, all lists": lambda: ready(
        lambda i, q: i.search(q, 100, nprobe=256), filled("IVF256,Flat"), rows(2000, 384, 9)
    ),
}


def longest_silence(work: Callable[[], Any]) -> tuple[float, bool]:
    """CPU seconds, and whether the work came to its end."""
    longest, cpu, stopped, begin = 0.0, time.process_time(), False, time.monotonic()

    def tick(*_: Any) -> None:
        nonlocal longest, cpu, stopped
        longest, cpu = max(longest, time.process_time() - cpu), time.process_time()
        if time.monotonic() - begin > LIMIT and not stopped:
            stopped = True
            raise Stop

    signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        work()
    except Stop:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return max(longest, time.process_time() - cpu), not stopped


def main(names: list[str]) -> None:
    """Print one line an operation."""
    warnings.simplefilter("ignore")
    for name, make in CASES.items():
        if not names or name in names:
            seconds, ended = longest_silence(make())
            sys.stdout.write(f"| {name} | {seconds:.2f} |{'' if ended else ' stopped'}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
