"""The checks see wrong results, and let ties pass."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.bench.checks import check_hits, check_labels, check_not_above
from cluscomp.bench.pq_encode import check_codes
from cluscomp.bench.pq_train import reconstruction_error


def test_labels_by_hand():
    x = np.array([[0.0], [1.0], [4.0]], dtype=np.float32)
    centroids = np.array([[0.0], [2.0], [2.0]], dtype=np.float32)
    assert check_labels(x, centroids, {"cluscomp": np.array([0, 0, 1])}).passed
    tied = {"cluscomp": np.array([0, 0, 1]), "faiss": np.array([0, 1, 2])}
    verdict = check_labels(x, centroids, tied)
    assert verdict.passed and "2 of 3 labels differ from faiss's, 0 of them farther" in verdict.detail
    assert not check_labels(x, centroids, {"cluscomp": np.array([0, 0, 0])}).passed


def test_a_wrong_label_outside_the_sample_is_seen_through_the_rival(rng):
    x = rng.standard_normal((5000, 4)).astype(np.float32)
    centroids = rng.standard_normal((9, 4)).astype(np.float32)
    true = ((x[:, None] - centroids) ** 2).sum(axis=2).argmin(axis=1)
    ours = true.copy()
    ours[7] = (ours[7] + 1) % 9
    assert check_labels(x, centroids, {"cluscomp": ours}).passed, "row 7 is not in the sample"
    assert not check_labels(x, centroids, {"cluscomp": ours, "faiss": true}).passed
    assert check_labels(x, centroids, {"cluscomp": true, "faiss": ours}).passed, "the baseline may be wrong"


def test_hits_by_hand():
    base = np.array([[1.0], [3.0], [3.0], [2.0]], dtype=np.float32)
    query = np.ones((1, 1), dtype=np.float32)

    def hits(*ids):
        return base[list(ids)].T, np.array([ids])

    assert check_hits(base, query, {"cluscomp": hits(1, 2), "faiss": hits(2, 1)}).passed
    assert not check_hits(base, query, {"cluscomp": hits(1, 3), "faiss": hits(2, 1)}).passed
    assert not check_hits(base, query, {"cluscomp": hits(1, 3)}).passed, (
        "row 2 is missing, and no baseline says so"
    )
    lie = (np.array([[3.0, 3.0]], dtype=np.float32), np.array([[1, 3]]))
    assert not check_hits(base, query, {"cluscomp": lie}).passed, "a score that its row does not have"


@pytest.mark.parametrize(
    ("ours", "passed"), [(0.9, True), (1.005, True), (1.02, False), (float("nan"), False)]
)
def test_a_loss_may_be_above_the_rivals_by_the_tolerance_only(ours, passed):
    assert check_not_above({"cluscomp": ours, "faiss": 1.0}, 0.01, "objective").passed is passed


def test_codes_by_hand():
    x = np.array([[0.0, 5.0]], dtype=np.float32)
    words = np.arange(256, dtype=np.float32).reshape(256, 1)
    codebooks = np.stack([words, words])
    assert check_codes(x, codebooks, {"cluscomp": np.array([[0, 5]], np.uint8)}).passed
    assert not check_codes(x, codebooks, {"cluscomp": np.array([[0, 6]], np.uint8)}).passed


def test_reconstruction_error_by_hand():
    codebooks = np.zeros((1, 256, 2), dtype=np.float32)
    codebooks[0, 1] = [3.0, 4.0]
    x = np.array([[3.0, 4.0], [0.0, 1.0]], dtype=np.float32)
    assert reconstruction_error(x, None, codebooks) == pytest.approx(1 / 26)
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]], dtype=np.float32)  # (3, 4) -> (4, -3), (0, 1) -> (1, 0)
    codebooks[0, 2] = [4.0, -3.0]
    assert reconstruction_error(x, turn, codebooks) == pytest.approx(1 / 26)
    assert reconstruction_error(x, 2 * turn, codebooks) > 0.5, "no rotation: decoding does not come back"
