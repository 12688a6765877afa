"""Fixed-dimensional encodings: identities that hold exactly, and an average over seeds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import DimensionError, UnknownKeyError, UsageError
from cluscomp.multivector import fde
from cluscomp.multivector.ragged import as_ragged

LENGTHS = [5, 1, 12, 0, 3]


@pytest.fixture
def tokens(rng):
    x = rng.normal(size=(sum(LENGTHS), 6))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("f4")


def encode(x, lengths, side, k_sim=3, repetitions=4, **options):
    return fde.fde_encode(x, lengths, side=side, k_sim=k_sim, repetitions=repetitions, **options)


def test_gray_code():
    order = [0b000, 0b001, 0b011, 0b010, 0b110, 0b111, 0b101, 0b100]
    np.testing.assert_array_equal(fde.bucket_of(np.array(order)), np.arange(8))
    every = np.arange(1 << 16)
    np.testing.assert_array_equal(fde.bits_of(fde.bucket_of(every)), every)
    steps = fde.bits_of(every[1:]) ^ fde.bits_of(every[:-1])
    assert (steps & (steps - 1) == 0).all()


def test_by_hand():
    planes = np.array([[1.0, 0.0]])
    query = as_ragged(np.array([[1, 0], [0.6, 0.8]], "f4"), [2])
    document = as_ragged(np.array([[0.8, 0.6], [-1, 0]], "f4"), [2])
    f_q = fde.encode_part(query, planes, None, "query", True)
    f_d = fde.encode_part(document, planes, None, "document", True)
    np.testing.assert_allclose(f_q, [[0, 0, 1.6, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(f_d, [[-1, 0, 0.8, 0.6]], rtol=1e-6)
    np.testing.assert_allclose(f_q @ f_d.T, 1.76, rtol=1e-6)

    alone, behind = as_ragged(np.array([[0.8, 0.6]], "f4"), [1]), as_ragged(np.array([[-1, 0]], "f4"), [1])
    f_q = fde.encode_part(behind, planes, None, "query", True)
    assert f_q @ fde.encode_part(alone, planes, None, "document", False).T == 0
    np.testing.assert_allclose(
        f_q @ fde.encode_part(alone, planes, None, "document", True).T, -0.8, rtol=1e-6
    )


def test_filling_against_plain_loops(rng, tokens):
    planes = rng.normal(size=(4, 6))
    part = as_ragged(tokens, LENGTHS)
    got = fde.encode_part(part, planes, None, "document", True).reshape(len(LENGTHS), 16, 6)
    for i in range(len(LENGTHS)):
        own = tokens[part.offsets[i] : part.offsets[i + 1]]
        signs = [tuple(int(planes[j] @ v > 0) for j in range(4)) for v in own]
        for pattern in itertools.product((0, 1), repeat=4):
            bucket = 0
            acc = 0
            for bit in pattern:  # running exclusive or
                acc ^= bit
                bucket = 2 * bucket + acc
            inside = [v for v, s in zip(own, signs, strict=True) if s == pattern]
            if inside:
                want = np.mean(inside, axis=0)
            elif len(own):
                apart = [sum(a != b for a, b in zip(s, pattern, strict=True)) for s in signs]
                want = own[int(np.argmin(apart))]
            else:
                want = np.zeros(6)
            np.testing.assert_allclose(got[i, bucket], want, rtol=1e-6, atol=1e-7)


def test_one_bucket_is_sum_times_mean(tokens):
    f_q, f_d = (encode(tokens, LENGTHS, side, 0, 3) for side in ("query", "document"))
    sums = np.stack([tokens[:5].sum(0), tokens[5], tokens[6:18].sum(0), np.zeros(6), tokens[18:].sum(0)])
    means = sums / np.maximum(LENGTHS, 1)[:, None]
    np.testing.assert_allclose(f_q @ f_d.T, 3 * sums @ means.T, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("k_sim", "seed"), [(0, 0), (2, 1), (5, 7)])
def test_documents_of_one_vector_are_exact(tokens, k_sim, seed):
    one = [1] * len(tokens)
    f_q = encode(tokens, LENGTHS, "query", k_sim, seed=seed)
    f_d = encode(tokens, one, "document", k_sim, seed=seed)
    want = cc.maxsim(tokens, LENGTHS, tokens, one)
    np.testing.assert_allclose(f_q @ f_d.T / 4, want, rtol=1e-4, atol=1e-5)


def test_duplicates_order_and_sums(rng, tokens):
    twice = np.repeat(tokens, 2, axis=0)
    doubled = [2 * n for n in LENGTHS]
    np.testing.assert_allclose(
        encode(twice, doubled, "document"), encode(tokens, LENGTHS, "document"), atol=1e-6
    )
    np.testing.assert_allclose(
        encode(twice, doubled, "query"), 2 * encode(tokens, LENGTHS, "query"), atol=1e-6
    )
    order = rng.permutation(12)
    for side in ("query", "document"):
        own = encode(tokens[6:18], [12], side, fill_empty=False)
        np.testing.assert_allclose(encode(tokens[6:18][order], [12], side, fill_empty=False), own, atol=1e-6)
    parts = encode(tokens[6:18], [4, 8], "query")
    np.testing.assert_allclose(parts.sum(0), encode(tokens[6:18], [12], "query")[0], atol=1e-6)


@pytest.mark.parametrize("projection", fde.PROJECTIONS)
def test_projections_are_unbiased(tokens, projection):
    """The mean over seeds is within 3 standard errors of the product without projection."""
    full_q, full_d = (
        fde.encode_part(as_ragged(tokens, LENGTHS), np.zeros((0, 6)), None, side, True)
        for side in ("query", "document")
    )
    want = (full_q @ full_d.T)[0, 2]
    products = []
    for seed in range(400):
        f_q, f_d = (
            encode(tokens, LENGTHS, side, 0, 1, projection_dim=3, projection=projection, seed=seed)
            for side in ("query", "document")
        )
        products.append(f_q[0] @ f_d[2])
    assert abs(np.mean(products) - want) < 3 * np.std(products) / np.sqrt(len(products))


def test_blocks_change_nothing_and_seeds_do(tokens, monkeypatch):
    want = encode(tokens, LENGTHS, "document", projection_dim=4)
    assert want.shape == (5, 4 * 8 * 4) and want.dtype == np.float32
    assert (want[3] == 0).all()
    assert not np.array_equal(want, encode(tokens, LENGTHS, "document", projection_dim=4, seed=1))
    monkeypatch.setattr(fde, "_SUMS_PER_BLOCK", 1)
    seen = []
    got = encode(
        tokens, LENGTHS, "document", projection_dim=4, progress=lambda _, done, total: seen.append(done)
    )
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert seen == [1, 2, 3, 4, 5]


def test_a_mean_is_taken_away_on_both_sides(tokens):
    mean = tokens.mean(0)
    moved = tokens - mean
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    np.testing.assert_allclose(
        encode(tokens, LENGTHS, "query", mean=mean), encode(moved, LENGTHS, "query"), atol=1e-5
    )


def test_it_ranks_as_maxsim_does(rng):
    topics = rng.normal(size=(40, 32))
    x = topics[np.repeat(np.arange(40), 10)] + 0.7 * rng.normal(size=(400, 32))
    q = topics + 0.7 * rng.normal(size=(40, 32))
    x, q = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, q))
    f_q = encode(q, [1] * 40, "query", 4, 10, projection_dim=16)
    f_d = encode(x, [10] * 40, "document", 4, 10, projection_dim=16)
    best = cc.maxsim(q, [1] * 40, x, [10] * 40).argmax(1)
    assert ((f_q @ f_d.T).argmax(1) == best).mean() > 0.9


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"side": "both"}, UnknownKeyError, "'both' is unknown; known are: document, query"),
        ({"k_sim": -1}, UsageError, "k_sim must be an integer from 0 to 16, but is -1"),
        ({"k_sim": 17}, UsageError, "k_sim must be .* but is 17"),
        ({"repetitions": 0}, UsageError, "repetitions must be an integer of at least 1, but is 0"),
        ({"projection_dim": 0}, UsageError, "projection_dim must be .* but is 0"),
        ({"projection": "hash"}, UnknownKeyError, "count_sketch"),
        ({"mean": np.zeros(5)}, DimensionError, "mean has dim 5"),
    ],
)
def test_wrong_calls(tokens, options, error, text):
    with pytest.raises(error, match=text):
        cc.fde_encode(tokens, LENGTHS, **{"side": "query", "k_sim": 2, "repetitions": 2, **options})
