"""TAS-Balanced: batches of queries about one topic, with pairs that are spread over the teacher's margins.

Source: Hofstaetter et al., "Efficiently teaching an effective dense retriever with balanced topic aware
sampling", SIGIR 2021.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.arrays import as_numbers, as_rows
from cluscomp.clustering.kmeans import KMeans
from cluscomp.errors import DimensionError


class TopicBatches:
    """A batch sampler: each batch is drawn from one cluster of the queries.

    vectors: (n, d) of the queries, from any encoder. n_clusters: None: a cluster fills about 4 batches.
    batch_size: queries a batch; the last one of a cluster is filled up from the next cluster in the epoch's
    order, so that every query comes once an epoch and no batch but the last is short.
    Iterating gives lists of positions, another order each time (`set_epoch` fixes which); torch's DataLoader
    takes it as batch_sampler.
    """

    def __init__(
        self, vectors: Any, batch_size: int, *, n_clusters: int | None = None, seed: int = 0
    ) -> None:
        rows = as_rows(vectors, name="vectors")
        batch_size = checks.integer("batch_size", batch_size, 1)
        n = rows.shape[0]
        n_clusters = max(1, n // (4 * batch_size)) if n_clusters is None else n_clusters
        checks.integer("n_clusters", n_clusters, 1, n)
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0
        self.labels = np.asarray(KMeans(n_clusters, seed=seed).fit_predict(rows))

    def __len__(self) -> int:
        return -(-self.labels.size // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        order = self.order(self.epoch)
        self.epoch += 1
        for start in range(0, order.size, self.batch_size):
            yield order[start : start + self.batch_size].tolist()

    def order(self, epoch: int) -> np.ndarray:
        """All positions (n,): clusters in random order, the members of each in random order.

        Clusters are cut into batches of their own first; their remainders come last, cluster by cluster.
        """
        rng = np.random.default_rng((self.seed, epoch))
        whole, rest = [], []
        for cluster in rng.permutation(np.unique(self.labels)):
            members = rng.permutation(np.flatnonzero(self.labels == cluster))
            full = members.size - members.size % self.batch_size
            whole += np.split(members[:full], full // self.batch_size) if full else []
            rest.append(members[full:])
        batches = [whole[i] for i in rng.permutation(len(whole))]
        return np.concatenate([*batches, *rest])


def balanced_pairs(margins: Any, n_pairs: int, *, bins: int = 10, rng: np.random.Generator) -> np.ndarray:
    """Positions (n_pairs,) of pairs of one query, drawn so that all bins of the margin are as likely.

    margins: (n,), the teacher's score of the positive less that of the negative, of the query's pairs. The
    range is cut into equal bins; a filled bin is drawn uniformly, then one of its pairs. With repetition.
    Raises DimensionError (no pairs), UsageError.
    """
    values = as_numbers(margins, name="margins").astype(np.float64)
    if values.ndim != 1 or values.size == 0:
        raise DimensionError(f"margins have shape {values.shape}, but (n,) with n of at least 1 is needed")
    checks.integer("bins", bins, 1)
    low, high = values.min(), values.max()
    width = (high - low) / bins
    labels = (
        np.zeros(values.size, int) if width == 0 else ((values - low) / width).astype(int).clip(0, bins - 1)
    )
    filled = np.unique(labels)
    return np.array([rng.choice(np.flatnonzero(labels == rng.choice(filled))) for _ in range(n_pairs)])
