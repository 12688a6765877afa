"""Progress of every long operation: what is done never falls and ends at the total, stage by stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.clustering.kmeans import train_kmeans
from cluscomp.multivector import support_errors
from cluscomp.quantization import ScalarQuantizer8, random_rotation, train_opq, train_pca

X = np.random.default_rng(2).standard_normal((1200, 16)).astype(np.float32)
LENGTHS = np.full(60, 20)
PQ = cc.ProductQuantizer(16, 4, 4, n_iter=2).train(X)
SQ = ScalarQuantizer8(16).train(X)


def index(key: str) -> Any:
    return cc.index_factory(key, 16, "ip")


def lopsided() -> Any:
    """An index of balanced lists of which one holds nearly all rows that are left."""
    made = index("BIVF4(cap=1),PQ4x4").train(X).add(X)
    lists = made.segments[0].vectors(made.pipeline).lists(np.arange(len(X)))
    made.delete(np.flatnonzero(lists > 0)[3:])
    return made


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "assign": lambda p: cc.assign(X, X[:5], progress=p),
    "train_kmeans": lambda p: train_kmeans(X, 5, with_labels=True, progress=p),
    "KMeans": lambda p: cc.KMeans(5).fit(X, progress=p),
    "SphericalKMeans": lambda p: cc.SphericalKMeans(5).fit(X, progress=p),
    "BalancedKMeans": lambda p: cc.BalancedKMeans(5).fit(X, progress=p),
    "BalancedKMeans, soft": lambda p: cc.BalancedKMeans(5, balance="soft").fit(X, progress=p),
    "BalancedKMeans, none": lambda p: cc.BalancedKMeans(5, balance="none").fit(X, progress=p),
    "balanced_assign": lambda p: cc.balanced_assign(X, X[:5], capacity=300, progress=p),
    "HierarchicalKMeans": lambda p: cc.HierarchicalKMeans((20, 4), n_resampling=1).fit(X, progress=p),
    "KMeansTree": lambda p: cc.KMeansTree(4, leaf_size=90).fit(X, progress=p),
    "KMedoids": lambda p: cc.KMedoids(5).fit(X, progress=p),
    "sinkhorn": lambda p: cc.sinkhorn(X, epsilon=0.5, n_iter=9, progress=p),
    "sinkhorn_points": lambda p: cc.sinkhorn_points(X, X[:5], epsilon=5.0, n_iter=9, progress=p),
    "pool_tokens": lambda p: cc.pool_tokens(X, LENGTHS, factor=4, progress=p),
    "pool_tokens, k-means": lambda p: cc.pool_tokens(X, LENGTHS, factor=4, method="kmeans", progress=p),
    "pool_tokens, support": lambda p: cc.pool_tokens(
        X, LENGTHS, factor=4, method="support", sample=X[:90], progress=p
    ),
    "support_errors": lambda p: support_errors(X, LENGTHS, X, LENGTHS, sample=X[:90], progress=p),
    "maxsim": lambda p: cc.maxsim(X[:9], [9], X, LENGTHS, progress=p),
    "fde_encode": lambda p: cc.fde_encode(X, LENGTHS, side="document", k_sim=2, repetitions=2, progress=p),
    "train_pca": lambda p: train_pca(X, 3, progress=p),
    "train_opq": lambda p: train_opq(X, 4, 4, n_iter=2, progress=p),
    "LinearTransform": lambda p: random_rotation(16, 16).apply(X, progress=p),
    "ProductQuantizer.train": lambda p: cc.ProductQuantizer(16, 4, 4, n_iter=2).train(X, progress=p),
    "ProductQuantizer.encode": lambda p: PQ.encode(X, progress=p),
    "ProductQuantizer.decode": lambda p: PQ.decode(PQ.encode(X), progress=p),
    "ScalarQuantizer8.train": lambda p: ScalarQuantizer8(16).train(X, progress=p),
    "ScalarQuantizer8.encode": lambda p: SQ.encode(X, progress=p),
    "ScalarQuantizer8.decode": lambda p: SQ.decode(SQ.encode(X), progress=p),
    "Index.train": lambda p: index("OPQ4,IVF4,PQ4x4").train(X, progress=p),
    "Index.add": lambda p: index("SQ8").train(X).add(X, progress=p),
    "Index.compact": lambda p: (
        index("IVF4,SQ8").train(X).add(X[:9]).add(X[9:]).compact(segments=1, progress=p)
    ),
    "Index.compact, rebalance": lambda p: lopsided().compact(segments=1, rebalance=True, progress=p),
    "Index.health": lambda p: index("IVF4,SQ8").train(X).add(X).health(new=X, progress=p),
    "Index.health, codes": lambda p: index("PQ4x4").train(X).add(X).health(new=X, progress=p),
    "MultiVectorIndex.train": lambda p: index("Pool4,IVF4,PQ4x4").train(X, lengths=LENGTHS, progress=p),
    "MultiVectorIndex.add": lambda p: (
        index("Pool4,SQ8").train(X, lengths=LENGTHS).add(X, lengths=LENGTHS, progress=p)
    ),
    "MultiVectorIndex.compact": lambda p: (
        index("Pool4,SQ8")
        .train(X, lengths=LENGTHS)
        .add(X, lengths=LENGTHS)
        .add(X, lengths=LENGTHS)
        .compact(segments=1, progress=p)
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_ends_at_its_total(name: str) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        seen.setdefault(stage, []).append((done, total))

    OPERATIONS[name](progress)
    assert seen
    for stage, states in seen.items():
        done, totals = [state[0] for state in states], {state[1] for state in states}
        assert len(totals) == 1, (stage, totals)
        assert done == sorted(done) and done[-1] == totals.pop(), (stage, states)
