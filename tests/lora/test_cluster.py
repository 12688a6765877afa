"""Clusters of rank units from their Gram matrix alone, against the units themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluscomp.clustering import KMeans
from cluscomp.clustering.labels import by_first_appearance
from cluscomp.lora.cluster import _coordinates, cluster_units


def in_order(units):
    return units[sorted(range(len(units)), key=lambda i: units[i].tobytes())]


def gram(units):
    wide = units.astype(np.float64)
    return wide @ wide.T


def inertia(units, labels):
    clusters = [units[labels == c].astype(np.float64) for c in set(labels)]
    return sum(((members - members.mean(axis=0)) ** 2).sum() for members in clusters)


@given(n=st.integers(3, 20), d=st.integers(1, 60), seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_k_means_in_coordinates_is_k_means_of_the_units(n, d, seed):
    rng = np.random.default_rng(seed)
    units = rng.standard_normal((n, d)).astype(np.float32)
    points = _coordinates(units, gram(units))
    wanted = ((units[:, None] - units[None]).astype(np.float64) ** 2).sum(axis=2)
    have = ((points[:, None] - points[None]).astype(np.float64) ** 2).sum(axis=2)
    scale = (have * wanted).sum() / (have * have).sum()  # points are in units of their largest coordinate
    np.testing.assert_allclose(have * scale, wanted, atol=1e-5 * wanted.max())
    start = rng.permutation(n)[: rng.integers(1, n)]
    one, two = (KMeans(start.size, init=rows[start], n_iter=50).fit_predict(rows) for rows in (units, points))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("clustering", ["kmeans", "balanced"])
@pytest.mark.parametrize("k", [1, 3, 8, 15])
def test_sizes_numbering_and_quality(rng, clustering, k):
    units = in_order(rng.standard_normal((16, 50)).astype(np.float32))
    labels = cluster_units(units, gram(units), k, clustering, 0)
    np.testing.assert_array_equal(labels, by_first_appearance(labels))
    sizes = np.bincount(labels)
    assert sizes.size == k
    if clustering == "balanced":
        assert sizes.min() >= 16 // k and sizes.max() <= -(-16 // k)
    else:
        plain = min(KMeans(k, init="k-means++", seed=s).fit(units).inertia_ for s in range(3))
        assert inertia(units, labels) <= plain * 1.0001


@pytest.mark.parametrize("clustering", ["kmeans", "balanced"])
def test_planted_pairs_are_found(rng, clustering):
    centres = rng.standard_normal((20, 300)).astype(np.float32)
    noise = 0.2 * rng.standard_normal((40, 300)).astype(np.float32)
    units = np.concatenate([centres, centres[rng.permutation(20)]]) + noise
    pair = np.argsort(((units[:, None] - units[None]) ** 2).sum(axis=2), axis=1)[:, 1]
    labels = cluster_units(units, gram(units), 20, clustering, 0)
    np.testing.assert_array_equal(labels, labels[pair])


@pytest.mark.parametrize("clustering", ["kmeans", "balanced"])
def test_equal_units_are_one_point(rng, clustering):
    different = in_order(rng.standard_normal((4, 30)).astype(np.float32))
    units = np.repeat(different, 3, axis=0)
    points = _coordinates(units, gram(units) * (1 + 1e-15 * rng.standard_normal((12, 12))))
    assert np.unique(points, axis=0).shape[0] == 4
    labels = cluster_units(units, gram(units), 4, clustering, 0)
    np.testing.assert_array_equal(labels, np.repeat(np.arange(4), 3))


@pytest.mark.parametrize("clustering", ["kmeans", "balanced"])
def test_labels_do_not_depend_on_the_rounding_of_the_gram_matrix(rng, clustering):
    units = in_order(rng.standard_normal((24, 700)).astype(np.float32))
    exact = gram(units)
    noise = 1e-15 * exact.max() * rng.standard_normal(exact.shape)
    one, two = (cluster_units(units, g, 8, clustering, 3) for g in (exact, exact + noise + noise.T))
    np.testing.assert_array_equal(one, two)
