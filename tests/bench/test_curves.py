"""Speed at equal recall, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.bench.curves import Point, frontier, kth_best_scores, recall_of, seconds_at


def test_dominated_settings_are_left_out():
    points = [
        Point("a", 0.9, [1.0]),
        Point("slow", 0.85, [2.0]),
        Point("b", 0.99, [3.0]),
        Point("c", 0.99, [4.0]),
    ]
    assert [point.setting for point in frontier(points)] == ["a", "b"]


def test_between_two_settings():
    points = [Point("a", 0.9, [1.0, 2.0]), Point("b", 0.999, [100.0, 200.0])]
    # 0.99 misses 0.01, half-way from 0.1 to 0.001 in powers of ten; so is 10 from 1 to 100.
    assert seconds_at(points, 0.99) == pytest.approx([10.0, 20.0])
    assert seconds_at(points, 0.9) == [1.0, 2.0]
    assert seconds_at(points, 0.999) == pytest.approx([100.0, 200.0])


def test_outside_of_what_was_measured():
    points = [Point("a", 0.9, [1.0]), Point("b", 0.95, [2.0])]
    assert seconds_at(points, 0.5) == [1.0], "less recall is not shown to be faster"
    assert seconds_at(points, 0.96) is None
    assert seconds_at([Point("all", 1.0, [1.0]), Point("most", 0.9, [0.5])], 1.0) == [1.0]


def test_recall_counts_ties_and_not_repetitions():
    base = np.array([[1.0], [3.0], [3.0], [2.0]], dtype=np.float32)
    query = np.ones((1, 1), dtype=np.float32)
    kth_best = kth_best_scores(base, query, 2)
    assert kth_best.tolist() == [3.0]
    assert recall_of(base, query, np.array([[1, 2]]), kth_best, 1e-6) == 1.0
    assert recall_of(base, query, np.array([[1, 1]]), kth_best, 1e-6) == 0.5
    assert recall_of(base, query, np.array([[1, -1]]), kth_best, 1e-6) == 0.5
    assert recall_of(base, query, np.array([[0, 3]]), kth_best, 1e-6) == 0.0
    # With k = 1 rows 1 and 2 tie: either is right.
    assert recall_of(base, query, np.array([[2]]), kth_best_scores(base, query, 1), 1e-6) == 1.0
