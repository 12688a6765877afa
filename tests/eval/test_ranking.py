import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluscomp import errors
from cluscomp.eval.ranking import rank_documents


def test_score_first_then_id_both_descending():
    assert rank_documents({"a": 1.0, "c": 0.5, "b": 0.5, "d": 2.0}) == ["d", "a", "c", "b"]


def test_ids_compare_as_strings():
    assert rank_documents({"10": 1.0, "9": 1.0, "2": 1.0}) == ["9", "2", "10"]


def test_scores_compare_in_single_precision_as_trec_eval_does():
    assert rank_documents({"a": 1.0 + 1e-12, "b": 1.0}) == ["b", "a"]
    assert rank_documents({"a": 1.0 + 1e-6, "b": 1.0}) == ["a", "b"]


def test_infinite_and_integer_scores():
    assert rank_documents({"a": -np.inf, "b": 3, "c": np.inf, "d": 1e300}) == ["d", "c", "b", "a"]


def test_negative_and_positive_zero_tie():
    assert rank_documents({"a": 0.0, "b": -0.0}) == ["b", "a"]


@given(st.dictionaries(st.text(max_size=3), st.sampled_from([0.0, 1.0, 1.5, -2.0])))
def test_equals_a_plain_sort_and_leaves_the_input_alone(scores):
    before = list(scores.items())
    assert rank_documents(scores) == sorted(scores, key=lambda doc: (scores[doc], doc), reverse=True)
    assert list(scores.items()) == before


def test_nan_is_refused_with_query_and_document():
    with pytest.raises(errors.NonFiniteError, match=r"'q7'.*'b'"):
        rank_documents({"a": 1.0, "b": float("nan")}, query_id="q7")


def test_ids_that_are_no_strings_are_refused():
    with pytest.raises(errors.DTypeError, match=r"'q7'.*int.*str\(id\)"):
        rank_documents({"a": 1.0, 3: 2.0}, query_id="q7")


@pytest.mark.parametrize("score", [None, "high", [1.0]])
def test_scores_that_are_no_numbers_are_refused(score):
    with pytest.raises(errors.InputError, match="'q7'"):
        rank_documents({"a": score}, query_id="q7")
