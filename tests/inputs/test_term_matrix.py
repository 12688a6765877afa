"""Sparse matrices from files: those of SciPy, read without it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluscomp.errors import DTypeError, InputError, MalformedFileError, MissingInputError, NonFiniteError
from cluscomp.inputs.term_matrix import read_term_matrix
from cluscomp.terms import as_term_rows

sparse = pytest.importorskip("scipy.sparse")


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 100), st.booleans())
def test_equals_the_matrix_in_memory(tmp_path_factory, rows, columns, seed, compressed):
    rng = np.random.default_rng(seed)
    matrix = sparse.csr_array(rng.random((rows, columns)) * (rng.random((rows, columns)) < 0.5))
    path = tmp_path_factory.mktemp("m") / "m.npz"
    sparse.save_npz(path, matrix, compressed=compressed)
    mine, theirs = read_term_matrix(path), as_term_rows(matrix)
    assert [mine.mapping(i) for i in range(rows)] == [theirs.mapping(i) for i in range(rows)]


def parts(**changed):
    found = {
        "format": np.array(b"csr"), "shape": np.array([2, 3]), "data": np.array([1.0, 2.0]),
        "indices": np.array([0, 2]), "indptr": np.array([0, 1, 2]),
    }  # fmt: skip
    return {name: value for name, value in {**found, **changed}.items() if value is not None}


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"format": np.array(b"csc")}, MalformedFileError, "'csc', not csr"),
        ({"indptr": None}, MalformedFileError, "no array 'indptr'"),
        ({"indptr": np.array([0, 2])}, MalformedFileError, "do not fit"),
        ({"indptr": np.array([0, 2, 1])}, MalformedFileError, "do not fit"),
        ({"indptr": np.array([0, 3, 2])}, MalformedFileError, "do not fit"),
        ({"indices": np.array([0, 3])}, MalformedFileError, "do not fit"),
        ({"indices": np.array([-1, 2])}, MalformedFileError, "do not fit"),
        ({"indices": np.array([0.0, 2.0])}, MalformedFileError, "no integers"),
        ({"shape": np.array([2, 3, 1])}, MalformedFileError, "rows and columns"),
        ({"data": np.array([[1.0, 2.0]])}, MalformedFileError, "rows and columns"),
        ({"data": np.array(["a", "b"])}, DTypeError, "numbers are needed"),
        ({"data": np.array([1.0, -2.0])}, InputError, "at least 0"),
        ({"data": np.array([1.0, np.nan])}, NonFiniteError, "float32"),
    ],
)
def test_wrong_files(tmp_path, changed, kind, message):
    path = tmp_path / "m.npz"
    np.savez(path, **parts(**changed))
    with pytest.raises(kind, match=message) as caught:
        read_term_matrix(path)
    assert "m.npz" in str(caught.value)


def test_no_such_file_and_another_format(tmp_path):
    with pytest.raises(MissingInputError):
        read_term_matrix(tmp_path / "none.npz")
    (tmp_path / "m.npz").write_bytes(b"no zip")
    with pytest.raises(MalformedFileError, match="save_npz"):
        read_term_matrix(tmp_path / "m.npz")
