"""Values up to the limit give finite scores in every index; one step above it they are refused by name.

The limit of an index is sqrt(float32 max / 64) / dim: rows at it have norm sqrt(float32 max / (64 dim)), so that
after a rotation and without their centroid each component is at most sqrt(float32 max / (16 dim)), and a squared
distance at most 4 dim times the square of that, a quarter of float32's range.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.arrays import FLOAT32_MAX, TOKEN_TERMS, largest_safe
from cluscomp.errors import NonFiniteError, TooLargeError
from cluscomp.quantization import LearnedCodec

DIM = 8
LIMIT = math.sqrt(FLOAT32_MAX / 64) / DIM
KEYS = ("Flat", "SQ8", "SQ4", "SQfp16", "PQ2", "PQ4x4", "IVF2,Flat", "IVF2,SQ8", "IVF2,PQ2", "BIVF2,PQ2", "OPQ2,PQ2",
        "PCA4,SQ8", "RR,SQ8", "SQ8,RFlat", "PQ2,Refine(SQ8)", "OPQ2,IVF2,PQ2x4,RFlat",
        "RR,IVF2,RaBitQ4,Refine(RaBitQ8)")  # fmt: skip
POOLED = ("Pool(f=1),Flat", "Pool4,SQ8", "Pool4,IVF2,PQ2", "Pool4,PQ2,RFlat", "Pool4,RR,IVF2,RaBitQ2")


def large(rng, n, limit):
    return (rng.choice([-1, 1], size=(n, DIM)) * limit * (1 - 1e-6)).astype("f4")


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("key", KEYS)
def test_rows_at_the_limit_have_finite_scores(key, metric, rng):
    rows = large(rng, 300, LIMIT)
    if "fp16" in key:
        rows = np.clip(rows, -60000, 60000)
    index = cc.index_factory(key, DIM, metric).train(rows).add(rows)
    scores, ids = index.search(rows[:20], 30, **({"nprobe": 2} if "IVF" in key else {}))
    assert np.isfinite(scores).all()
    assert (np.diff(scores, axis=1) <= 0).all() and (ids >= 0).all()


@pytest.mark.parametrize("key", POOLED)
def test_documents_at_the_limit_have_finite_scores(key, rng):
    largest = cc.index_factory(key, DIM, "ip").pipeline.largest
    assert largest >= largest_safe(DIM, terms=TOKEN_TERMS) / 128
    rows = large(rng, 600, largest)
    lengths = np.full(100, 6)
    index = cc.index_factory(key, DIM, "ip").train(rows, lengths=lengths).add(rows, lengths=lengths)
    for options in ({}, {"candidates_by": "fde"}, {"softmax": 0.1}):
        scores, _ = index.search(rows[:512], 5, lengths=[512], **options)
        assert np.isfinite(scores).all(), options
    assert np.isfinite(cc.maxsim(rows[:512], [512], rows, lengths)).all()
    assert np.isfinite(cc.fde_encode(rows, lengths, side="query", k_sim=2, repetitions=3)).all()
    pooled, _ = cc.pool_tokens(rows, lengths, factor=2)
    assert np.isfinite(pooled).all()


CALLS = {
    "assign": lambda x, y: cc.assign(x, y),
    "assign centroids": lambda x, y: cc.assign(y, x),
    "KMeans": lambda x, y: cc.KMeans(2).fit(x),
    "KMeans.predict": lambda x, y: cc.KMeans(2).fit(y).predict(x),
    "BalancedKMeans": lambda x, y: cc.BalancedKMeans(2).fit(x),
    "balanced_assign": lambda x, y: cc.balanced_assign(x, y[:4], capacity=len(x)),
    "sinkhorn_points": lambda x, y: cc.sinkhorn_points(x, y, epsilon=1.0),
    "ProductQuantizer": lambda x, y: cc.ProductQuantizer(DIM, 2, 4).train(x),
    "ProductQuantizer.encode": lambda x, y: cc.ProductQuantizer(DIM, 2, 4).train(y).encode(x),
    "maxsim": lambda x, y: cc.maxsim(y, [len(y)], x, [len(x)]),
    "maxsim queries": lambda x, y: cc.maxsim(x, [len(x)], y, [len(y)]),
    "fde_encode": lambda x, y: cc.fde_encode(x, [len(x)], side="document", k_sim=1, repetitions=1),
    "pool_tokens": lambda x, y: cc.pool_tokens(x, [len(x)], factor=2),
    "Flat add": lambda x, y: cc.index_factory("Flat", DIM).add(x),
    "Flat search": lambda x, y: cc.index_factory("Flat", DIM).add(y).search(x, 1),
    "SQ8 train": lambda x, y: cc.index_factory("SQ8", DIM).train(x),
    "IVF train": lambda x, y: cc.index_factory("IVF2,Flat", DIM, "l2").train(x),
    "documents add": lambda x, y: cc.index_factory("Pool(f=1),Flat", DIM).add(x, lengths=[len(x)]),
    "documents search": lambda x, y: (
        cc.index_factory("Pool(f=1),Flat", DIM).add(y, lengths=[len(y)]).search(x, 1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("value", [1e19, 3e38, 1e300])
@pytest.mark.parametrize("call", CALLS)
def test_one_value_above_the_limit_is_refused_by_name(call, value, rng):
    ordinary = rng.normal(size=(40, DIM))
    wrong = ordinary.copy()
    wrong[17, 3] = -value
    shown = f"{-value:.6g}"
    with pytest.raises(TooLargeError, match="row 17") as caught, warnings.catch_warnings():
        warnings.simplefilter("error")
        CALLS[call](wrong, ordinary)
    assert shown in str(caught.value) and "NaN" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("call", CALLS)
def test_what_is_no_number_is_refused_as_such(call, value, rng):
    ordinary = rng.normal(size=(40, DIM)).astype("f4")
    wrong = ordinary.copy()
    wrong[17, 3] = value
    with pytest.raises(NonFiniteError, match="row 17"):
        CALLS[call](wrong, ordinary)


def test_the_message_says_how_large_a_value_may_be():
    x = np.zeros((3, DIM), "f4")
    x[2, 5] = 1e19
    with pytest.raises(
        TooLargeError, match=r"row 2 \(id 'c'\) holds 1e\+19.*dim 8 no value may exceed 2.882e\+17"
    ):
        cc.index_factory("Flat", DIM).add(x, ids=["a", "b", "c"])
    x[2, 5] = LIMIT * 0.999999
    cc.index_factory("Flat", DIM).add(x, ids=["a", "b", "c"])


def test_rows_that_are_normalised_may_be_as_large_as_float32(rng):
    directions = rng.normal(size=(50, DIM))
    want = cc.index_factory("Flat", DIM, "cosine").add(directions).search(directions, 5)
    for factor in (1e37, 1e-37):
        for key, metric in (("Flat", "cosine"), ("L2norm,Flat", "ip"), ("IVF2,SQ8,RFlat", "cosine")):
            index = cc.index_factory(key, DIM, metric).train(directions * factor).add(directions * factor)
            scores, ids = index.search(directions * factor, 5, **({"nprobe": 2} if "IVF" in key else {}))
            np.testing.assert_array_equal(ids[:, 0], want[1][:, 0])
            np.testing.assert_allclose(scores, want[0], atol=2e-6)


def test_a_query_adapter_that_blows_queries_up_is_noticed(rng, tmp_path):
    books = rng.normal(size=(2, 16, DIM // 2)).astype("f4")
    large = {"adapter_weight": np.eye(DIM) * 1e17, "adapter_bias": np.zeros(DIM)}
    LearnedCodec(np.eye(DIM), books, **large).save(tmp_path / "codec")
    index = cc.index_factory(f"RepCONC({tmp_path}/codec)", DIM).add(rng.normal(size=(9, DIM)))
    with pytest.raises(TooLargeError, match=r"queries behind the rotation of RepCONC.*row 0 holds 1e\+27"):
        index.search(np.full((1, DIM), 1e10), 1)
