"""Support pooling: oracles by hand, a plain reference in float64, invariants and wrong calls."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_reference import fit, mixed_target, objective, support_function

import cluscomp as cc
from cluscomp import native
from cluscomp.errors import DimensionError, InputError, NonFiniteError, UnknownKeyError, UsageError
from cluscomp.multivector import support, support_errors, support_line, support_sample
from cluscomp.multivector.ragged import Ragged, offsets_of

LENGTHS = [17, 1, 0, 40, 5, 2, 33]
EXACT = support.SupportFit(steps=200)


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("f4")


def documents(rng, lengths, d=24):
    n = int(sum(lengths))
    topics = rng.normal(size=(12, d)) + 0.7
    return unit(topics[rng.integers(0, 12, n)] + 0.6 * rng.normal(size=(n, d)))


def fitted(x, start, sample, how=EXACT, fixed=0):
    """Vectors of one document, fitted natively."""
    one = [Ragged(rows, offsets_of([len(rows)], len(rows))) for rows in (x, start)]
    packed = support.pack_sample(sample, x.shape[1])
    return support.fit_support(*one, np.array([fixed]), packed, how, lambda _: None)


def pool(x, lengths, k, sample, **more):
    return cc.pool_tokens(x, lengths, max_vectors=k, method="support", sample=sample, **more)


# ---- by hand ---------------------------------------------------------------------------------------


def test_documents_that_keep_all_their_vectors_stay_as_they_are(rng):
    x = documents(rng, LENGTHS)
    pooled, kept, labels = pool(x, LENGTHS, 40, x[::2], renormalize=False, return_labels=True)
    np.testing.assert_array_equal(pooled, x)
    np.testing.assert_array_equal(kept, LENGTHS)
    np.testing.assert_array_equal(labels, np.arange(len(x)))
    np.testing.assert_array_equal(support_errors(x, LENGTHS, pooled, kept, sample=x[::2]), 0)


def test_one_dimension_is_exact():
    x = np.array([[-1], [2]], "f4")
    sample = np.array([[-2], [-1], [0.5], [3]], "f4")
    start = np.array([[-0.5], [1]], "f4")
    got = fitted(x, start, sample, support.SupportFit(ridge=0, rounds=1))
    np.testing.assert_allclose(got, x, atol=1e-4)


def test_one_vector_of_the_sample_moves_by_the_ridge_factor():
    x, start = np.array([[3, 4], [0, 1]], "f4"), np.array([[1, 0]], "f4")
    q = np.array([[2, 0]], "f4")  # h = 6, <q, v> = 2
    got = fitted(x, start, q, support.SupportFit(ridge=2, rounds=1))
    np.testing.assert_allclose(got @ q[0], 2 + (6 - 2) * 4 / (4 + 2), rtol=1e-4)
    np.testing.assert_allclose(got[0, 1], 0, atol=1e-6)


def test_a_vector_of_one_token_is_that_token(rng):
    x = documents(rng, [1])
    np.testing.assert_allclose(pool(x, [1], 4, documents(rng, [50]))[0], x, atol=1e-6)


def test_no_rounds_change_nothing(rng):
    x = documents(rng, [30])
    start = x[:3].copy()
    np.testing.assert_array_equal(fitted(x, start, x, support.SupportFit(rounds=0)), start)
    np.testing.assert_array_equal(fitted(x, start, x, support.SupportFit(steps=0)), start)


def test_the_share_of_ward_alone_changes_nothing(rng):
    x = documents(rng, [30])
    ward, _ = cc.pool_tokens(x, [30], max_vectors=4)
    np.testing.assert_array_equal(pool(x, [30], 4, x, ward_share=1.0)[0], ward)


def test_shares_and_shift_by_hand():
    x, start = np.array([[3, 4], [0, 1]], "f4"), np.array([[1, 0]], "f4")
    q = np.array([[2, 0]], "f4")  # h = 6, <q, v> = 2, shift = 1 + 3 log 2
    how = support.SupportFit(ward_share=0.25, line=(1, 3), ridge=2, rounds=1)
    target = 0.75 * 6 + 0.25 * (2 + 1 + 3 * np.log(2))
    np.testing.assert_allclose(fitted(x, start, q, how) @ q[0], 2 + (target - 2) * 4 / (4 + 2), rtol=1e-4)


def test_line_by_hand():
    lengths = [1, 2, 4, 0]
    x = np.array([[5, 0], [7, 0], [1, 0], [9, 1], [2, 2], [0, 0], [1, 0]], "f4")
    short = np.array([[4, 0], [5, 0], [6, 0]], "f4")  # 1, 2 and 3 below in the direction of (1, 0)
    b, c = support_line(x, lengths, short, [1, 1, 1, 0], sample=np.array([[1, 0]], "f4"))
    np.testing.assert_allclose([b, c], [1, 1 / np.log(2)], rtol=1e-4)
    b, c = support_line(x[:4], [2, 2], short[:2], [1, 1], sample=np.array([[1, 0]], "f4"))
    np.testing.assert_allclose([b, c], [(3 + 4) / 2, 0], rtol=1e-4)
    assert support_line(x[:0], [0], short[:0], [0], sample=x) == (0, 0)


# ---- against plain float64 -------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 15, 17, 24, 64])
@pytest.mark.parametrize(("tokens", "k", "n"), [(40, 4, 100), (3, 2, 1), (130, 17, 301), (20, 1, 50)])
def test_fit_is_that_of_exact_ridge_regression(rng, level, d, tokens, k, n):
    x, sample = documents(rng, [tokens], d), documents(rng, [n], d)
    start, _ = cc.pool_tokens(x, [tokens], max_vectors=k)
    target = support_function(x, sample)
    got, want = fitted(x, start, sample), fit(start, sample, target)
    values = [objective(v, start, sample, target, 2.0) for v in (start, want, got)]
    assert values[2] <= values[0]
    assert values[2] <= values[1] * 1.001 + 1e-6  # a q between two vectors may go to either
    if n <= 100:
        np.testing.assert_allclose(got, want, atol=5e-3)


@pytest.mark.parametrize(("share", "line"), [(0.25, (0.1, 0.03)), (0.5, (0, 0)), (1.0, (-0.2, 0.1))])
def test_fit_to_a_mixture(rng, level, share, line):
    x, sample = documents(rng, [60]), documents(rng, [90])
    start, _ = cc.pool_tokens(x, [60], max_vectors=5)
    target = mixed_target(x, start, sample, share, line[0] + line[1] * np.log(60))
    got = fitted(x, start, sample, support.SupportFit(share, line, steps=200))
    np.testing.assert_allclose(got, fit(start, sample, target), atol=5e-3)


def test_values_are_the_largest_products(rng, level):
    for d in (1, 15, 17, 100):
        x, sample = documents(rng, LENGTHS, d), documents(rng, [33], d)
        ragged = Ragged(x, offsets_of(LENGTHS, len(x)))
        got = support.support_values(ragged, support.pack_sample(sample, d))
        for i, values in enumerate(got):
            own = x[ragged.offsets[i] : ragged.offsets[i + 1]]
            want = support_function(own, sample) if len(own) else 0
            np.testing.assert_allclose(values, np.broadcast_to(want, values.shape), atol=2e-4)


def test_levels_agree(rng):
    x, sample = documents(rng, [60, 7, 90], 50), documents(rng, [77], 50)
    results = []
    for name in native.available_simd_levels():
        native.set_simd_level(name)
        results.append(pool(x, [60, 7, 90], 6, sample)[0])
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types_enter_as_what_they_hold(rng, dtype):
    torch = pytest.importorskip("torch")
    x, sample = documents(rng, LENGTHS), documents(rng, [50])
    half = torch.from_numpy(x).to(getattr(torch, dtype))
    got = pool(half, LENGTHS, 3, torch.from_numpy(sample).to(half.dtype))
    want = pool(half.float(), LENGTHS, 3, torch.from_numpy(sample).to(half.dtype).float())
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- invariants ------------------------------------------------------------------------------------

SEEDS = st.integers(0, 10**6)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(1, 9), st.integers(0, 3), st.integers(1, 60))
def test_never_worse_than_ward(seed, k, protected, n):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 40, 4)
    x, sample = documents(rng, lengths), documents(rng, [n])
    k += protected
    ward, kept = cc.pool_tokens(x, lengths, max_vectors=k, protected=protected)
    pooled, also = pool(x, lengths, k, sample, protected=protected)
    np.testing.assert_array_equal(kept, also)
    before, after = (support_errors(x, lengths, v, kept, sample=sample) for v in (ward, pooled))
    assert (after <= before + 1e-7).all()
    ends = np.cumsum(kept)
    for first, last in zip(ends - kept, ends, strict=True):
        alone = slice(first, min(first + protected, last))
        np.testing.assert_array_equal(pooled[alone], ward[alone])


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(2, 6))
def test_the_order_of_tokens_does_not_matter(seed, k):
    rng = np.random.default_rng(seed)
    x, sample = documents(rng, [30]), documents(rng, [40])
    order = rng.permutation(30)
    one, _ = pool(x, [30], k, sample)
    other, _ = pool(x[order], [30], k, sample)
    ward, _ = cc.pool_tokens(x, [30], max_vectors=k)
    moved, _ = cc.pool_tokens(x[order], [30], max_vectors=k)
    nearest = (ward @ moved.T).argmax(axis=1)
    np.testing.assert_allclose(ward, moved[nearest], atol=1e-6)  # the same groups
    np.testing.assert_allclose(one, other[nearest], atol=2e-3)


def test_documents_are_pooled_by_themselves(rng):
    x, sample = documents(rng, LENGTHS), documents(rng, [50])
    pooled, kept = pool(x, LENGTHS, 4, sample)
    at = 0
    for n, first, k in zip(LENGTHS, np.cumsum(kept) - kept, kept, strict=True):
        alone, _ = pool(x[at : at + n], [n], 4, sample)
        np.testing.assert_array_equal(alone, pooled[first : first + k])
        at += n


@pytest.mark.parametrize("budget", [{"factor": 3}, {"height": 0.9}, {"total_vectors": 20}])
def test_budgets_are_those_of_ward(rng, budget):
    x = documents(rng, LENGTHS)
    _, kept, labels = cc.pool_tokens(x, LENGTHS, **budget, return_labels=True)
    _, also, same = cc.pool_tokens(x, LENGTHS, **budget, return_labels=True, method="support", sample=x)
    np.testing.assert_array_equal(kept, also)
    np.testing.assert_array_equal(labels, same)


def test_errors_are_mean_squares(rng):
    x, sample = documents(rng, LENGTHS), documents(rng, [50])
    pooled, kept = cc.pool_tokens(x, LENGTHS, max_vectors=3)
    got = support_errors(x, LENGTHS, pooled, kept, sample=sample)
    starts, ends = np.cumsum(LENGTHS) - LENGTHS, np.cumsum(kept)
    for i, n in enumerate(LENGTHS):
        if n == 0:
            assert got[i] == 0
            continue
        whole = support_function(x[starts[i] : starts[i] + n], sample)
        short = support_function(pooled[ends[i] - kept[i] : ends[i]], sample)
        np.testing.assert_allclose(got[i], ((whole - short) ** 2).mean(), atol=1e-4)


# ---- the sample ------------------------------------------------------------------------------------


def test_sample_has_rows_of_the_collection_and_none_twice(rng):
    x = documents(rng, LENGTHS)
    sample = support_sample(x.astype("f2"), LENGTHS, size=20, seed=3)
    assert sample.shape == (20, 24)
    assert sample.dtype == np.float32
    found = {tuple(row) for row in sample}
    assert len(found) == 20
    assert found <= {tuple(row) for row in x.astype("f2").astype("f4")}
    np.testing.assert_array_equal(sample, support_sample(x.astype("f2"), LENGTHS, size=20, seed=3))
    np.testing.assert_array_equal(support_sample(x, LENGTHS, size=1000), x)


# ---- wrong calls -----------------------------------------------------------------------------------


def test_wrong_calls(rng):
    x = documents(rng, [5])
    with pytest.raises(UsageError, match="needs sample"):
        cc.pool_tokens(x, [5], factor=2, method="support")
    with pytest.raises(UsageError, match="belongs to method 'support'"):
        cc.pool_tokens(x, [5], factor=2, sample=x)
    with pytest.raises(UnknownKeyError, match="support"):
        cc.pool_tokens(x, [5], factor=2, method="suport")
    with pytest.raises(UsageError, match="belong to method 'support'"):
        cc.pool_tokens(x, [5], factor=2, ward_share=0.5)
    with pytest.raises(UsageError, match="ward_share must be"):
        pool(x, [5], 2, x, ward_share=1.5)
    with pytest.raises(UsageError, match="two numbers"):
        pool(x, [5], 2, x, ward_line=[1])
    with pytest.raises(DimensionError, match="sample"):
        pool(x, [5], 2, x[:, :7])
    with pytest.raises(NonFiniteError, match="sample"):
        pool(x, [5], 2, np.full((3, 24), np.nan, "f4"))
    with pytest.raises(DimensionError, match="documents"):
        support_errors(x, [5], x, [2, 3], sample=x)
    with pytest.raises(UsageError, match="size must be"):
        support_sample(x, [5], size=0)
    with pytest.raises(InputError, match="no token vectors"):
        support_sample(x[:0], [0])


@pytest.mark.parametrize("large", [1e15, 3e38])
def test_vectors_of_absurd_length_are_refused(rng, large):
    x = documents(rng, [9])
    far = x.copy()
    far[3] *= large
    with pytest.raises(InputError, match="row 12 holds"):
        pool(np.concatenate([x, far]), [9, 9], 2, x)
    with pytest.raises(InputError, match="sample(: row 3 holds| has a vector longer)"):
        pool(x, [9], 2, far)


def test_zeros_and_tiny_vectors(rng):
    x = documents(rng, [9])
    for small in (0.0, 1e-30):
        pooled, _ = pool(x * np.float32(small), [9], 2, x, renormalize=False)
        assert np.isfinite(pooled).all()
    assert np.isfinite(pool(x, [9], 2, x * 0)[0]).all()
