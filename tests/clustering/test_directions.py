"""Directions by which k-means bounds pairs first: the same bits, and bases that are what they should be."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import native
from cluscomp.clustering import directions, lloyd, train_kmeans


@pytest.fixture
def rows() -> np.ndarray:
    """A mixture in which 24 of 144 dimensions hold most of what varies."""
    rng = np.random.default_rng(3)
    turned = np.linalg.qr(rng.normal(size=(144, 144)))[0] * np.repeat([2.0, 0.2], [24, 120])[:, None]
    centres = rng.normal(size=(90, 144)) @ turned
    return (centres[rng.integers(90, size=2500)] + 0.4 * rng.normal(size=(2500, 144)) @ turned + 1).astype(
        "f4"
    )


def test_main_directions_are_those_of_the_covariance(rows):
    found = directions.main_directions(rows)
    assert found.shape == (144, 48) and found.dtype == np.float32 and found.flags.c_contiguous
    np.testing.assert_allclose(found.T @ found, np.eye(48), atol=1e-5)
    centred = rows.astype("f8") - rows.mean(axis=0, dtype="f8")
    held = ((centred @ found) ** 2).sum() / (centred**2).sum()
    best = np.sort(np.linalg.eigvalsh(centred.T @ centred))[::-1]
    np.testing.assert_allclose(held, best[:48].sum() / best.sum(), rtol=1e-4)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e15])
def test_points_of_any_size_have_directions(rows, scale):
    found = directions.main_directions(rows[:100] * np.float32(scale))
    np.testing.assert_allclose(found.T @ found, np.eye(48), atol=1e-5)


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_directions_change_no_bit(level, rows, metric, monkeypatch):
    def run(known: bool):
        monkeypatch.setattr(lloyd, "pays_to_bound_by_directions", lambda *_: known)
        return train_kmeans(rows, 150, metric=metric, n_iter=5, tol=0.0)

    used = []
    made = native.Assigner
    monkeypatch.setattr(
        native, "Assigner", lambda *a, basis=None: used.append(basis) or made(*a, basis=basis)
    )
    plain = run(False)
    assert used and all(basis is None for basis in used)
    used.clear()
    bounded = run(True)
    assert used[0] is None and used[1] is not None and all(basis is used[1] for basis in used[1:])
    np.testing.assert_array_equal(bounded.centroids, plain.centroids)
    assert bounded.history == plain.history and bounded.inertia == plain.inertia


@pytest.mark.parametrize(("level_name", "least"), [("avx2", 2048), ("avx512", 4096), ("scalar", None)])
def test_directions_pay_where_rows_and_clusters_are_many(monkeypatch, level_name, least):
    monkeypatch.setattr(native, "simd_level", lambda: level_name)
    pays = directions.pays_to_bound_by_directions
    assert pays(100_000, 4096, 384) == (least is not None)
    assert pays(100_000, 2048, 384) == (least == 2048)
    assert not pays(100_000, 4096, 64) and not pays(10_000, 4096, 384) and not pays(1_000_000, 256, 384)
