"""Paired randomisation against hand-worked cases, scipy, and its own error rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluscomp.errors import UsageError
from cluscomp.eval import compare_runs


def compare(differences, **kwargs):
    """Two runs whose success@1 differs by +1, 0 or -1 a query, as the list says."""
    qrels = {f"q{i}": {"good": 1, "bad": 0} for i in range(len(differences))}
    good, bad = {"good": 2.0, "bad": 1.0}, {"good": 1.0, "bad": 2.0}
    run = {f"q{i}": good if d >= 0 else bad for i, d in enumerate(differences)}
    base = {f"q{i}": bad if d > 0 else good for i, d in enumerate(differences)}
    return compare_runs(run, base, qrels, "success@1", **kwargs)


def test_four_wins_by_hand():
    # 16 sign patterns, |sum| = 4 in 2 of them. Means of the 16 subsets: the empty one (-inf), then 1.
    found = compare([1, 1, 1, 1], confidence=0.9)
    assert (found.n_queries, found.wins, found.ties, found.losses) == (4, 4, 0, 0)
    assert found.p_value == 2 / 16
    assert found.lower_bound == 1.0  # 1.6 subsets are allowed: the empty one is, the next has mean 1
    assert found.non_inferior
    assert compare([1, 1, 1, 1], confidence=0.95).lower_bound == -np.inf  # 0.8 subsets allow no statement
    assert compare([1, 1, 1, 1]).to_json()["lower_bound"] is None


def test_mixed_by_hand():
    # differences 1, 1, -1: sums over the 8 subsets are 0; 1, 1, -1; 2, 0, 0; 1. |1 - 2 s| >= 1 always.
    found = compare([1, 1, -1], confidence=0.6)
    assert found.p_value == 1.0
    # 3.2 subsets are allowed: sorted means -inf, -1, 0, 0, 1/3, 1, 1, 1; the bound is the one after three
    assert found.lower_bound == 0.0
    assert found.difference == pytest.approx(1 / 3)


def test_equal_runs():
    for n in (5, 50):
        found = compare([0] * n)
        assert (found.difference, found.p_value, found.lower_bound, found.non_inferior) == (0, 1, 0, True)


@pytest.mark.parametrize("n", [9, 60])
def test_p_value_equals_scipys(rng, n):
    stats = pytest.importorskip("scipy.stats")
    signs = rng.choice([-1, 0, 1, 1], n)
    theirs = stats.permutation_test(
        (signs.astype(float), np.zeros(n)), lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples", vectorized=True, n_resamples=20000, rng=np.random.default_rng(1),
    )  # fmt: skip
    ours = compare(signs, n_resamples=20000).p_value
    # 9 queries: both try all patterns. 60: both draw at random, with a standard error below .0036
    assert ours == pytest.approx(theirs.pvalue, abs=1e-12 if n == 9 else 0.015)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=30), st.sampled_from([0.0, 0.01, 0.1, 0.3]))
def test_bound_and_verdict_agree(differences, margin):
    found = compare(differences, margin=margin, n_resamples=1000)
    assert found.non_inferior == (found.lower_bound > -margin)
    assert found.lower_bound <= found.difference + 1e-12 or np.isclose(found.lower_bound, found.difference)
    assert 0 < found.p_value <= 1


def test_the_bound_errs_as_often_as_it_says():
    rng = np.random.default_rng(0)
    true = 0.2  # P(+1) = .5, P(0) = .2, P(-1) = .3
    above = sum(
        compare(rng.choice([1, 0, -1], 80, p=[0.5, 0.2, 0.3]), confidence=0.9, n_resamples=1000).lower_bound
        > true
        for _ in range(200)
    )
    assert 5 <= above <= 38  # 20 are expected; 4 standard deviations are 17


def test_same_seed_same_numbers(rng):
    signs = rng.choice([-1, 0, 1], 40)
    assert compare(signs) == compare(signs)


@pytest.mark.parametrize(
    "wrong",
    [{"margin": -0.1}, {"confidence": 1.0}, {"confidence": 0.2}, {"n_resamples": 10}, {"margin": np.nan}],
)
def test_wrong_arguments(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        compare([1, 0], **wrong)
