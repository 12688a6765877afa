"""Token pooling: oracles by hand, scipy, invariants and wrong calls."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ward_reference import partition, scipy_tree

import cluscomp as cc
from cluscomp.errors import (
    DimensionError,
    EmptyInputError,
    InfeasibleError,
    NonFiniteError,
    UnknownKeyError,
    UsageError,
)
from cluscomp.vocabulary import POOL_METHODS


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("f4")


def documents(rng, lengths, d=24):
    """Token vectors with a common direction and some that resemble each other, as encoders give them."""
    n = int(sum(lengths))
    topics = rng.normal(size=(12, d)) + 0.7
    return unit(topics[rng.integers(0, 12, n)] + 0.6 * rng.normal(size=(n, d)))


def maxsim(queries, vectors):
    return (queries @ vectors.T).max(axis=1).sum()


LENGTHS = [17, 1, 0, 40, 5, 2]

# ---- by hand ---------------------------------------------------------------------------------------


def test_norm_of_a_mean():
    x = np.array([[1, 0], [0.6, 0.8]], "f4")
    raw, kept = cc.pool_tokens(x, [2], factor=2, renormalize=False)
    np.testing.assert_allclose(raw, [[0.8, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(cc.pool_tokens(x, [2], factor=2)[0], [[0.8944272, 0.4472136]], rtol=1e-6)
    np.testing.assert_array_equal(kept, [1])


@pytest.mark.parametrize("method", POOL_METHODS)
def test_factor_one_is_the_identity(rng, method):
    x = documents(rng, LENGTHS)
    pooled, kept, labels = cc.pool_tokens(
        x, LENGTHS, factor=1, method=method, renormalize=False, return_labels=True
    )
    np.testing.assert_array_equal(pooled, x)
    np.testing.assert_array_equal(kept, LENGTHS)
    np.testing.assert_array_equal(labels, np.arange(len(x)))


@pytest.mark.parametrize("method", POOL_METHODS)
@pytest.mark.parametrize("protected", [0, 1, 3])
def test_a_huge_factor_leaves_the_mean_and_the_protected(rng, method, protected):
    x = documents(rng, LENGTHS)
    pooled, kept = cc.pool_tokens(
        x, LENGTHS, factor=1e9, method=method, protected=protected, renormalize=False
    )
    want, at = [], 0
    for n in LENGTHS:
        tokens = x[at : at + n].astype("f8")
        want += [*tokens[:protected], *([tokens[protected:].mean(0)] if n > protected else [])]
        at += n
    np.testing.assert_allclose(pooled, want, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(kept, [min(n, protected + 1) for n in LENGTHS])


def test_duplicates_leave_fewer_than_asked():
    x = np.repeat(np.eye(3, 5, dtype="f4"), 3, axis=0)
    pooled, kept = cc.pool_tokens(x, [9], max_vectors=5)
    np.testing.assert_array_equal(pooled, np.eye(3, 5))
    np.testing.assert_array_equal(kept, [3])


def test_sequential_groups_are_runs():
    x = np.arange(10, dtype="f4")[:, None]
    pooled, _, labels = cc.pool_tokens(
        x, [10], factor=3, method="sequential", renormalize=False, return_labels=True
    )
    np.testing.assert_array_equal(labels, [0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    np.testing.assert_allclose(pooled[:, 0], [1.5, 5, 8])


def test_a_mean_of_zero_gives_the_first_vector():
    x = np.array([[1, 0], [-1, 0]], "f4")
    np.testing.assert_array_equal(cc.pool_tokens(x, [2], factor=2)[0], [[1, 0]])
    np.testing.assert_array_equal(cc.pool_tokens(x, [2], factor=2, renormalize=False)[0], [[0, 0]])
    np.testing.assert_array_equal(cc.pool_tokens(np.zeros((2, 2)), [2], factor=2)[0], [[0, 0]])


# ---- against scipy ---------------------------------------------------------------------------------


@pytest.mark.parametrize("linkage_input", ["euclidean", "cosine_condensed", "cosine_square"])
@pytest.mark.parametrize("protected", [0, 1])
def test_groups_are_those_of_fcluster(level, rng, linkage_input, protected):
    hierarchy = pytest.importorskip("scipy.cluster.hierarchy")
    lengths = [60, 31, 100]
    x = documents(rng, lengths, d=32)
    for factor in (2, 3, 4.5, 8):
        _, kept, labels = cc.pool_tokens(
            x, lengths, factor=factor, linkage_input=linkage_input, protected=protected, return_labels=True
        )
        at = 0
        for n, k in zip(lengths, kept, strict=True):
            count = max(1, int((n - protected) // factor))
            assert k == count + protected
            tree = scipy_tree(x[at + protected : at + n], linkage_input)
            want = hierarchy.fcluster(tree, count, "maxclust")
            assert partition(labels[at + protected : at + n]) == partition(want)
            at += n


def test_height_is_fclusters_distance(rng):
    hierarchy = pytest.importorskip("scipy.cluster.hierarchy")
    x = documents(rng, [50])
    for height in (0.0, 0.5, 0.8, 1.1, 99.0):
        _, _, labels = cc.pool_tokens(x, [50], height=height, return_labels=True)
        want = hierarchy.fcluster(scipy_tree(x, "euclidean"), height, "distance")
        assert partition(labels) == partition(want)


# ---- budgets ---------------------------------------------------------------------------------------


def loss(x, labels):
    means = np.stack([x[labels == label].mean(0) for label in range(labels.max() + 1)])
    return ((x - means[labels]) ** 2).sum()


def test_a_total_is_spent_where_it_saves_most(rng):
    """A document of repeated tokens needs few vectors; the same number for all documents loses more."""
    lengths = [40, 40, 40]
    same = np.repeat(documents(rng, [2]), 20, axis=0) + 0.01 * rng.normal(size=(40, 24))
    x = unit(np.concatenate([same, documents(rng, [80])]))
    options = {"renormalize": False, "return_labels": True}
    _, kept, labels = cc.pool_tokens(x, lengths, total_vectors=30, **options)
    _, even, even_labels = cc.pool_tokens(x, lengths, max_vectors=10, **options)
    assert kept.sum() == even.sum() == 30 and kept[0] < 5 < kept[1]
    assert loss(x, labels) < 0.9 * loss(x, even_labels)


def test_a_total_takes_the_lowest_heights_of_all_documents(rng):
    pytest.importorskip("scipy")
    lengths = [9, 0, 1, 14, 6]
    x = documents(rng, lengths)
    for protected in (0, 2):
        sizes = [max(0, n - protected) for n in lengths]
        heights, at = [], 0
        for i, n in enumerate(lengths):
            if sizes[i] > 1:
                tree = scipy_tree(x[at + protected : at + n], "euclidean")
                heights += [(h, i) for h in tree[:, 2]]
            at += n
        for total in (20, 26, 30, 1000):
            merged = [i for _, i in sorted(heights)[: max(0, 30 - total)]]
            want = [n - merged.count(i) for i, n in enumerate(lengths)]
            _, kept = cc.pool_tokens(x, lengths, total_vectors=total, protected=protected)
            np.testing.assert_array_equal(kept, want)


def test_a_total_in_bytes(rng):
    x = documents(rng, LENGTHS)
    _, kept = cc.pool_tokens(x, LENGTHS, total_bytes=20 * 4 * 24 + 5)
    assert kept.sum() == 20
    _, kept = cc.pool_tokens(x, LENGTHS, total_bytes=25 * 6, bytes_per_vector=6)
    assert kept.sum() == 25


# ---- invariants ------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=6),
    st.sampled_from(POOL_METHODS),
    st.integers(1, 6),
    st.integers(0, 3),
    st.integers(0, 2**32 - 1),
)
def test_never_more_than_asked_never_a_zero_row_never_a_higher_score(lengths, method, most, protected, seed):
    rng = np.random.default_rng(seed)
    x, queries = documents(rng, lengths, d=6), documents(rng, [7], d=6)
    most += protected
    pooled, kept, labels = cc.pool_tokens(
        x,
        lengths,
        max_vectors=most,
        method=method,
        protected=protected,
        renormalize=False,
        return_labels=True,
    )
    np.testing.assert_array_equal(kept > 0, np.array(lengths) > 0)
    assert (kept <= np.minimum(lengths, most)).all() and kept.sum() == len(pooled)
    assert (np.linalg.norm(pooled, axis=1) > 0).all()
    np.testing.assert_array_equal(np.unique(labels), np.arange(len(pooled)))  # every row has a member
    begin, ends = np.cumsum(lengths) - lengths, np.cumsum(kept)
    for i, n in enumerate(lengths):
        if n == 0:
            continue
        own = pooled[ends[i] - kept[i] : ends[i]]
        tokens = x[begin[i] : begin[i] + n]
        assert maxsim(queries, own) <= maxsim(queries, tokens) + 1e-4  # a mean is never above the best member
        np.testing.assert_array_equal(own[: min(protected, n)], tokens[:protected])
        members = labels[begin[i] : begin[i] + n] - (ends[i] - kept[i])
        for group in range(kept[i]):
            np.testing.assert_allclose(own[group], tokens[members == group].mean(0), rtol=1e-4, atol=1e-6)


def test_results_have_length_one(rng):
    x = 3 * documents(rng, LENGTHS)
    for factor in (1, 3):
        norms = np.linalg.norm(cc.pool_tokens(x, LENGTHS, factor=factor, protected=1)[0], axis=1)
        np.testing.assert_allclose(norms, 1, rtol=1e-6)


@pytest.mark.parametrize("method", POOL_METHODS)
def test_documents_threads_and_blocks_change_nothing(rng, method, threads, monkeypatch):
    from cluscomp import native
    from cluscomp.multivector import pooling

    x = documents(rng, LENGTHS)
    want = cc.pool_tokens(x, LENGTHS, factor=3, method=method)
    monkeypatch.setattr(pooling, "_MEAN_ROWS", 1)
    native.set_num_threads(1)
    for got, wanted in zip(cc.pool_tokens(x, LENGTHS, factor=3, method=method), want, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_kinds_of_input_agree(rng, tmp_path):
    half = documents(rng, LENGTHS).astype("f2")
    want, kept = cc.pool_tokens(half.astype("f4"), LENGTHS, factor=2)
    np.save(tmp_path / "x.npy", half)
    strided = np.zeros((len(half), 48), "f2")[:, ::2]
    strided[:] = half
    torch = pytest.importorskip("torch")
    for given_ in (
        half,
        half.astype("f8"),
        np.load(tmp_path / "x.npy", mmap_mode="r"),
        strided,
        torch.from_numpy(half),
    ):
        pooled, lengths = cc.pool_tokens(given_, torch.tensor(LENGTHS), factor=2)
        np.testing.assert_array_equal(pooled, want)
        np.testing.assert_array_equal(lengths, kept)
        assert pooled.dtype == np.float32 and lengths.dtype == np.int64
    bits = torch.from_numpy(half.astype("f4")).bfloat16()
    got, _ = cc.pool_tokens(bits, LENGTHS, factor=2)
    np.testing.assert_array_equal(got, cc.pool_tokens(bits.float(), LENGTHS, factor=2)[0])


def test_a_list_of_documents(rng):
    """As PyLate and sentence-transformers return them."""
    torch = pytest.importorskip("torch")
    half = documents(rng, LENGTHS).astype("f2")
    want, kept = cc.pool_tokens(half, LENGTHS, factor=2)
    parts = np.split(half, np.cumsum(LENGTHS)[:-1])
    for given_ in (parts, [torch.from_numpy(part) for part in parts]):
        pooled, lengths = cc.pool_tokens(given_, None, factor=2)
        np.testing.assert_array_equal(pooled, want)
        np.testing.assert_array_equal(lengths, kept)
    with pytest.raises(DimensionError, match="different kinds"):
        cc.pool_tokens([half[:2], half[:2].astype("f4")], None, factor=2)
    with pytest.raises(EmptyInputError, match="empty list"):
        cc.pool_tokens([], None, factor=2)


def test_progress_reaches_the_end(rng):
    seen = []
    cc.pool_tokens(
        documents(rng, LENGTHS), LENGTHS, factor=2, progress=lambda _, done, total: seen.append((done, total))
    )
    assert seen[-1] == (12, 12) and seen == sorted(seen)


def test_nothing_to_pool():
    for lengths in ([], [0, 0]):
        pooled, kept = cc.pool_tokens(np.zeros((0, 4), "f4"), lengths, total_vectors=5)
        assert pooled.shape == (0, 4) and kept.tolist() == lengths


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({}, UsageError, "none given"),
        ({"factor": 2, "max_vectors": 3}, UsageError, "factor and max_vectors"),
        ({"factor": 0.5}, UsageError, "factor must be a finite number at least 1, but is 0.5"),
        ({"factor": float("nan")}, UsageError, "nan"),
        ({"max_vectors": 0}, UsageError, "at least 1"),
        ({"max_vectors": 2.5}, UsageError, "max_vectors must be an integer"),
        ({"height": -1}, UsageError, "at least 0"),
        ({"factor": 2, "method": "median"}, UnknownKeyError, "'ward|ward"),
        ({"factor": 2, "linkage_input": "cosine"}, UnknownKeyError, "cosine_square"),
        ({"height": 1, "method": "kmeans"}, UsageError, "needs method 'ward'"),
        ({"factor": 2, "protected": -1}, UsageError, "protected must be .* but is -1"),
        ({"max_vectors": 2, "protected": 2}, UsageError, "raise max_vectors to 3"),
        ({"total_vectors": 1}, InfeasibleError, "2 in all"),
        ({"total_bytes": 10}, UsageError, "total_vectors must be .* but is 0"),
        ({"total_bytes": 10, "total_vectors": 2}, UsageError, "both given"),
        ({"factor": 2, "bytes_per_vector": 3}, UsageError, "not given"),
        ({"total_bytes": 10, "bytes_per_vector": 0}, UsageError, "bytes_per_vector must be a finite number above 0"),
    ],
)  # fmt: skip
def test_wrong_options(options, error, text):
    with pytest.raises(error, match=text):
        cc.pool_tokens(np.eye(4, dtype="f4"), [3, 1], **options)


def test_wrong_arrays():
    with pytest.raises(DimensionError, match="add up to 3"):
        cc.pool_tokens(np.eye(4), [3], factor=2)
    with pytest.raises(NonFiniteError, match="row 2"):
        cc.pool_tokens(np.array([[1.0], [2.0], [np.nan]]), [3], factor=2)
