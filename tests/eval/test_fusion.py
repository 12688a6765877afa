"""Fusion of runs: cases worked by hand, properties, and the gain on the shared collections."""

from __future__ import annotations

import math

import pytest

from cluscomp.errors import DimensionError, NonFiniteError, TooFewRowsError, UnknownKeyError, UsageError
from cluscomp.eval import evaluate_per_query, fuse_runs, tune_weight

DENSE = {"q": {"A": 0.9, "B": 0.5, "C": 0.1}}
SPARSE = {"q": {"C": 10.0, "A": 5.0, "D": 0.0}}


def test_convex_combination_by_hand():
    # dense 1, .5, 0; sparse C 1, A .5, D 0
    fused = fuse_runs([DENSE, SPARSE])["q"]
    assert fused == pytest.approx({"A": 0.75, "C": 0.5, "B": 0.25, "D": 0.0})
    assert list(fused) == ["A", "C", "B", "D"]


def test_reciprocal_ranks_by_hand():
    fused = fuse_runs([DENSE, SPARSE], method="rrf", weights=(1, 1))["q"]  # ranks A B C and C A D
    expected = {"A": 1 / 61 + 1 / 62, "C": 1 / 63 + 1 / 61, "B": 1 / 62, "D": 1 / 63}
    assert fused == pytest.approx(expected, rel=1e-15)
    assert [round(value, 7) for value in fused.values()] == [0.0325225, 0.0322665, 0.016129, 0.015873]


def test_other_normalisations_by_hand():
    # least possible -1 and 0: dense 1, 1.5/1.9, 1.1/1.9; sparse 1, .5, 0
    fused = fuse_runs([DENSE, SPARSE], normalise="tmm", minima=(-1, 0))["q"]
    assert fused == pytest.approx({"A": 0.75, "C": 0.5 * (1.1 / 1.9 + 1), "B": 0.75 / 1.9, "D": 0.0})
    # mean .5, deviation sqrt(.32 / 3): A lies 1.2247 deviations above it, of 6 that count
    place = math.sqrt(1.5) / 6
    fused = fuse_runs([DENSE, SPARSE], normalise="dbsf", weights=(1, 0))["q"]
    assert fused == pytest.approx({"A": 0.5 + place, "B": 0.5, "C": 0.5 - place, "D": 0.0})


def test_lists_with_one_score():
    """A range of nothing divides by zero: all documents of such a list get 1."""
    lone = {"q": {"X": 3.0}}
    assert fuse_runs([lone, DENSE])["q"] == {"X": 0.5, "A": 0.5, "B": pytest.approx(0.25), "C": 0.0}
    assert list(fuse_runs([lone, DENSE])["q"]) == ["X", "A", "B", "C"]  # equal scores: the larger id first
    equal = {"q": {"X": 3.0, "Y": 3.0}}
    for normalise in ("minmax", "dbsf"):
        assert fuse_runs([equal, equal], normalise=normalise)["q"] == {"Y": 1.0, "X": 1.0}


def test_one_run_alone_keeps_its_order():
    for weights, order in (((1, 0), "ABC"), ((0, 1), "CAD")):
        fused = fuse_runs([DENSE, SPARSE], weights=weights)["q"]
        assert [doc_id for doc_id in fused if doc_id in order] == list(order)
    assert list(fuse_runs([DENSE, DENSE])["q"]) == list("ABC")


def test_scale_of_scores_does_not_count():
    moved = {"q": {doc_id: 7 * score + 3 for doc_id, score in DENSE["q"].items()}}
    assert fuse_runs([moved, SPARSE])["q"] == pytest.approx(fuse_runs([DENSE, SPARSE])["q"])
    cubed = {"q": {doc_id: score**3 for doc_id, score in DENSE["q"].items()}}
    assert fuse_runs([cubed, SPARSE], method="rrf") == fuse_runs([DENSE, SPARSE], method="rrf")


def test_depth_cuts_each_list_first():
    # of two documents the second has 0; C of the dense list is not there at all
    assert fuse_runs([DENSE, SPARSE], depth=2)["q"] == {"C": 0.5, "A": 0.5, "B": 0.0}


def test_queries_of_either_run():
    fused = fuse_runs([{"p": {"A": 2.0, "B": 1.0}}, {"q": {"C": 1.0}}])
    assert fused == {"p": {"A": 0.5, "B": 0.0}, "q": {"C": 0.5}}


def test_three_runs():
    fused = fuse_runs([DENSE, SPARSE, SPARSE])["q"]
    assert fused["C"] == pytest.approx(2 / 3) and fused["A"] == pytest.approx(1 / 3 + 2 / 6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "rff"}, UnknownKeyError, "rrf"),
        ({"normalise": "max"}, UnknownKeyError, "minmax"),
        ({"weights": (1,)}, DimensionError, "1 weights for 2 lists"),
        ({"weights": (-1, 2)}, UsageError, "at least 0"),
        ({"weights": (0, 0)}, UsageError, "all 2 weights are 0"),
        ({"depth": 0}, UsageError, "at least 1"),
        ({"normalise": "tmm"}, UsageError, "minima are missing"),
        ({"minima": (0, 0)}, UsageError, "minima are given"),
        ({"normalise": "tmm", "minima": (0,)}, DimensionError, "1 minima for 2 lists"),
    ],
)
def test_wrong_parameters(options, error, message):
    with pytest.raises(error, match=message):
        fuse_runs([DENSE, SPARSE], **options)


def test_wrong_runs():
    with pytest.raises(UsageError, match="1 runs to fuse"):
        fuse_runs([DENSE])
    with pytest.raises(NonFiniteError, match="'A' is inf"):
        fuse_runs([DENSE, {"q": {"A": math.inf}}])


class TestTuneWeight:
    """The figure is that of queries which had no part in the choice."""

    def test_by_hand(self):
        """q1 needs the first run, q2 the second: held out, each is answered by the other's weight."""
        good, bad = {"x": 2.0, "y": 1.0}, {"y": 2.0, "x": 1.0}
        runs = [{"q1": good, "q2": bad}, {"q1": bad, "q2": good}]
        qrels = {"q1": {"x": 1}, "q2": {"x": 1}}
        tuned = tune_weight(runs, qrels, folds=2, metric="success@1")
        # x wins in q1 with weights above .5 and in q2 below; at .5 both tie, and y, the larger id, comes first
        assert sorted(tuned.by_fold) == [0.45, 0.55]
        assert tuned.held_out == 0.0
        assert (tuned.weight, tuned.equal, tuned.first, tuned.second) == (0.45, 0.0, 0.5, 0.5)
        assert evaluate_per_query(tuned.run, qrels, ["success@1"])["q1"]["success@1"] == 0.0
        assert "run" not in tuned.to_json()

    def test_equal_weights_where_nothing_tells(self):
        tuned = tune_weight([DENSE, DENSE], {"q": {"A": 1}, "r": {"A": 1}}, folds=2)
        assert (tuned.weight, tuned.by_fold) == (0.5, (0.5, 0.5))
        assert tuned.held_out == tuned.first == 0.5  # r is not answered

    def test_wrong_input(self):
        with pytest.raises(UsageError, match="3 runs"):
            tune_weight([DENSE] * 3, {"q": {"A": 1}})
        with pytest.raises(TooFewRowsError, match="1 judged queries for 5 folds"):
            tune_weight([DENSE, SPARSE], {"q": {"A": 1}})
