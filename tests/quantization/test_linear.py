"""Linear transforms, random rotations and PCA."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import errors
from cluscomp.quantization import LinearTransform, random_rotation, train_pca


def test_apply_and_inverse_by_hand() -> None:
    turn = LinearTransform([[0.0, 1.0], [-1.0, 0.0]])
    assert turn.apply([[1.0, 2.0]]).tolist() == [[2.0, -1.0]]
    assert turn.inverse([[2.0, -1.0]]).tolist() == [[1.0, 2.0]]
    drop = LinearTransform([[0.0, 1.0, 0.0]])
    assert drop.apply([[1.0, 2.0, 3.0]]).tolist() == [[2.0]]
    assert drop.inverse([[2.0]]).tolist() == [[0.0, 2.0, 0.0]]


def test_rotation_keeps_inner_products(rng: np.random.Generator) -> None:
    rotation = random_rotation(20, 20, seed=3)
    np.testing.assert_allclose(rotation.matrix @ rotation.matrix.T, np.eye(20), atol=1e-6)
    x = rng.normal(size=(30, 20)).astype("f")
    y = rotation.apply(x)
    np.testing.assert_allclose(y @ y.T, x @ x.T, atol=1e-4)
    np.testing.assert_allclose(rotation.inverse(y), x, atol=1e-5)


def test_random_rotation_depends_on_the_seed_alone() -> None:
    same = random_rotation(8, 5, seed=1).matrix
    np.testing.assert_array_equal(same, random_rotation(8, 5, seed=1).matrix)
    assert same.shape == (5, 8) and not np.allclose(same, random_rotation(8, 5, seed=2).matrix)


def test_a_row_alone_equals_the_row_in_a_block(rng: np.random.Generator) -> None:
    rotation, x = random_rotation(64, 48, seed=0), rng.normal(size=(100, 64)).astype("f")
    alone = np.concatenate([rotation.apply(x[i : i + 1]) for i in range(100)])
    np.testing.assert_array_equal(alone, rotation.apply(x))


def test_half_precision_rows_are_read(rng: np.random.Generator) -> None:
    rotation, x = random_rotation(6, 6, seed=0), rng.normal(size=(9, 6)).astype(np.float16)
    np.testing.assert_array_equal(rotation.apply(x), rotation.apply(x.astype("f")))


def test_pca_equals_sklearn(rng: np.random.Generator) -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    x = (rng.normal(size=(500, 12)) @ rng.normal(size=(12, 12)) + 100).astype("f")
    wanted = decomposition.PCA(5).fit(x.astype(float)).components_
    got = train_pca(x, 5).matrix
    np.testing.assert_allclose(np.abs((got * wanted).sum(axis=1)), 1, atol=1e-5)


def test_pca_direction_by_hand() -> None:
    # Variance 4 along (3, 4)/5, variance 1 along (4, -3)/5, far from the origin.
    x = np.array([[1.2, 1.6], [-1.2, -1.6], [0.8, -0.6], [-0.8, 0.6]]) + 10
    np.testing.assert_allclose(train_pca(x, 2).matrix, [[0.6, 0.8], [0.8, -0.6]], atol=1e-6)


def test_pca_does_not_shift_rows(rng: np.random.Generator) -> None:
    x = rng.normal(size=(50, 4)).astype("f") + 7
    pca = train_pca(x, 4)
    assert pca.apply(np.zeros((1, 4))).tolist() == [[0.0] * 4]
    np.testing.assert_allclose(pca.apply(x) @ pca.apply(x).T, x @ x.T, rtol=1e-5)


def test_errors_name_both_numbers(rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 8)).astype("f")
    with pytest.raises(errors.UsageError, match="d_out=9.*dim 8"):
        train_pca(x, 9)
    with pytest.raises(errors.TooFewRowsError, match="at least 6 rows.*there are 5"):
        train_pca(x, 6)
    with pytest.raises(errors.UsageError, match="8 to 9"):
        random_rotation(8, 9, seed=0)
    with pytest.raises(errors.DimensionError, match="2 to 3"):
        LinearTransform(np.ones((3, 2)))
    with pytest.raises(errors.UsageError, match="not orthonormal"):
        LinearTransform([[1.0, 1.0]])
    with pytest.raises(errors.DimensionError, match="dim 7.*8"):
        random_rotation(8, 8, seed=0).apply(x[:, :7])
