"""Anisotropic centroids: the oracle eta = 1, a loss that never rises, scores of the rows' own direction."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from cluscomp import errors
from cluscomp.quantization import ProductQuantizer
from cluscomp.quantization.anisotropic import anisotropic_centroids, anisotropic_loss, eta_for


@pytest.fixture()
def problem(rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = (rng.standard_normal((500, 12)) + 0.5).astype(np.float32)
    quantizer = ProductQuantizer(12, 3, 6, n_iter=5).train(x)
    numbers = np.stack(
        [
            np.argmin(((x[:, None, 4 * j : 4 * j + 4] - quantizer.centroids[j]) ** 2).sum(2), axis=1)
            for j in range(3)
        ],
        axis=1,
    )
    return x, numbers, quantizer.centroids


def decode(books: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.concatenate([books[j][numbers[:, j]] for j in range(len(books))], axis=1)


def test_eta_of_scann() -> None:
    assert eta_for(100) == pytest.approx(4.125)
    for threshold in (0, 1, -0.2):
        with pytest.raises(errors.UsageError, match="between 0 and 1"):
            eta_for(100, threshold)


def test_eta_one_gives_the_means_of_the_cells(problem) -> None:
    x, numbers, books = problem
    moved = anisotropic_centroids(x, numbers, books, eta=1.0, sweeps=1)
    for j in range(3):
        for number in np.unique(numbers[:, j]):
            mean = x[numbers[:, j] == number, 4 * j : 4 * j + 4].mean(axis=0)
            np.testing.assert_allclose(moved[j, number], mean, atol=1e-5)


def test_loss_falls_to_a_point_where_no_centroid_can_be_moved_better(problem, rng) -> None:
    x, numbers, books = problem
    losses = [anisotropic_loss(x, decode(books, numbers), 6.0)]
    for _ in range(40):
        books = anisotropic_centroids(x, numbers, books, eta=6.0, sweeps=1)
        losses.append(anisotropic_loss(x, decode(books, numbers), 6.0))
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(losses))
    assert losses[-1] < 0.9 * losses[0]
    for _ in range(10):
        tried = books + 0.02 * rng.standard_normal(books.shape)
        assert anisotropic_loss(x, decode(tried, numbers), 6.0) > losses[-1]


def test_unused_centroids_stay_and_zero_rows_are_allowed(problem) -> None:
    x, numbers, books = problem
    x[:3] = 0
    numbers[numbers == 5] = 4
    moved = anisotropic_centroids(x, numbers, books, eta=3.0)
    np.testing.assert_array_equal(moved[:, 5], books[:, 5])
    assert np.isfinite(moved).all()


def test_eta_below_one(problem) -> None:
    with pytest.raises(errors.UsageError, match="at least 1"):
        anisotropic_centroids(*problem, eta=0.5)
