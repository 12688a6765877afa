"""Values worked by hand from the definitions."""

import math

import pytest

from cluscomp.eval import formulas

# ranked levels of five results; one more document is relevant (level 1) but was not retrieved
RANKED = [0, 2, 0, 1, -1]
JUDGED = [0, 2, 1, 1, -1]


def test_dcg_discounts_start_at_rank_two():
    assert formulas.dcg([3, 2]) == pytest.approx(3 + 2 / math.log2(3))


def test_negative_levels_gain_nothing_but_hold_their_rank():
    assert formulas.dcg([-2, 1]) == pytest.approx(1 / math.log2(3))


def test_ndcg():
    dcg = 2 / math.log2(3) + 1 / math.log2(5)
    ideal = 2 + 1 / math.log2(3) + 1 / math.log2(4)
    assert formulas.ndcg(RANKED, JUDGED) == pytest.approx(dcg / ideal)


def test_ndcg_cuts_the_ideal_too():
    assert formulas.ndcg(RANKED, JUDGED, 2) == pytest.approx((2 / math.log2(3)) / (2 + 1 / math.log2(3)))


@pytest.mark.parametrize(("k", "expected"), [(1, 0), (2, 1 / 3), (5, 2 / 3), (None, 2 / 3)])
def test_recall(k, expected):
    assert formulas.recall(RANKED, JUDGED, k) == pytest.approx(expected)


@pytest.mark.parametrize(("k", "expected"), [(1, 0), (2, 1 / 2), (5, 2 / 5), (10, 2 / 10)])
def test_precision_divides_by_k_even_when_fewer_came(k, expected):
    assert formulas.precision(RANKED, JUDGED, k) == pytest.approx(expected)


@pytest.mark.parametrize(("k", "expected"), [(1, 0), (3, (1 / 2) / 3), (None, (1 / 2 + 2 / 4) / 3)])
def test_average_precision(k, expected):
    assert formulas.average_precision(RANKED, JUDGED, k) == pytest.approx(expected)


@pytest.mark.parametrize(("k", "expected"), [(1, 0.0), (2, 0.5), (None, 0.5)])
def test_reciprocal_rank(k, expected):
    assert formulas.reciprocal_rank(RANKED, JUDGED, k) == expected


@pytest.mark.parametrize(("k", "expected"), [(1, 0.0), (2, 1.0), (None, 1.0)])
def test_success(k, expected):
    assert formulas.success(RANKED, JUDGED, k) == expected


@pytest.mark.parametrize(
    "formula",
    [
        formulas.ndcg,
        formulas.recall,
        formulas.precision,
        formulas.average_precision,
        formulas.reciprocal_rank,
        formulas.success,
    ],
)
def test_all_are_zero_without_a_relevant_document_or_a_result(formula):
    assert formula([0, -1], [0, -1], 2) == 0.0
    assert formula([], [1], 2) == 0.0
