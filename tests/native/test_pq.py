"""Product quantizer kernels: codes, packing and tables against NumPy and faiss."""

from __future__ import annotations

import native_reference as reference
import numpy as np
import pytest

from cluscomp import native


@pytest.mark.parametrize(
    ("m", "dsub", "nbits"), [(4, 3, 8), (5, 2, 6), (3, 8, 4), (6, 1, 4), (2, 40, 8), (3, 5, 5)]
)
def test_codes_are_the_nearest_codewords(level, rng, m, dsub, nbits):
    x = rng.normal(size=(200, m * dsub)).astype("f4")
    books = rng.normal(size=(m, 2**nbits, dsub)).astype("f4")
    codes = native.pq_encode(x, books, nbits)
    assert codes.shape == (200, (m * nbits + 7) // 8)
    plain = reference.unpack_codes(codes, m, nbits)
    for s in range(m):
        reference.check_labels(x[:, s * dsub : (s + 1) * dsub], books[s], "l2", plain[:, s])
    want = np.concatenate([books[s][plain[:, s]] for s in range(m)], axis=1)
    np.testing.assert_array_equal(native.pq_decode(codes, books, nbits), want)


@pytest.mark.parametrize("nbits", [4, 5, 6, 8])
def test_packing_is_that_of_faiss(rng, nbits):
    faiss = pytest.importorskip("faiss")
    m, dsub = 5, 4
    x = rng.normal(size=(300, m * dsub)).astype("f4")
    theirs = faiss.ProductQuantizer(m * dsub, m, nbits)
    books = rng.normal(size=(m, 2**nbits, dsub)).astype("f4")
    faiss.copy_array_to_vector(books.ravel(), theirs.centroids)
    np.testing.assert_array_equal(native.pq_encode(x, books, nbits), theirs.compute_codes(x))


def test_tables_worked_by_hand(level):
    """algorithms: c1 = {(1,0),(0,1)}, c2 = {(2,0),(0,-1)}, q = (1,2,3,4) gives [1,2] and [6,-4]; nbits 1 is allowed here."""
    books = np.array([[[1, 0], [0, 1]], [[2, 0], [0, -1]]], "f4")
    padded = np.zeros((2, 16, 2), "f4")
    padded[:, :2] = books
    tables = native.PqCodebook(padded, 4).tables(np.array([[1, 2, 3, 4]], "f4"), "ip")
    np.testing.assert_array_equal(tables[0, :, :2], [[1, 2], [6, -4]])
    distances = native.PqCodebook(padded, 4).tables(np.array([[1, 2, 3, 4]], "f4"), "l2")
    np.testing.assert_array_equal(distances[0, :, :2], [[4, 2], [17, 34]])
