"""What the two stages do with positives, repeated documents, and the memory of vectors."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.training.relevance import positive_mask, repeated
from cluscomp.training.repconc.joint import Memory, draw_others
from cluscomp.training.stage import batch_of, n_steps, shuffled


def test_masks():
    rows = np.array([3, 1, 3, 7])
    assert positive_mask([(3,), (7, 1)], rows).tolist() == [
        [True, False, True, False],
        [False, True, False, True],
    ]
    assert repeated(rows).tolist() == [False, False, True, False]


def test_memory_remembers_the_newest():
    memory = Memory(np.zeros((4, 2), np.float32))
    memory.set(np.array([1, 3]), np.array([[1, 1], [2, 2]], np.float32))
    memory.set(np.array([3]), np.array([[5, 5]], np.float32))
    assert memory.get(np.array([0, 1, 3])).tolist() == [[0, 0], [1, 1], [5, 5]]
    copy = Memory(np.zeros((4, 2), np.float32))
    copy.set(*memory.arrays().values())
    assert np.array_equal(copy.get(np.arange(4)), memory.get(np.arange(4)))
    assert Memory(np.zeros((4, 2))).arrays()["rows"].size == 0


def test_others_are_drawn_without_what_is_taken(rng):
    taken = np.array([2, 5, 7])
    for wanted, expected in ((0, 0), (4, 4), (7, 7), (50, 7)):
        drawn = draw_others(10, taken, wanted, rng)
        assert drawn.size == expected == np.unique(drawn).size
        assert not np.isin(drawn, taken).any()


def test_batches_cover_an_epoch_and_begin_anew():
    pytest.importorskip("torch")
    order = shuffled(10, seed=3)
    assert n_steps(10, 4, 2) == 6 and n_steps(10, 4, 0.3) == 1
    first = [batch_of(step, order, 10, 4) for step in range(3)]
    assert sorted(np.concatenate(first).tolist()) == list(range(10)) and first[2].size == 2
    assert not np.array_equal(batch_of(0, order, 10, 4), batch_of(3, order, 10, 4))
    assert np.array_equal(batch_of(4, order, 10, 4), batch_of(4, shuffled(10, seed=3), 10, 4))


@pytest.fixture
def jpq(rng):
    torch = pytest.importorskip("torch")
    from cluscomp.training.repconc.codec import TrainableCodec
    from cluscomp.training.repconc.jpq import JpqStage
    from cluscomp.training.repconc.live_index import LiveIndex
    from cluscomp.training.settings import Settings
    from cluscomp.training.training_set import TrainingSet

    rows = rng.normal(size=(40, 8)).astype(np.float32)
    codec = TrainableCodec(torch.eye(8), rng.normal(size=(4, 16, 2)))
    index = LiveIndex(rows, codec.centroid_array(), 4)
    rotated = torch.from_numpy(rows[:3])
    _, hits = index.search(rows[:3], codec.centroid_array(), 10)
    # the second hit of query 0 is a known positive; query 1 has a positive that is not retrieved
    positives = [(int(hits[0, 1]),), (int(np.setdiff1d(np.arange(40), hits[1])[0]), int(hits[1, 0])), (39,)]
    data = TrainingSet(["x"] * 40, ["x"] * 40, ["q"] * 3, positives, [False] * 3)
    settings = Settings(m=4, nbits=4, live_negatives=10)
    return JpqStage(settings, data, index, codec, None, None, None, scale=1.0), rotated, hits


def test_retrieved_positives_are_no_negatives(jpq):
    import torch

    stage, rotated, hits = jpq
    rows, positives = stage._lists(np.arange(3), rotated)
    assert np.array_equal(rows[:, :10], hits)
    assert positives[0, :10].tolist() == [False, True] + [False] * 8
    scores = stage._scores(rotated, rows)
    decoded = stage.codec.decode(torch.from_numpy(stage.index.codes).long())
    assert torch.allclose(scores, (rotated @ decoded.T).gather(1, torch.from_numpy(rows)), atol=1e-5)
    loss = stage._ranking(scores, positives, rows)
    expected = []
    for i, known in enumerate(stage.data.positives):
        values = scores[i].detach()
        negatives = [j for j in range(10) if rows[i, j] not in known]
        for positive in known:
            s = values[list(rows[i]).index(positive)]
            among = torch.cat([s[None], values[negatives]])
            expected.append((len(known), float(among.logsumexp(0) - s)))
    mean = sum(value / count for count, value in expected) / 3
    assert float(loss.detach()) == pytest.approx(mean, rel=1e-5)


def test_only_centroids_that_documents_use_get_gradient(jpq):
    stage, rotated, _ = jpq
    rows, positives = stage._lists(np.arange(3), rotated)
    stage._ranking(stage._scores(rotated, rows), positives, rows).backward()
    used = np.zeros((4, 16), bool)
    for j in range(4):
        used[j, stage.index.codes[np.unique(rows), j]] = True
    assert not stage.codec.centroids.grad.numpy()[~used].any()
    assert stage.codec.centroids.grad.abs().sum() > 0
