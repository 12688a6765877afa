"""Results are the same bits for any number of threads and any division of the rows into blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import cluscomp as cc
from cluscomp import native
from cluscomp.clustering import blocks
from cluscomp.multivector import support

N, D = 3000, 24
RNG = np.random.default_rng(11)
X = (RNG.standard_normal((40, D)) @ RNG.standard_normal((D, D)))[RNG.integers(0, 40, N)].astype(np.float32)
X += 0.3 * RNG.standard_normal((N, D)).astype(np.float32)
X[100:140] = X[7]  # ties
C = X[:: N // 50][:50].copy()
LENGTHS = np.full(N // 30, 30)


def index_of(key: str, **options: Any) -> list[np.ndarray]:
    index = cc.index_factory(key, D, "ip").train(X).add(X[:2000]).add(X[2000:])
    scores, ids = index.search(C, 10, **options)
    return [scores, ids, *(np.asarray(array) for s in index.segments for array in s.arrays().values())]


def documents_of(key: str) -> list[np.ndarray]:
    index = cc.index_factory(key, D, "ip").train(X, lengths=LENGTHS).add(X, lengths=LENGTHS)
    return [*index.search(X[:90], 5, lengths=[30, 30, 30])]


def product(**options: Any) -> list[np.ndarray]:
    quantizer = cc.ProductQuantizer(D, 6, 4, n_iter=4, **options).train(X)
    codes = quantizer.encode(X)
    return [quantizer.centroids, codes, quantizer.decode(codes)]


def fitted(estimator: Any, *names: str) -> list[np.ndarray]:
    estimator.fit(X)
    return [np.asarray(getattr(estimator, name)) for name in ("labels_", "cluster_centers_", *names)]


def sparse() -> list[np.ndarray]:
    scipy_sparse = pytest.importorskip("scipy.sparse")
    model = cc.SphericalKMeans(20, n_iter=5).fit(scipy_sparse.csr_matrix(np.where(X > 0.5, X, 0)))
    return [model.labels_, model.cluster_centers_]


def blocks_of_terms() -> list[np.ndarray]:
    rows = [{str(term): float(row[term]) for term in np.flatnonzero(row > 0.5)} for row in X]
    index = cc.index_factory("Seismic", 1).add(rows)
    return [*index.segments[0].arrays().values(), *index.search(rows[:90], 5)]


def both_forms() -> list[np.ndarray]:
    rows = [{str(term): float(row[term]) for term in np.flatnonzero(row > 0.5)} for row in X]
    index = cc.index_factory("IVF8,PQ6x4+Sparse", D).train(cc.HybridRows(X, rows)).add(cc.HybridRows(X, rows))
    return [
        *index.segments[0].arrays().values(),
        *index.search(cc.HybridRows(X[:90], rows[:90]), 5, nprobe=2),
    ]


def scalar() -> list[np.ndarray]:
    from cluscomp.quantization import ScalarQuantizer8

    quantizer = ScalarQuantizer8(D).train(X)
    codes = quantizer.encode(X)
    return [codes, quantizer.decode(codes)]


def transported(result: Any) -> list[np.ndarray]:
    return [result.labels, result.col_potential, result.plan()]


OPERATIONS: dict[str, Callable[[], list[np.ndarray]]] = {
    "assign l2": lambda: [*cc.assign(X, C, return_scores=True)],
    "assign ip": lambda: [*cc.assign(X, C, metric="ip", return_scores=True)],
    "assign cosine": lambda: [*cc.assign(X.astype(np.float16), C, metric="cosine", return_scores=True)],
    "assign k=1": lambda: [*cc.assign(X, C[:1], return_scores=True)],
    "k-means": lambda: fitted(cc.KMeans(30, n_iter=6), "inertia_"),
    "k-means++": lambda: fitted(cc.KMeans(30, init="k-means++", n_iter=3), "inertia_"),
    "k-means cosine": lambda: fitted(cc.KMeans(30, metric="cosine", n_iter=6), "inertia_"),
    "spherical, sparse": sparse,
    "blocks of terms": blocks_of_terms,
    "vectors and terms": both_forms,
    "balanced, exact": lambda: fitted(cc.BalancedKMeans(30, n_iter=4), "inertia_", "gap_"),
    "balanced, soft": lambda: fitted(cc.BalancedKMeans(30, balance="soft", n_iter=4), "inertia_"),
    "balanced assign": lambda: [cc.balanced_assign(X, C, capacity=70)],
    "hierarchical": lambda: fitted(cc.HierarchicalKMeans((40, 8), n_iter=4, n_resampling=1)),
    "tree": lambda: [(t := cc.KMeansTree(4, leaf_size=100, n_iter=3).fit(X)).labels_, t.predict(X)],
    "medoids": lambda: fitted(cc.KMedoids(12), "inertia_"),
    "ward": lambda: fitted(cc.Ward(9), "distances_"),
    "dissimilarities": lambda: [cc.dissimilarities(X[:900], metric="cosine")],
    "sinkhorn": lambda: transported(cc.sinkhorn(X, epsilon=0.5, n_iter=9)),
    "sinkhorn points": lambda: transported(
        cc.sinkhorn_points(X, C, epsilon=9.0, n_iter=9, cost_scale="range")
    ),
    "pool": lambda: [*cc.pool_tokens(X, LENGTHS, factor=4)],
    "pool by k-means": lambda: [*cc.pool_tokens(X, LENGTHS, factor=4, method="kmeans")],
    "pool by support": lambda: [*cc.pool_tokens(X, LENGTHS, factor=4, method="support", sample=X[::9])],
    "maxsim": lambda: [cc.maxsim(X[:90], [30, 30, 30], X, LENGTHS)],
    "fde": lambda: [cc.fde_encode(X, LENGTHS, side="document", k_sim=3, repetitions=2, projection_dim=8)],
    "PQ": product,
    "PQ random rotation": lambda: product(rotation="random"),
    "PQ balanced": lambda: product(balance="uniform"),
    "OPQ": lambda: product(rotation="opq"),
    "SQ8": scalar,
    "Flat": lambda: index_of("Flat"),
    "IVF,Flat": lambda: index_of("IVF20,Flat", nprobe=5),
    "IVF,PQ,Refine": lambda: index_of("IVF20,PQ6,Refine(SQ8)", nprobe=5),
    "BIVF,PQ": lambda: index_of("BIVF20,PQ6", nprobe=5),
    "OPQ,IVF,PQ4": lambda: index_of("OPQ6,IVF20,PQ6x4", nprobe=5),
    "PCA,SQ8": lambda: index_of("PCA8,SQ8"),
    "RaBitQ": lambda: index_of("RR,IVF20,RaBitQ4", nprobe=5),
    "SQ4": lambda: index_of("SQ4"),
    "Pool,IVF,PQ": lambda: documents_of("Pool16,IVF20,PQ6"),
}


@pytest.fixture(params=[(1, None), (2, 1), (3, 191), (5, 1000)], ids=lambda p: f"{p[0]} threads, {p[1]} rows")
def setting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, threads: None) -> Iterator[None]:
    """Threads, and most rows of a block (None: as they are)."""
    count, rows = request.param
    native.set_num_threads(count)
    if rows is not None:
        monkeypatch.setattr(blocks, "_MIN_ROWS", 1)
        monkeypatch.setattr(blocks, "_MAX_ROWS", rows)
        monkeypatch.setattr(support, "VALUES_PER_BLOCK", 30 * rows)
    return


EXPECTED: dict[str, list[np.ndarray]] = {}


@pytest.mark.filterwarnings("ignore::cluscomp.errors.SubsampleWarning")
@pytest.mark.parametrize("name", OPERATIONS)
def test_same_bits(name: str, setting: None) -> None:
    found = [np.ascontiguousarray(array) for array in OPERATIONS[name]()]
    expected = EXPECTED.setdefault(name, found)
    for one, other in zip(expected, found, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        assert one.tobytes() == other.tobytes()
