"""MaxSim against NumPy in float64."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cluscomp as cc
from cluscomp import native
from cluscomp.errors import DimensionError, DTypeError, NonFiniteError


def plain(queries, query_lengths, vectors, lengths):
    scores = np.empty((len(query_lengths), len(lengths)))
    starts, begins = np.cumsum(query_lengths) - query_lengths, np.cumsum(lengths) - lengths
    for i, (at, n) in enumerate(zip(starts, query_lengths, strict=True)):
        for j, (begin, m) in enumerate(zip(begins, lengths, strict=True)):
            products = queries[at : at + n].astype("f8") @ vectors[begin : begin + m].astype("f8").T
            scores[i, j] = products.max(axis=1, initial=-np.inf).sum() if n else 0.0
    return scores


def test_by_hand():
    queries = np.array([[1, 0], [0, 1], [1, 1]], "f4")
    vectors = np.array([[0.8, 0.6], [0, -1], [-1, 2]], "f4")
    scores = cc.maxsim(queries, [2, 1], vectors, [1, 0, 2])
    np.testing.assert_allclose(scores, [[1.4, -np.inf, 2], [1.4, -np.inf, 1]], rtol=1e-6)


@pytest.mark.parametrize("d", [1, 7, 16, 65, 384])
def test_equals_float64(level, rng, d):
    query_lengths, lengths = [3, 0, 33, 1, 16], [1, 64, 0, 130, 5, 65]
    queries, vectors = rng.normal(size=(53, d)).astype("f4"), rng.normal(size=(265, d)).astype("f4")
    scores = cc.maxsim(queries, query_lengths, vectors, lengths)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, plain(queries, query_lengths, vectors, lengths), rtol=1e-5, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=5),
    st.lists(st.integers(0, 70), min_size=1, max_size=5),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
)
def test_small_integers_are_exact(query_lengths, lengths, d, seed):
    rng = np.random.default_rng(seed)
    queries = rng.integers(-3, 4, (sum(query_lengths), d)).astype("f2")
    vectors = rng.integers(-3, 4, (sum(lengths), d)).astype("f2")
    scores = cc.maxsim(queries, query_lengths, vectors, lengths)
    np.testing.assert_array_equal(scores, plain(queries, query_lengths, vectors, lengths))


def test_levels_threads_blocks_and_company_change_nothing(rng, threads, monkeypatch):
    query_lengths, lengths = [5, 30, 2], [70, 3, 128, 40]
    queries, vectors = rng.normal(size=(37, 50)).astype("f4"), rng.normal(size=(241, 50)).astype("f4")
    want = cc.maxsim(queries, query_lengths, vectors, lengths)
    before = native.simd_level()
    for name in native.available_simd_levels():
        native.set_simd_level(name)
        native.set_num_threads(3)
        np.testing.assert_array_equal(cc.maxsim(queries, query_lengths, vectors, lengths), want)
    native.set_simd_level(before)
    np.testing.assert_array_equal(cc.maxsim(queries[5:35], [30], vectors[73:201], [128])[0], want[1, 2:3])
    monkeypatch.setattr(sys.modules["cluscomp.multivector.maxsim"], "_PRODUCTS_PER_BLOCK", 1)
    seen = []
    got = cc.maxsim(
        queries, query_lengths, vectors, lengths, progress=lambda _, done, total: seen.append(done)
    )
    np.testing.assert_array_equal(got, want)
    assert seen == [1, 2, 3, 4]


def test_kinds_of_input_agree(rng, tmp_path):
    torch = pytest.importorskip("torch")
    queries, vectors = rng.normal(size=(4, 9)).astype("f2"), rng.normal(size=(30, 9)).astype("f2")
    want = cc.maxsim(queries.astype("f4"), [4], vectors.astype("f4"), [10, 20])
    np.save(tmp_path / "x.npy", vectors)
    for kind in (
        vectors,
        vectors.astype("f8"),
        np.load(tmp_path / "x.npy", mmap_mode="r"),
        torch.from_numpy(vectors),
    ):
        np.testing.assert_array_equal(cc.maxsim(queries, [4], kind, [10, 20]), want)
    bits = torch.from_numpy(vectors).bfloat16()
    np.testing.assert_array_equal(
        cc.maxsim(queries, [4], bits, [10, 20]), cc.maxsim(queries, [4], bits.float(), [10, 20])
    )


def test_nothing():
    assert cc.maxsim(np.zeros((0, 3)), [], np.ones((2, 3)), [2]).shape == (0, 1)
    assert cc.maxsim(np.ones((2, 3)), [2], np.zeros((0, 3)), []).shape == (1, 0)


def test_wrong_calls():
    x = np.ones((4, 3), "f4")
    with pytest.raises(DimensionError, match="queries has dim 2, but dim 3"):
        cc.maxsim(np.ones((4, 2)), [4], x, [4])
    with pytest.raises(DimensionError, match="add up to 3, but queries has 4"):
        cc.maxsim(x, [3], x, [4])
    with pytest.raises(DTypeError):
        cc.maxsim(np.array([["a"]]), [1], x, [4])
    with pytest.raises(NonFiniteError, match="queries: row 0"):
        cc.maxsim(np.full((1, 3), np.nan), [1], x, [4])
    with pytest.raises(ValueError, match="never fall"):
        native.maxsim(x, np.array([0, 5, 4]), x, np.array([0, 4]))
    with pytest.raises(ValueError, match="last offset: got 3, expected 4"):
        native.maxsim(x, np.array([0, 3]), x, np.array([0, 4]))
