"""The live index and what is mined with it."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.quantization.codes import CODE_BITS
from cluscomp.training.repconc.live_index import LiveIndex


@pytest.fixture(params=CODE_BITS)
def bits(request):
    return request.param


def test_codes_stay_and_scores_follow_the_centroids(rng, bits):
    rows = rng.normal(size=(300, 12)).astype(np.float32)
    centroids = rng.normal(size=(3, 1 << bits, 4)).astype(np.float32)
    index = LiveIndex(rows, centroids, bits)
    nearest = np.stack(
        [((rows[:, None, 4 * j : 4 * j + 4] - centroids[j]) ** 2).sum(2).argmin(1) for j in range(3)], axis=1
    )
    assert np.array_equal(index.codes, nearest)
    moved = centroids + rng.normal(size=centroids.shape).astype(np.float32)
    queries = rng.normal(size=(5, 12)).astype(np.float32)
    scores, hits = index.search(queries, moved, 20)
    decoded = moved[np.arange(3), index.codes].reshape(300, 12)
    expected = np.sort(queries @ decoded.T, axis=1)[:, ::-1][:, :20]
    assert np.allclose(scores, expected, atol=1e-4)
    assert np.allclose(np.take_along_axis(queries @ decoded.T, hits, 1), expected, atol=1e-4)
    assert index.search(queries, moved, 1000)[1].shape == (5, 300)


def test_mined_negatives_are_the_best_hits_without_the_positives(rng):
    torch = pytest.importorskip("torch")
    from cluscomp.training.repconc.codec import TrainableCodec
    from cluscomp.training.repconc.mining import hard_negatives

    rows = rng.normal(size=(60, 8)).astype(np.float32)
    codec = TrainableCodec(torch.eye(8), rng.normal(size=(4, 16, 2)))
    index = LiveIndex(rows, codec.centroid_array(), 4)
    _, hits = index.search(rows[:3], codec.centroid_array(), 60)
    positives = [(int(hits[0, 0]), int(hits[0, 2])), (), tuple(range(57))]
    mined = hard_negatives(rows, rows[:3], positives, codec, 4, 5)
    assert mined[0].tolist() == [hits[0, 1], *hits[0, 3:7]]
    assert mined[1].tolist() == hits[1, :5].tolist()
    assert sorted(mined[2].tolist()) == [-1, -1, 57, 58, 59]
