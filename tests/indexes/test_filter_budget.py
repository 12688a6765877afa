"""How much a search with a filter reads, as it tells of itself; and its recall on real vectors."""

from __future__ import annotations

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import IncompleteResultsWarning, UsageError

CENTRES = np.array([[0.0], [10.0], [20.0]], dtype=np.float32)
ROWS = np.array([[0.0], [1.0], [10.0], [11.0], [20.0], [21.0]], dtype=np.float32)


@pytest.fixture
def six():
    """Six rows in the lists {0, 1}, {2, 3} and {4, 5}, whose order is that of the query 0."""
    index = cc.index_factory("IVF3,Flat", 1, "l2")
    index.train(np.repeat(CENTRES, 20, axis=0))
    index.pipeline.partition.load({"centroids": CENTRES})
    return index.add(ROWS)


QUERY = np.zeros((1, 1), dtype=np.float32)


@pytest.mark.filterwarnings("ignore::cluscomp.errors.IncompleteResultsWarning")
@pytest.mark.parametrize(
    ("allowed", "nprobe", "path", "scored", "complete"),
    [
        (
            [1, 4, 5],
            1,
            "lists",
            3,
            True,
        ),  # 3 > 2: the list of 1 has 1, the next is passed over, the third has 2
        ([4, 5], 1, "direct", 2, True),
        ([0, 1, 2], 1, "lists", 2, False),  # the first list has 2 already: row 2 is never seen
        ([0, 2, 3, 4, 5], 1, "lists", 3, False),
        ([0, 1, 2, 3, 4, 5], 2, "lists", 4, False),
        ([0, 1, 2, 3, 4, 5], 3, "direct", 6, True),
        ([2], 1, "direct", 1, True),
        ([], 1, "empty", 0, True),
    ],
)
def test_six_rows_by_hand(six, allowed, nprobe, path, scored, complete):
    found = six.search(QUERY, 6, nprobe=nprobe, filter=allowed, return_info=True)
    info = found[2]
    assert (info.path[0], info.rows_scored[0], info.complete[0]) == (path, scored, complete)
    assert found[1][0, :scored].tolist() == sorted(allowed)[:scored]
    assert (found[1][0, scored:] == -1).all()


def test_a_limit_of_lists_is_told(six):
    with pytest.warns(IncompleteResultsWarning, match="1 of 1 queries"):
        found = six.search(QUERY, 3, nprobe=1, filter=[1, 4, 5], max_nprobe=2, return_info=True)
    assert found[1].tolist() == [[1, -1, -1]]
    assert not found[2].complete[0]
    assert found[2].probed[0] == 1
    with pytest.raises(UsageError, match="max_nprobe=1 is below nprobe=2"):
        six.search(QUERY, 3, nprobe=2, filter=[1, 4, 5], max_nprobe=1)


@pytest.mark.filterwarnings("ignore::cluscomp.errors.IncompleteResultsWarning")
def test_more_effort_and_narrower_filters_see_no_fewer_rows(trained, rows, queries):
    index = trained("IVF8,SQ8").add(rows)
    seen = []
    for nprobe in (1, 2, 4, 8):
        info = index.search(queries, 5, nprobe=nprobe, filter=np.arange(0, 600, 2), return_info=True)[2]
        seen.append(info.rows_scored)
    assert (np.diff(seen, axis=0) >= 0).all()
    for nprobe in (1, 2):
        wide = index.search(queries, 600, nprobe=nprobe, filter=np.arange(300))[1]
        narrow = index.search(queries, 600, nprobe=nprobe, filter=np.arange(0, 300, 3))[1]
        for a, b in zip(wide, narrow, strict=True):
            assert {i for i in a.tolist() if i >= 0 and i % 3 == 0} <= set(b.tolist())


def test_few_rows_are_read_where_few_pass():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200_000, 8), dtype=np.float32)
    index = cc.index_factory("IVF256,SQ8", 8).train(x[:20_000]).add(x)
    wanted = rng.choice(200_000, 100, replace=False)
    info = index.search(x[:20], 10, filter=wanted, return_info=True)[2]
    assert (info.rows_scored == 100).all() and info.complete.all()
    assert set(info.path.tolist()) == {"direct"}
    unfiltered = index.search(x[:20], 10, return_info=True)[2]
    assert (info.rows_scored < unfiltered.rows_scored / 100).all()


def topics(vectors, n):
    return cc.KMeans(n, metric="l2", n_iter=10, seed=1).fit(vectors).labels_


@pytest.mark.slow
@pytest.mark.parametrize(("name", "key"), [("scifact", "OPQ48,IVF64,PQ48"), ("npl", "IVF128,PQ48x4,RFlat")])
def test_recall_is_no_lower_than_without_a_filter(shared_data, name, key):
    """Acceptance of the row budget: random filters, and topics, which are far from most queries."""
    folder = shared_data / name / "minilm"
    vectors, queries = (np.load(folder / f"{part}.npy").astype(np.float32) for part in ("docs", "queries"))
    index = cc.index_factory(key, vectors.shape[1]).train(vectors).add(vectors)
    index.nprobe, nlist = 8, index.spec.nlist

    def recall(filter):
        exact = index.search(queries, 10, nprobe=nlist, filter=filter)[1]
        found = index.search(queries, 10, filter=filter)[1]
        return np.mean(
            [len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), exact.tolist(), strict=True)]
        )

    plain = recall(None)
    rng = np.random.default_rng(0)
    labels = topics(vectors, 20)
    filters = [np.flatnonzero(rng.random(len(vectors)) < share) for share in (0.5, 0.1, 0.02, 0.005)]
    filters += [np.flatnonzero(labels == topic) for topic in range(0, 20, 5)]
    for filter in filters:
        assert recall(filter) >= plain - 0.01
        info = index.search(queries, 10, filter=filter, return_info=True)[2]
        assert info.complete[info.path == "direct"].all()
