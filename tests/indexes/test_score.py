"""Scores of rows by id: those of a search, bit for bit, for every key; sets of each query; wrong ids."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import native
from cluscomp.errors import (
    CorruptIndexError,
    DimensionError,
    DTypeError,
    DuplicateIdError,
    InputError,
    UnknownKeyError,
)


def table_of(scores, ids, names):
    """Scores (nq, len(names)) of a search by id."""
    return np.array(
        [
            [dict(zip(found, values, strict=True))[name] for name in names]
            for found, values in zip(ids.tolist(), scores.tolist(), strict=True)
        ],
        dtype=np.float32,
    )


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
def test_scores_are_those_of_a_search_of_all_lists(any_key, metric, trained, rows, queries, threads):
    if "learned" in any_key and metric == "l2":
        pytest.skip("the codec was trained for inner products")
    index = trained(any_key, metric).add(rows[:150]).add(rows[150:157]).add(rows[157:])
    index.delete(np.arange(3, 600, 7))
    everything = {"nprobe": index.spec.nlist, "refine_factor": len(rows)}
    found = index.search(queries, len(index), **everything)
    rng = np.random.default_rng(1)
    some = rng.permutation(index.ids)[:80]
    want = table_of(*found, some.tolist())
    for count in (1, 3):
        native.set_num_threads(count)
        np.testing.assert_array_equal(index.score(queries, some), want)
    np.testing.assert_array_equal(index.score(queries[0], some), want[:1])
    sets = np.array([rng.permutation(80)[:11] for _ in queries])
    np.testing.assert_array_equal(index.score(queries, some[sets]), np.take_along_axis(want, sets, axis=1))
    everyone = index.ids
    np.testing.assert_array_equal(index.score(queries, everyone), table_of(*found, everyone.tolist()))


@pytest.mark.parametrize("key", ["PQ4x4,RFlat", "IVF8,PQ4x4,Refine(SQ8)", "IVF8,PQ4,Refine(SQfp16)"])
def test_scores_by_the_codes_before_the_rerank(key, trained, rows, queries):
    """Those of the key without the rerank, not the rounded ones that choose its candidates."""
    with_rerank, without = trained(key), trained(key.rsplit(",", 1)[0])
    for name, stage in without.pipeline.stages().items():
        stage.load(with_rerank.pipeline.stages()[name].parameters())
    ids = np.arange(0, 600, 5)
    with_rerank.add(rows)
    without.add(rows)
    got = with_rerank.score(queries, ids, finer=False)
    np.testing.assert_array_equal(got, without.score(queries, ids))
    assert not np.array_equal(got, with_rerank.score(queries, ids))


def test_text_ids_of_each_query_in_every_form(trained, rows, queries):
    index = trained("IVF8,PQ4").add(rows, [f"d{i}" for i in range(600)])
    names = [["d5", "d1"], ["d7", "d5"]]
    want = index.score(queries[:2], ["d1", "d5", "d7"])[[[0], [1]], [[1, 0], [2, 1]]]
    for form in (
        names,
        np.array(names),
        np.array(names, dtype=object),
        [tuple(row) for row in names],
        tuple(names),
    ):
        np.testing.assert_array_equal(index.score(queries[:2], form), want)


def test_missing_ids_score_minus_infinity_or_fail(trained, rows, queries):
    index = trained("IVF8,PQ4").add(rows)
    index.delete([4])
    got = index.score(queries, [2, 4, 10_000], missing="ignore")
    np.testing.assert_array_equal(got[:, 0], index.score(queries, [2])[:, 0])
    assert np.isneginf(got[:, 1:]).all()
    with pytest.raises(
        InputError, match=r"id 4 is not in the index \(2 of 3 ids are not\).*missing='ignore'"
    ):
        index.score(queries, [2, 4, 10_000])
    with pytest.raises(UnknownKeyError, match="missing"):
        index.score(queries, [2], missing="skip")


def test_empty_sets_and_indexes(trained, rows, queries):
    index = trained("IVF8,PQ4x4")
    assert index.score(queries, []).shape == (9, 0)
    assert np.isneginf(index.score(queries, [1, 2], missing="ignore")).all()
    index.add(rows)
    assert index.score(queries, []).shape == index.score(queries, [[]] * 9).shape == (9, 0)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([1, 1], DuplicateIdError, "id 1 occurs twice among the ids of a query"),
        ([[1, 1]] * 9, DuplicateIdError, "id 1 occurs twice"),
        ([[1, 2]] * 8, DimensionError, "9 queries, but ids of 8"),
        ([[1, 2]] * 8 + [[1]], DimensionError, "1 to 2 ids"),
        (["d1"], DTypeError, "str"),
        ([{}], DTypeError, "integers or texts"),
        (3, DTypeError, "single value"),
        (np.zeros((2, 2, 2), int), DimensionError, "shape"),
        ([0.5], DTypeError, "integers"),
        ([2**80], InputError, "64 bits"),
    ],
    ids=str,
)
def test_wrong_ids(trained, rows, queries, ids, error, message):
    index = trained("IVF8,PQ4").add(rows)
    with pytest.raises(error, match=message):
        index.score(queries, ids)


def test_damaged_lists_are_told(trained, rows, queries):
    for value in (7, 600, -1):
        index = trained("IVF8,SQ8").add(rows)
        index.segments[0].positions[3] = value
        index.segments[0].positions[4] = 7
        with pytest.raises(CorruptIndexError, match="once"):
            index.score(queries, [1])


def test_a_lookup_is_shared_by_segments_that_differ_in_deletions(trained, rows, queries):
    index = trained("IVF8,SQ8").add(rows)
    want = index.score(queries, [9])
    lookup = index.segments[0].lookup
    index.delete([4])
    assert index.segments[0].lookup is lookup
    np.testing.assert_array_equal(index.score(queries, [9]), want)
