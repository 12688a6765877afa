"""PCAWd: principal components over a power of their deviations, scaled to length one."""

from __future__ import annotations

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import UnknownKeyError, UsageError
from cluscomp.indexes import parse_key
from cluscomp.indexes.stages.whitening import scales_of


def test_variances_by_hand():
    """Variances 4 and 1 become 1 and 1 (a = 1), 2 and 1 (a = .5), and stay (a = 0), up to one factor."""
    variances = np.array([4.0, 1.0])
    for a, wanted in ((1.0, 1.0), (0.5, 2.0), (0.0, 4.0)):
        left = variances * scales_of(variances, a / 2) ** 2
        assert left[0] / left[1] == pytest.approx(wanted)
    assert scales_of(np.array([4.0, 0.0, -1e-18]), 0.25).tolist() == [1, 0, 0]
    assert scales_of(np.zeros(3), 0.25).tolist() == [1, 1, 1]


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
def test_a_zero_is_pca_and_norm_bit_for_bit(rows, queries, metric):
    found, wanted = (
        cc.index_factory(key, 16, metric).train(rows).add(rows).search(queries, 20)
        for key in ("PCAW8(a=0),Flat", "PCA8,L2norm,Flat")
    )
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("key", ["PCAW8,Flat", "PCAW8(a=1),IVF4,SQ8,RFlat", "PCAW16(a=0.25),OPQ4,PQ4"])
def test_scores_by_numpy_and_a_saved_index(rows, queries, key, tmp_path):
    index = cc.index_factory(key, 16).train(rows).add(rows)
    index.save(tmp_path / "i")
    scores, ids = index.search(queries, 20)
    again = cc.open_index(tmp_path / "i").search(queries, 20)
    np.testing.assert_array_equal(again[0], scores)
    np.testing.assert_array_equal(again[1], ids)
    if key != "PCAW8,Flat":
        return
    values, vectors = np.linalg.eigh(np.cov(rows.T.astype("f8"), bias=True))
    change = vectors[:, ::-1][:, :8] / values[::-1][:8] ** 0.25
    ours, asked = (a @ change / np.linalg.norm(a @ change, axis=1, keepdims=True) for a in (rows, queries))
    np.testing.assert_allclose(scores, -np.sort(-(asked @ ours.T), axis=1)[:, :20], atol=1e-5)


def test_directions_without_variance_count_for_nothing(rows):
    flat = rows.copy()
    flat[:, 3] = 0
    index = cc.index_factory("PCAW16,Flat", 16).train(flat).add(flat)
    assert np.isfinite(index.search(flat[:5] + 1, 5)[0]).all()
    assert (index.pipeline.steps[0].parameters()["scales"] == 0).sum() == 1


def test_spelling():
    assert str(parse_key("PCAW64(a=.50),Flat")) == "PCAW64,Flat"
    assert str(parse_key("PCAW64(a=.3),L2norm,Flat")) == "PCAW64(a=0.3),L2norm,Flat"
    with pytest.raises(UsageError, match="0 to 1"):
        parse_key("PCAW64(a=2),Flat")
    with pytest.raises(UnknownKeyError):
        parse_key("PCAW64(0.5),Flat")
    with pytest.raises(UsageError, match="cannot keep 32 of 16"):
        cc.index_factory("PCAW32,Flat", 16)
    index = cc.index_factory("PCAW8,Flat", 16).train(np.eye(16)).add(np.eye(16))
    with pytest.raises(UsageError, match="do not come back"):
        index.vectors([0])
