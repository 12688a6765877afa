import numpy as np
import pytest

from cluscomp.eval.compare import exact
from cluscomp.eval.compare.exact import exact_search


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
def test_equals_a_full_sort_in_float64(rng, metric, monkeypatch):
    monkeypatch.setattr(exact, "_BLOCK_BYTES", 4 * 50 * 3)  # three queries a block
    documents, queries = rng.standard_normal((50, 7)), rng.standard_normal((8, 7))
    if metric == "l2":
        want = -((queries[:, None] - documents) ** 2).sum(axis=2)
    else:
        want = queries @ documents.T
        if metric == "cosine":
            want /= np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(documents, axis=1)
    scores, positions = exact_search(queries, documents, 5, metric)
    np.testing.assert_array_equal(positions, np.argsort(-want, axis=1, kind="stable")[:, :5])
    np.testing.assert_allclose(scores, -np.sort(-want, axis=1)[:, :5], rtol=1e-5)


def test_ties_stand_by_position_and_missing_hits_are_marked():
    documents = np.array([[1.0], [2.0], [2.0], [2.0], [0.0]])
    scores, positions = exact_search(np.ones((1, 1)), documents, 2, "ip")
    assert positions.tolist() == [[1, 2]]
    only = np.array([[False, False, False, True, False]])
    scores, positions = exact_search(np.ones((1, 1)), documents, 3, "ip", allowed=lambda block: only)
    assert positions.tolist() == [[3, -1, -1]]
    assert scores.tolist() == [[2.0, -np.inf, -np.inf]]
    assert exact_search(np.ones((1, 1)), documents, 5, "ip")[1].tolist() == [[1, 2, 3, 0, 4]]
