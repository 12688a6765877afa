"""Token vectors of documents in the forms that encoders return: each means what the plain one means."""

from __future__ import annotations

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import DimensionError, DTypeError, EmptyInputError, InputError

LENGTHS = [3, 1, 4, 2]
ROWS = np.random.default_rng(2).normal(size=(10, 6)).astype("f4")
PARTS = np.split(ROWS, np.cumsum(LENGTHS)[:-1])
EQUAL = np.random.default_rng(3).normal(size=(5, 4, 6)).astype("f4")


def padded(value):
    made = np.full((4, 5, 6), value, "f4")
    for place, part in zip(made, PARTS, strict=True):
        place[: len(part)] = part
    return made


# name -> arguments that mean the documents of PARTS
FORMS = {
    "list of arrays": (PARTS, None),
    "tuple of arrays": (tuple(PARTS), None),
    "nested lists": ([part.tolist() for part in PARTS], None),
    "lists of rows": ([list(part) for part in PARTS], None),
    "padded with zeros": (padded(0), LENGTHS),
    "padded with NaN": (padded(np.nan), LENGTHS),
    "float64": (ROWS.astype("f8"), LENGTHS),
    "lengths as an array": (ROWS, np.array(LENGTHS, "u2")),
}
CALLS = {
    "pool_tokens": lambda v, n: np.concatenate([part.ravel() for part in cc.pool_tokens(v, n, factor=2)]),
    "maxsim": lambda v, n: cc.maxsim(v, n, v, n),
    "fde_encode": lambda v, n: cc.fde_encode(v, n, side="document", k_sim=1, repetitions=2),
    "add": lambda v, n: (
        cc.index_factory("Pool(f=1),Flat", 6).add(v, lengths=n).search(ROWS[:2], 4, k_beyond="clip")[0]
    ),
    "search": lambda v, n: cc.index_factory("Pool(f=1),Flat", 6).add(PARTS).search(v, 4, lengths=n)[0],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("call", CALLS)
def test_forms_mean_the_same(call, form):
    np.testing.assert_array_equal(CALLS[call](*FORMS[form]), CALLS[call](ROWS, LENGTHS))


@pytest.mark.parametrize("call", CALLS)
def test_one_array_for_documents_of_equal_length(call):
    np.testing.assert_array_equal(CALLS[call](EQUAL, None), CALLS[call](EQUAL.reshape(-1, 6), [4] * 5))
    np.testing.assert_array_equal(CALLS[call](EQUAL, [4] * 5), CALLS[call](EQUAL, None))


@pytest.mark.parametrize("call", CALLS)
def test_one_matrix_without_lengths_is_one_document(call):
    np.testing.assert_array_equal(CALLS[call](ROWS, None), CALLS[call](ROWS, [10]))
    np.testing.assert_array_equal(CALLS[call](ROWS.tolist(), None), CALLS[call](ROWS, [10]))


@pytest.mark.parametrize("nothing", [np.zeros((0, 6)), np.zeros(0), np.zeros((0, 0)), []], ids=repr)
def test_documents_without_vectors_have_a_place(nothing):
    pooled, kept = cc.pool_tokens([PARTS[0], nothing, PARTS[2]], None, factor=2)
    want, lengths = cc.pool_tokens(np.concatenate([PARTS[0], PARTS[2]]), [3, 0, 4], factor=2)
    np.testing.assert_array_equal(pooled, want)
    assert kept.tolist() == lengths.tolist() == [1, 0, 2]
    assert cc.maxsim(PARTS[0], [3], [nothing, PARTS[1]], None)[0, 0] == -np.inf
    index = cc.index_factory("Pool(f=1),Flat", 6)
    with pytest.raises(InputError, match=r"document 1 \(id 'b'\) has 0 vectors"):
        index.add([PARTS[0], nothing], ids=["a", "b"])


@pytest.mark.parametrize(
    ("vectors", "lengths", "error", "message"),
    [(EQUAL, [4, 4, 4], DimensionError, "5 documents, but there are 3 lengths"),
     (EQUAL, [4, 4, 4, 4, 5], DimensionError, r"lengths\[4\] is 5, but vectors has 4 a document"),
     (EQUAL, [4, 4, 4, 4, -1], InputError, r"lengths\[4\] is -1"),
     (EQUAL[None], None, DimensionError, r"pass one matrix .* with lengths, an array .* or a list of matrices"),
     (ROWS[0], None, DimensionError, "or a list of matrices"),
     ([PARTS[0], PARTS[1][0]], None, DimensionError, r"vectors\[1\] has shape \(6,\), but a matrix"),
     ([PARTS[0], PARTS[1][:, :4]], None, DimensionError, "different kinds"),
     ([], None, EmptyInputError, "empty list"), ([[], []], None, EmptyInputError, "empty documents"),
     (ROWS, [5.5, 4.5], DTypeError, "integers"), (ROWS, 10, DimensionError, "one number a document"),
     (ROWS, "10", DTypeError, "text"), (ROWS, [5, 4], DimensionError, "add up to 9, but vectors has 10")],
)  # fmt: skip
def test_other_forms_are_refused(vectors, lengths, error, message):
    with pytest.raises(error, match=message):
        cc.pool_tokens(vectors, lengths, factor=2)
