"""MRLd: the first components, normalised again."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.errors import UsageError
from cluscomp.indexes import index_factory


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
def test_truncation_is_a_flat_index_of_the_first_components(rows, queries, metric: str) -> None:
    index = index_factory("MRL6,Flat", 16, metric).add(rows)
    cut, asked = (a[:, :6] / np.linalg.norm(a[:, :6], axis=1, keepdims=True) for a in (rows, queries))
    scores, ids = index.search(queries, 8)
    wanted = asked @ cut.T if metric != "l2" else -((asked[:, None] - cut[None]) ** 2).sum(2)
    np.testing.assert_allclose(scores, np.take_along_axis(wanted, ids, 1), atol=1e-5)
    np.testing.assert_allclose(scores, -np.sort(-wanted, axis=1)[:, :8], atol=1e-5)
    assert index.is_trained
    assert index.code_size == 24


def test_the_rerank_sees_all_components(rows, queries) -> None:
    whole = index_factory("Flat", 16).add(rows).search(queries, 5)
    reranked = index_factory("MRL6,Flat,RFlat", 16).add(rows).search(queries, 5, refine_factor=120)
    for got, wanted in zip(reranked, whole, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_rows_that_are_zero_there_stay_zero() -> None:
    index = index_factory("MRL2,Flat", 3).add(np.array([[0, 0, 5], [3, 4, 0]], "f"))
    scores, ids = index.search(np.array([[1.0, 0, 9]]), 2)
    assert ids.tolist() == [[1, 0]]
    np.testing.assert_allclose(scores, [[0.6, 0]], atol=1e-6)


def test_more_than_there_are() -> None:
    with pytest.raises(UsageError, match="MRL32: cannot keep 32 of 16"):
        index_factory("MRL32,Flat", 16)
