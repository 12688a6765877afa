"""A condition costs no recall: real embeddings, conditions that have to do with the vectors and ones that have not."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import KMeans, index_factory
from cluscomp.bits import pack_mask
from cluscomp.indexes.segments.budget import search_passing
from cluscomp.indexes.segments.passing import Passing
from cluscomp.indexes.segments.row_sets import RowSet

K = 10


def recall(found, want):
    """Share of the wanted hits, all of which the codes put first, that were found."""
    return np.mean([np.isin(w[w >= 0], f).mean() for f, w in zip(found, want, strict=True) if (w >= 0).any()])


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("npl", "IVF128,SQ8"),
        pytest.param("npl", "IVF128,PQ48x4,RFlat", marks=pytest.mark.slow),
        pytest.param("scifact", "OPQ48,IVF64,PQ48", marks=pytest.mark.slow),
    ],
)
def test_recall_among_the_rows_that_pass(shared_data, name, key):
    x, queries = (np.load(shared_data / name / "minilm" / f"{part}.npy") for part in ("docs", "queries"))
    index = index_factory(key, x.shape[1], "cosine")
    index.train(x).add(x)
    n, nlist = len(x), index.spec.nlist

    def search(mask, nprobe):
        passing = Passing(index.pipeline, index._together, [RowSet(len(mask), bits=pack_mask(mask))])
        return search_passing(passing, queries.astype(np.float32), K, nprobe=nprobe, refine_factor=4)

    rng = np.random.default_rng(0)
    topics = KMeans(20, seed=0).fit(x).labels_
    masks = [rng.random(n) < share for share in (0.5, 0.1, 0.02, 0.005)] + [topics == t for t in range(3)]
    best = search(np.ones(n, bool), nlist).hits.positions
    exact = [search(mask, nlist).hits.positions for mask in masks]
    for nprobe in (4, 8):
        whole = search(np.ones(n, bool), nprobe)
        unfiltered = recall(whole.hits.positions, best)
        for mask, want in zip(masks, exact, strict=True):
            found = search(mask, nprobe)
            assert recall(found.hits.positions, want) >= unfiltered - 0.01
            np.testing.assert_array_equal(found.hits.positions[found.direct], want[found.direct])
            assert found.rows_scored.mean() <= 1.15 * whole.rows_scored.mean()
