"""How rows are cut into segments changes no bit of a result: ids, scores and order, for every key."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cluscomp.indexes import Index
from cluscomp.indexes.segments.ids import make_ids
from cluscomp.indexes.segments.segment import list_offsets
from cluscomp.indexes.stages.code_layout import arrange_codes, plain_codes
from cluscomp.indexes.stages.codec import CODES
from cluscomp.indexes.stages.prescreen import build_prescreen

SEGMENTS = (4, 9)
DELETED = [0, 1, 2, 3, 50, 51, 299, 300, 301, 598, 599]
SETTINGS: dict[str, dict[str, int]] = {
    "defaults": {"k": 10},
    "one hit": {"k": 1, "nprobe": 1},
    "few lists": {"k": 40, "nprobe": 3, "refine_factor": 1},
    "few candidates of the rerank": {"k": 7, "nprobe": 8, "refine_factor": 2},
    "nearly all": {"k": 580, "nprobe": 8, "refine_factor": 1},
}


def cut_into(index: Index, n: int) -> Index:
    """The rows of the one segment of the index, as they are encoded, in n segments of unequal sizes."""
    (whole,) = index.segments
    codec, metric = index.pipeline.codec, index.pipeline.score_metric
    plain = plain_codes(codec, whole.codes, whole.offsets)
    places = np.arange(whole.n_rows) if whole.positions is None else whole.positions
    lists = np.repeat(np.arange(index.spec.nlist), np.diff(whole.offsets))
    bounds = (np.linspace(0, 1, n + 1) ** 1.5 * whole.n_rows).astype(int)
    parts = []
    for a, b in itertools.pairwise(bounds):
        kept = np.flatnonzero((places >= a) & (places < b))
        codes = {name: np.ascontiguousarray(array[kept]) for name, array in plain.items()}
        offsets = list_offsets(np.bincount(lists[kept], minlength=index.spec.nlist))
        arrange_codes(codec, codes, offsets)
        parts.append(
            replace(
                whole,
                codes=codes,
                offsets=offsets,
                positions=None if whole.positions is None else (places[kept] - a).astype("i4"),
                refine=None if whole.refine is None else {k: v[a:b] for k, v in whole.refine.items()},
                ids=make_ids(whole.ids.take(np.arange(a, b)), b - a),
                prescreen=None if whole.prescreen is None else build_prescreen(codes[CODES], metric),
            )
        )
    index._segments = tuple(parts)
    return index


def answers(index: Index, queries: np.ndarray) -> dict[str, Any]:
    return {name: index.search(queries, **settings) for name, settings in SETTINGS.items()}


def before_and_after_deletion(index: Index, queries: np.ndarray) -> list[dict[str, Any]]:
    before = answers(index, queries)
    assert index.delete(DELETED) == len(DELETED)
    return [before, answers(index, queries)]


def require_same(got: list[dict[str, Any]], want: list[dict[str, Any]]) -> None:
    for found, expected in zip(got, want, strict=True):
        for name in SETTINGS:
            for part, wanted in zip(found[name], expected[name], strict=True):
                np.testing.assert_array_equal(part, wanted, err_msg=name)


@pytest.mark.filterwarnings("ignore::cluscomp.errors.IncompleteResultsWarning")
@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_segments_of_the_same_codes_answer_as_one(make_index, queries, any_key, metric) -> None:
    want = before_and_after_deletion(make_index(any_key, metric), queries)
    for n in SEGMENTS:
        index = cut_into(make_index(any_key, metric), n)
        assert len(index.segments) == n
        require_same(before_and_after_deletion(index, queries), want)


@pytest.mark.filterwarnings("ignore::cluscomp.errors.IncompleteResultsWarning")
def test_rows_added_in_parts_answer_as_one(trained, rows, queries, any_key) -> None:
    if "BIVF" in any_key:
        pytest.skip("where a row goes depends on how full its lists were")
    want = before_and_after_deletion(trained(any_key).add(rows), queries)
    for n in SEGMENTS:
        index = trained(any_key)
        for part in np.array_split(rows, n):
            index.add(part)
        require_same(before_and_after_deletion(index, queries), want)


@pytest.mark.filterwarnings("ignore::cluscomp.errors.IncompleteResultsWarning")
def test_equal_rows_of_several_segments_are_ordered_by_position(trained, rows, queries, any_key) -> None:
    index = trained(any_key)
    for _ in range(4):
        index.add(rows[:150])
    for settings in SETTINGS.values():
        scores, ids = index.search(queries, **settings)
        found = np.where(ids < 0, np.iinfo(np.int64).max, ids)
        order = np.lexsort((found, -scores), axis=1)
        np.testing.assert_array_equal(order, np.broadcast_to(np.arange(ids.shape[1]), ids.shape))
