"""Lists trained from rows in several places have the bits of lists trained from all rows in one."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import UsageError, index_factory
from cluscomp.clustering.parted import LocalCrew, RowsPart
from cluscomp.indexes.stages.list_training import apply_steps


def elsewhere(cuts):
    """A trainer whose rows lie in several parts."""

    def train(partition, rows, steps, seed, progress):
        parts = np.split(rows, cuts)
        crew = LocalCrew([RowsPart(apply_steps(steps, part), partition.kmeans_metric) for part in parts])
        first = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
        partition.train_parts(crew, first, seed, progress)

    return train


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize("key", ["IVF20,Flat", "PCA12,IVF20,SQ8", "OPQ4,IVF20,PQ4", "IVF20,PQ8x4,RFlat"])
def test_all_stages_have_the_bits_of_one_place(rng, key, metric):
    x = rng.normal(size=(3000, 16)).astype("f4")
    here, there = index_factory(key, 16, metric=metric), index_factory(key, 16, metric=metric)
    here.train(x)
    there.pipeline.train(x, None, elsewhere([100, 1700]))
    for name, stage in here.pipeline.stages().items():
        found = there.pipeline.stages()[name].parameters()
        for part, array in stage.parameters().items():
            np.testing.assert_array_equal(found[part], array, err_msg=f"{name} {part}")


def test_bounded_lists_are_refused(rng):
    index = index_factory("BIVF20,Flat", 16)
    with pytest.raises(UsageError, match=r"BIVF20.* trains in one place"):
        index.pipeline.train(rng.normal(size=(900, 16)).astype("f4"), None, elsewhere([300]))
