"""Topic-aware batches and balanced margins."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.errors import DimensionError, UsageError
from cluscomp.training.repconc.tas_balanced import TopicBatches, balanced_pairs


@pytest.fixture
def topics(rng):
    """(vectors of 90 queries about 3 well-separated topics, topic of each)."""
    labels = np.repeat([0, 1, 2], [40, 30, 20])
    centers = np.eye(3, 8) * 10
    return (centers[labels] + 0.1 * rng.normal(size=(90, 8))).astype(np.float32), labels


def test_every_query_once_and_batches_of_one_topic(topics):
    vectors, labels = topics
    batches = TopicBatches(vectors, 8, n_clusters=3, seed=1)
    found = list(batches)
    assert len(found) == len(batches) == 12
    assert sorted(i for batch in found for i in batch) == list(range(90))
    pure = [batch for batch in found if len(set(labels[batch])) == 1]
    assert len(pure) >= 40 // 8 + 30 // 8 + 20 // 8
    random = np.random.default_rng(0).permutation(90)[:88].reshape(-1, 8)
    assert sum(len(set(labels[batch])) == 1 for batch in random) <= 1


def test_epochs_differ_and_repeat(topics):
    batches = TopicBatches(topics[0], 8, n_clusters=3)
    first, second = list(batches), list(batches)
    assert first != second
    batches.set_epoch(0)
    assert list(batches) == first


def test_takes_part_in_a_data_loader(topics):
    data = pytest.importorskip("torch").utils.data
    loader = data.DataLoader(range(90), batch_sampler=TopicBatches(topics[0], 8))
    assert sorted(int(i) for batch in loader for i in batch) == list(range(90))


def test_rare_margins_are_drawn_as_often_as_frequent_ones(rng):
    margins = np.concatenate([np.full(990, 0.05), np.full(10, 0.95)])
    drawn = balanced_pairs(margins, 2000, rng=rng)
    assert 800 < np.count_nonzero(drawn >= 990) < 1200
    assert set(balanced_pairs(np.ones(3), 100, rng=rng)) == {0, 1, 2}


def test_wrong_input(topics, rng):
    with pytest.raises(UsageError, match="n_clusters must be an integer from 1 to .*, but is 91"):
        TopicBatches(topics[0], 8, n_clusters=91)
    with pytest.raises(UsageError, match="batch_size"):
        TopicBatches(topics[0], 0)
    with pytest.raises(DimensionError, match="margins"):
        balanced_pairs([], 1, rng=rng)
    with pytest.raises(UsageError, match="bins"):
        balanced_pairs([1.0], 1, bins=0, rng=rng)
