"""IVF: probing equals exact ranking of centroids, and the common scale of ip centroids makes residuals small."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.errors import NotTrainedError
from cluscomp.indexes.stages.ivf import IVF, Ivf


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_probe_order_is_that_of_the_metric(rows, queries, metric: str) -> None:
    partition = Ivf(IVF(12), 16, metric)
    partition.train(rows, seed=1)
    c, q = partition.centroids.astype(np.float64), queries.astype(np.float64)
    scores = q @ c.T if metric == "ip" else -((q[:, None] - c[None]) ** 2).sum(2)
    wanted = np.argsort(-scores, axis=1, kind="stable")
    for nprobe in (1, 2, 5, 11):
        np.testing.assert_array_equal(partition.probe(queries, nprobe).lists, wanted[:, :nprobe])
    assert sorted(partition.probe(queries, 12).lists[0]) == list(range(12))
    np.testing.assert_array_equal(partition.assign(queries), wanted[:, 0])


def test_ip_centroids_are_directions_of_one_common_length(rows) -> None:
    partition = Ivf(IVF(12), 16, "ip")
    partition.train(rows, seed=1)
    lengths = np.linalg.norm(partition.centroids, axis=1)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-5)
    labels = partition.assign(rows)
    error = (partition.residuals(rows, labels) ** 2).sum()
    for factor in (0.9, 1.1):
        partition.load({"centroids": partition.centroids * factor})
        np.testing.assert_array_equal(partition.assign(rows), labels)
        assert (partition.residuals(rows, labels) ** 2).sum() > error
        partition.load({"centroids": partition.centroids / factor})


def test_untrained_partition_says_so() -> None:
    with pytest.raises(NotTrainedError, match="IVF4"):
        _ = Ivf(IVF(4), 8, "l2").centroids
