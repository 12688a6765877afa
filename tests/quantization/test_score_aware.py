"""Score-aware codes and codebooks: against plain NumPy, by hand, and that they lower what they claim to lower."""

from __future__ import annotations

from itertools import pairwise

import native_reference as reference
import numpy as np
import pytest

from cluscomp import errors, native
from cluscomp.quantization import ProductQuantizer
from cluscomp.quantization.score_aware import (
    ETA,
    WIDEST_GROUP,
    encode_score_aware,
    eta_for,
    move_centroids,
    refine_score_aware,
)


def decode(books: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return np.concatenate([books[j][codes[:, j]] for j in range(len(books))], axis=1)


def losses(x: np.ndarray, whole: np.ndarray, decoded: np.ndarray, eta: float = ETA) -> np.ndarray:
    """|e|^2 + (eta - 1) <e, u>^2 of each row, in float64."""
    e = x.astype(np.float64) - decoded
    u = whole / np.maximum(np.linalg.norm(whole, axis=1, keepdims=True), 1e-300)
    return (e**2).sum(1) + (eta - 1) * (e * u).sum(1) ** 2


def by_descent(x: np.ndarray, whole: np.ndarray, books: np.ndarray, passes: int) -> np.ndarray:
    """Plain coordinate descent: every value of every code tried, all else kept."""
    m = len(books)
    parts = np.split(x, m, axis=1)
    codes = np.stack([((parts[j][:, None] - books[j]) ** 2).sum(2).argmin(1) for j in range(m)], axis=1)
    for _ in range(passes):
        for j in range(m):
            tries = np.repeat(codes[None], books.shape[1], axis=0)
            tries[:, :, j] = np.arange(books.shape[1])[:, None]
            codes[:, j] = np.stack([losses(x, whole, decode(books, t)) for t in tries]).argmin(0)
    return codes


@pytest.fixture
def case(rng):
    """Rows that are residuals of others, as behind lists."""
    whole = rng.standard_normal((300, 24), dtype=np.float32) + np.float32(0.5)
    x = (whole - whole.mean(0)).astype(np.float32)
    return x, whole, rng.standard_normal((4, 16, 6), dtype=np.float32)


def test_codes_are_those_of_plain_descent(level, case) -> None:
    x, whole, books = case
    got = reference.unpack_codes(encode_score_aware(x, whole, native.PqCodebook(books, 4)), 4, 4)
    np.testing.assert_array_equal(got, by_descent(x, whole, books, 3))
    assert (got != by_descent(x, whole, books, 0)).any()


@pytest.mark.parametrize(("nbits", "m", "width"), [(8, 3, 5), (6, 5, 1), (4, 7, 2)])
def test_no_row_is_worse_than_with_nearest_codes(level, rng, nbits, m, width) -> None:
    x = rng.standard_normal((500, m * width), dtype=np.float32)
    books = rng.standard_normal((m, 1 << nbits, width), dtype=np.float32)
    codebook = native.PqCodebook(books, nbits)
    aware = losses(x, x, codebook.decode(encode_score_aware(x, x, codebook)))
    nearest = losses(x, x, codebook.decode(codebook.encode(x)))
    assert (aware <= nearest * (1 + 1e-5)).all()
    assert aware.mean() < nearest.mean()


def test_by_hand() -> None:
    """x = (1, 0), one group: codeword (.9, .5) has |e|^2 = .26 and <e, u>^2 = .01; (.6, .1) .17 and .16."""
    books = np.full((1, 16, 2), 9.0, np.float32)
    books[0, 3], books[0, 5] = (0.6, 0.1), (0.9, 0.5)
    x = np.array([[1.0, 0.0]], np.float32)
    codebook = native.PqCodebook(books, 4)
    assert codebook.encode(x)[0, 0] == 3  # .17 < .26
    assert encode_score_aware(x, x, codebook)[0, 0] == 5  # .26 + 2 * .01 < .17 + 2 * .16


def test_rows_without_direction_or_beyond_float32_keep_the_nearest_codes(level, case) -> None:
    x, whole, books = case
    x, whole = x[:3].copy(), whole[:3].copy()
    whole[0] = 0
    x[1] = whole[1] = 1e30
    x[2] = whole[2] = 1e-30
    codebook = native.PqCodebook(books, 4)
    np.testing.assert_array_equal(encode_score_aware(x, whole, codebook)[:2], codebook.encode(x)[:2])


def test_equal_costs_take_the_lowest_codeword(level) -> None:
    x = np.ones((1, 2), np.float32)
    codes = encode_score_aware(x, x, native.PqCodebook(np.zeros((2, 256, 1), np.float32), 8))
    np.testing.assert_array_equal(codes, [[0, 0]])


def test_threads_and_blocks_change_nothing(threads, rng) -> None:
    x = rng.standard_normal((400, 32), dtype=np.float32)
    codebook = native.PqCodebook(rng.standard_normal((8, 16, 4), dtype=np.float32), 4)
    whole = encode_score_aware(x, x, codebook)
    native.set_num_threads(1)
    parts = [encode_score_aware(x[i : i + 7], x[i : i + 7], codebook) for i in range(0, 400, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_refining_lowers_the_loss(case) -> None:
    x, whole, books = case
    before = encode_score_aware(x, whole, native.PqCodebook(books, 4))
    refined = refine_score_aware(x, whole, books)
    after = encode_score_aware(x, whole, native.PqCodebook(refined, 4))
    first = losses(x, whole, decode(books, reference.unpack_codes(before, 4, 4))).mean()
    last = losses(x, whole, decode(refined, reference.unpack_codes(after, 4, 4))).mean()
    assert last < 0.75 * first


def test_one_group_with_all_rows_on_one_centroid_is_solved_exactly(rng) -> None:
    """One group, one used centroid: it must be the minimum of the loss, where the gradient vanishes."""
    x = rng.standard_normal((200, 5), dtype=np.float32)
    books = np.full((1, 16, 5), 50.0, np.float32)
    books[0, 2] = 0
    c = refine_score_aware(x, x, books)[0, 2].astype(np.float64)
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    gradient = (c - x).sum(0) + (ETA - 1) * (u * ((c - x) * u).sum(1, keepdims=True)).sum(0)
    np.testing.assert_allclose(gradient, 0, atol=1e-3)


def test_centroids_without_rows_and_wide_groups_stay(rng) -> None:
    x = rng.standard_normal((50, 4), dtype=np.float32)
    books = np.full((1, 16, 4), 90.0, np.float32)
    books[0, 0] = 0
    np.testing.assert_array_equal(refine_score_aware(x, x, books)[0, 1:], books[0, 1:])
    wide = rng.standard_normal((1, 16, WIDEST_GROUP + 1), dtype=np.float32)
    rows = rng.standard_normal((20, WIDEST_GROUP + 1), dtype=np.float32)
    assert refine_score_aware(rows, rows, wide) is wide


@pytest.fixture
def coded(rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, the numbers of their nearest centroids, and the centroids."""
    x = (rng.standard_normal((500, 12)) + 0.5).astype(np.float32)
    quantizer = ProductQuantizer(12, 3, 6, n_iter=5).train(x)
    numbers = reference.unpack_codes(quantizer.encode(x), 3, 6)
    return x, numbers, quantizer.centroids


def test_eta_of_scann() -> None:
    assert eta_for(100) == pytest.approx(4.125)
    assert eta_for(2) == 1
    for threshold in (0, 1, -0.2):
        with pytest.raises(errors.UsageError, match="between 0 and 1"):
            eta_for(100, threshold)


def test_eta_one_gives_the_means_of_the_cells(coded) -> None:
    x, numbers, books = coded
    moved = move_centroids(x, numbers, books, eta=1.0, sweeps=1)
    for j in range(3):
        for number in np.unique(numbers[:, j]):
            mean = x[numbers[:, j] == number, 4 * j : 4 * j + 4].mean(axis=0)
            np.testing.assert_allclose(moved[j, number], mean, atol=1e-5)


def test_moving_ends_where_no_centroid_can_be_moved_better(coded, rng) -> None:
    x, numbers, books = coded
    found = [losses(x, x, decode(books, numbers), 6.0).sum()]
    for _ in range(40):
        books = move_centroids(x, numbers, books, eta=6.0, sweeps=1)
        found.append(losses(x, x, decode(books, numbers), 6.0).sum())
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(found))
    assert found[-1] < 0.9 * found[0]
    for _ in range(10):
        tried = books + 0.02 * rng.standard_normal(books.shape)
        assert losses(x, x, decode(tried, numbers), 6.0).sum() > found[-1]


def test_unused_centroids_stay_and_zero_rows_are_allowed(coded) -> None:
    x, numbers, books = coded
    x[:3] = 0
    numbers[numbers == 5] = 4
    moved = move_centroids(x, numbers, books, eta=3.0)
    np.testing.assert_array_equal(moved[:, 5], books[:, 5])
    assert np.isfinite(moved).all()


def test_eta_below_one(coded) -> None:
    with pytest.raises(errors.UsageError, match="at least 1"):
        move_centroids(*coded, eta=0.5)
