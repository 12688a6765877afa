"""Rows times a packed matrix, and rows of length one: the stated order of sums, bit for bit, at every level."""

from __future__ import annotations

import numpy as np
import product_reference as truth
import pytest

from cluscomp import native
from cluscomp.arrays import normalize_rows, row_norms, to_float32

KINDS = ("f4", "f2", "bf16")


def rows_of(rng: np.random.Generator, n: int, d: int, kind: str) -> np.ndarray:
    """Rows of kernel dtype whose values span some powers of two, so that orders of sums differ."""
    rows = (rng.standard_normal((n, d)) * np.exp2(rng.integers(-6, 6, size=(n, d)))).astype("f4")
    return (rows.view("u4") >> 16).astype("u2") if kind == "bf16" else rows.astype(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("d", "columns"), [(1, 1), (7, 8), (15, 9), (33, 21)])
def test_products_are_chains_in_the_order_of_the_columns(level, rng, kind, d, columns):
    x, matrix = rows_of(rng, 14, d, kind), rng.standard_normal((d, columns))
    want = truth.product(to_float32(x), matrix)
    packed = native.packed_matrix(matrix)
    np.testing.assert_array_equal(packed.multiply(x), want.astype("f4"))
    np.testing.assert_array_equal(packed.multiply_f64(to_float32(x).astype("f8")), want)


def test_the_order_of_a_chain_by_hand(level):
    """1 is lost beside 2**60 unless that is gone before: from the left, and with no sums in lanes."""
    row = np.array([[2.0**60, 1, -(2.0**60), 1]], dtype="f4")
    assert native.packed_matrix(np.ones((4, 1))).multiply(row).tolist() == [[1.0]]
    a = 1 + 2.0**-30  # a * a is 1 + 2**-29 + 2**-60, of which float64 loses the last
    fused = native.packed_matrix([[-(1 + 2.0**-29)], [a]]).multiply_f64(np.array([[1, a]]))
    assert fused.tolist() == [[2.0**-60]]


def test_products_of_any_number_of_rows_and_columns(level, rng):
    """Whole groups and each rest of one; whole panels and each rest of several."""
    x = rows_of(rng, 62, 40, "f4")
    for columns in (1, 8, 24, 50, 130):
        matrix = rng.standard_normal((40, columns))
        packed = native.packed_matrix(matrix)
        alone = np.concatenate([packed.multiply(x[i : i + 1]) for i in range(len(x))])
        np.testing.assert_allclose(alone, x.astype("f8") @ matrix, rtol=1e-5, atol=1e-5)
        for n in range(len(x)):
            np.testing.assert_array_equal(packed.multiply(x[:n]), alone[:n])
            np.testing.assert_array_equal(packed.multiply_f64(x[:n].astype("f8")).astype("f4"), alone[:n])


def test_products_and_lengths_do_not_depend_on_threads(rng, threads):
    x, packed = rows_of(rng, 3000, 70, "f2"), native.packed_matrix(rng.standard_normal((70, 33)))
    native.set_num_threads(1)
    want = packed.multiply(x), normalize_rows(x), row_norms(x)
    native.set_num_threads(5)
    for got, one in zip((packed.multiply(x), normalize_rows(x), row_norms(x)), want, strict=True):
        np.testing.assert_array_equal(got, one)


def test_rows_may_lie_apart(level, rng):
    wide, packed = rows_of(rng, 30, 20, "f4"), native.packed_matrix(rng.standard_normal((7, 5)))
    part = np.ascontiguousarray(wide[:, :7])
    np.testing.assert_array_equal(packed.multiply(wide[:, :7]), packed.multiply(part))
    np.testing.assert_array_equal(packed.multiply(wide[::3, :7]), packed.multiply(part[::3].copy()))
    np.testing.assert_array_equal(normalize_rows(wide[:, :7]), normalize_rows(part))
    for turned in (wide[::-1], wide.T, wide[:, ::2]):  # copied before the kernel reads them
        np.testing.assert_array_equal(normalize_rows(turned), normalize_rows(turned.copy("C")))
        np.testing.assert_array_equal(row_norms(turned), row_norms(turned.copy("C")))


def test_wrong_shapes_are_refused(rng):
    packed = native.packed_matrix(np.ones((4, 2)))
    with pytest.raises(ValueError, match="got 5, expected 4"):
        packed.multiply(np.ones((3, 5), "f4"))
    with pytest.raises(ValueError, match="got 5, expected 4"):
        packed.multiply_f64(np.ones((3, 5)))
    with pytest.raises(ValueError, match="beside each other"):
        packed.multiply(np.ones((4, 3), "f4").T)
    with pytest.raises(ValueError, match="must not overlap"):
        packed.multiply(np.broadcast_to(np.ones(4, "f4"), (3, 4)))
    with pytest.raises(TypeError):
        packed.multiply(np.ones((3, 4), "i4"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, 8, 15, 17, 33, 70])
def test_lengths_sum_in_the_stated_order(level, rng, kind, d):
    x = rows_of(rng, 9, d, kind)
    x[3] = 0
    values = to_float32(x)
    np.testing.assert_array_equal(row_norms(x), truth.norms(values))
    want = truth.unit_rows(values)
    np.testing.assert_array_equal(normalize_rows(x), want)
    np.testing.assert_array_equal(normalize_rows(values.astype("f8")), want)
    assert not want[3].any()


def test_lengths_of_small_and_large_values(level):
    x = np.array([[3e38, 3e38, 0], [1e-45, 0, 0], [0, -0.0, 0], [3e-30, 4e-30, 0]], dtype="f4")
    half = np.float32(np.sqrt(0.5))
    assert normalize_rows(x).tolist() == [
        [half, half, 0],
        [1, 0, 0],
        [0, 0, 0],
        [np.float32(0.6), np.float32(0.8), 0],
    ]
    np.testing.assert_allclose(row_norms(x), np.linalg.norm(x.astype("f8"), axis=1), rtol=1e-15)


def test_no_rows():
    empty = np.empty((0, 6), "f4")
    assert native.packed_matrix(np.ones((6, 3))).multiply(empty).shape == (0, 3)
    assert normalize_rows(empty).shape == (0, 6) and row_norms(empty).shape == (0,)
