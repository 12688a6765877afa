"""Rows of weighted terms: every form, what is refused, and parts of them."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.errors import DimensionError, DTypeError, InputError, NonFiniteError, UsageError
from cluscomp.terms import TermRows, as_term_rows

ROWS = [{"cat": 1.5, "ant": 0.5}, {}, {"bee": 2.0, "cat": 0.25}]


def mappings(rows):
    return [rows.mapping(row) for row in range(len(rows))]


def test_mappings():
    rows = TermRows.from_mappings(ROWS)
    assert rows.names == ["ant", "bee", "cat"]
    assert rows.offsets.tolist() == [0, 2, 2, 4]
    assert rows.numbers.tolist() == [0, 2, 1, 2] and rows.weights.tolist() == [0.5, 1.5, 2.0, 0.25]
    assert rows.totals.tolist() == [2.0, 0.0, 2.25]
    assert mappings(as_term_rows(rows)) == mappings(as_term_rows(tuple(ROWS))) == ROWS


def test_words_are_counted():
    rows = TermRows.from_words([["b", "a", "b"], []])
    assert mappings(rows) == [{"a": 1.0, "b": 2.0}, {}]


@pytest.mark.parametrize("form", ["csr_array", "coo_matrix"])
def test_scipy(form):
    sparse = pytest.importorskip("scipy.sparse")
    matrix = getattr(sparse, form)(np.array([[0, 2.5, 0], [1, 0, 3]]))
    assert mappings(as_term_rows(matrix)) == [{"1": 2.5}, {"0": 1.0, "2": 3.0}]
    assert mappings(as_term_rows(matrix, vocabulary=["z", "y", "x"])) == [{"y": 2.5}, {"z": 1.0, "x": 3.0}]
    with pytest.raises(DimensionError, match="3 columns, but the vocabulary 2 terms"):
        as_term_rows(matrix, vocabulary=["a", "b"])
    with pytest.raises(DimensionError, match="2 of them different"):
        as_term_rows(matrix, vocabulary=["a", "b", "a"])


def test_entries_that_stand_twice_are_added():
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csr_array(
        (np.array([1.0, 2.0, 4.0]), np.array([1, 0, 1]), np.array([0, 3])), shape=(1, 2)
    )
    assert mappings(as_term_rows(matrix)) == [{"0": 2.0, "1": 5.0}]


@pytest.mark.parametrize("layout", ["to_sparse_coo", "to_sparse_csr"])
def test_torch(layout):
    torch = pytest.importorskip("torch")
    tensor = getattr(torch.tensor([[0, 2.5], [0, 0], [1, 0]]), layout)()
    assert mappings(as_term_rows(tensor)) == [{"1": 2.5}, {}, {"0": 1.0}]


def test_parts():
    rows = TermRows.from_mappings(ROWS)
    assert mappings(rows[1:]) == ROWS[1:]
    assert mappings(rows[[2, 0]]) == [ROWS[2], ROWS[0]]
    assert len(rows[0:0]) == 0


def test_weights_of_0_go():
    assert mappings(TermRows.from_mappings([{"a": 0.0, "b": 1e-60, "c": 1}])) == [{"c": 1.0}]


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([{"a": 1}, {"b": -0.5}], InputError, "'b' of row 1 has weight -0.5"),
        ([{"a": float("nan")}], NonFiniteError, "'a' of row 0 has weight nan"),
        ([{"a": 1e39}], NonFiniteError, "float32 does not hold"),
        ([{1: 1.0}], DTypeError, "a term is 1, a int"),
        ([{"\ud800": 1.0}], InputError, "no valid text"),
        ([{"a": "x"}], DTypeError, "no number"),
        ([{"a": 1}, ["a"]], DTypeError, "row 1 is of type list"),
        ({"a": 1}, UsageError, "rows are one dict"),
        ("cat", UsageError, "rows are one str"),
        (["cat"], UsageError, "does not know how to split them"),
        (np.eye(2), DTypeError, "dense array of shape (2, 2)"),
        (5, DTypeError, "of type int"),
    ],
)
def test_wrong_rows(rows, error, message):
    with pytest.raises(error) as caught:
        as_term_rows(rows)
    assert message in str(caught.value)


def test_a_vocabulary_needs_a_matrix():
    with pytest.raises(UsageError, match="names the columns of a sparse matrix"):
        as_term_rows(ROWS, vocabulary=["a"])
