"""Many segments are searched as one: same bits, the same calls of the kernels, lists side by side in memory."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluscomp import native
from cluscomp.errors import CorruptIndexError
from cluscomp.indexes import Index, index_factory
from cluscomp.indexes.segments import gathering
from cluscomp.indexes.segments.segment import Segment
from cluscomp.progress import Ticker

N, DIM = 400, 8
KEYS = (
    "Flat",
    "SQ8",
    "PQ4x4",
    "IVF8,Flat",
    "IVF8,SQ8",
    "IVF8,PQ4",
    "IVF8,PQ4x4,RFlat",
    "OPQ4,IVF8,PQ4x4",
    "RR,IVF8,RaBitQ2",
)
LISTS = ("IVF8,Flat", "IVF8,SQ8", "IVF8,PQ4", "IVF8,PQ4x6", "IVF8,PQ4x4", "IVF8,SQ4", "RR,IVF8,RaBitQ3")


@pytest.fixture(scope="module")
def many() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(N, DIM)).astype("f4")


@pytest.fixture(scope="module")
def asked() -> np.ndarray:
    return np.random.default_rng(4).normal(size=(5, DIM)).astype("f4")


@pytest.fixture(scope="module")
def whole(many) -> dict[tuple[str, str], Index]:
    return {
        (key, metric): index_factory(key, DIM, metric).train(many).add(many)
        for key in KEYS
        for metric in ("ip", "l2")
    }


def cut(index: Index, rows: np.ndarray, bounds: list[int]) -> Index:
    """The rows of the index, added in parts."""
    made = index_factory(index.key, DIM, index.metric)
    made.pipeline = index.pipeline
    for start, stop in itertools.pairwise([0, *bounds, len(rows)]):
        made.add(rows[start:stop])
    return made


def require_same(got, want) -> None:
    for found, expected in zip(got, want, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.filterwarnings("ignore::cluscomp.errors.IncompleteResultsWarning")
@settings(max_examples=60, deadline=None)
@given(
    key=st.sampled_from(KEYS),
    metric=st.sampled_from(["ip", "l2"]),
    bounds=st.lists(st.integers(1, N - 1), unique=True, max_size=60).map(sorted),
    deleted=st.lists(st.integers(0, N - 1), unique=True, max_size=80),
    k=st.integers(1, 40),
    nprobe=st.integers(1, 8),
)
def test_any_cut_into_segments_finds_the_same(whole, many, asked, key, metric, bounds, deleted, k, nprobe):
    one = cut(whole[key, metric], many, [])
    parts = cut(whole[key, metric], many, bounds)
    for index in (one, parts):
        index.delete(deleted)
    for queries in (asked[:1], asked, asked, asked):  # where they stand, and then side by side
        require_same(parts.search(queries, k, nprobe=nprobe), one.search(queries, k, nprobe=nprobe))


@pytest.mark.parametrize("key", KEYS)
def test_ties_of_many_segments_go_by_position(whole, many, key):
    index = cut(whole[key, "ip"], np.tile(many[:1], (60, 1)), list(range(1, 60)))
    index.delete([0, 7])
    for _ in range(3):
        scores, ids = index.search(many[:2], 5, nprobe=8)
        np.testing.assert_array_equal(ids, [[1, 2, 3, 4, 5]] * 2)
        assert (scores == scores[:, :1]).all()


def test_text_ids_of_many_segments(whole, many, asked):
    parts = index_factory("Flat", DIM)
    for start in range(0, N, 10):
        parts.add(many[start : start + 10], ids=[f"row {i}" for i in range(start, start + 10)])
    ids = whole["Flat", "ip"].search(asked, 9)[1]
    np.testing.assert_array_equal(parts.search(asked, 9)[1], np.char.add("row ", ids.astype(str)))


def test_integer_ids_of_many_segments(whole, many, asked):
    names = np.random.default_rng(0).permutation(N).astype("i8") - N // 2
    names[names >= -1] += 1  # -1 is no id
    parts = index_factory("Flat", DIM)
    for start in range(0, N, 10):
        parts.add(many[start : start + 10], ids=names[start : start + 10])
    np.testing.assert_array_equal(parts.search(asked, 9)[1], names[whole["Flat", "ip"].search(asked, 9)[1]])


# ---- how often the kernels are called --------------------------------------------------------------


class CountedSearch:
    """native.Search that counts its calls, and how many queries each has."""

    def __init__(self, log: list[int], *made) -> None:
        self._log, self._search = log, native._core.Search(*made)

    def run(self, queries, *rest):
        self._log.append(len(queries))
        return self._search.run(queries, *rest)


@pytest.mark.parametrize("key", KEYS)
def test_calls_of_the_kernels_do_not_grow_with_the_segments(monkeypatch, whole, many, asked, key):
    log: list[int] = []
    monkeypatch.setattr(native, "Search", lambda *made: CountedSearch(log, *made))
    for bounds in ([], [200], list(range(4, N, 4))):
        index = cut(whole[key, "ip"], many, bounds)
        index.delete([0, 1, 399])
        log.clear()
        for queries in (asked[:1], asked):
            index.search(queries, 3)
        assert log == [1, len(asked)]


# ---- lists side by side in memory ------------------------------------------------------------------


def step_of(index: Index) -> int:
    return index._together.found("lists")[0]


def views_of(index: Index) -> list:
    coarse = index.pipeline.partition.centroids if index.pipeline.uses_residuals else None
    return [segment.list_view(coarse) for segment in index.segments]


@pytest.mark.parametrize("key", LISTS)
def test_lists_side_by_side_are_those_of_a_compacted_segment(many, key):
    index = index_factory(key, DIM).train(many)
    for part in np.split(many, [1, 2, 40, 41, 300]):
        index.add(part)
    view = gathering.gathered_view(index.pipeline.codec, views_of(index))
    want = Segment.merged(index.pipeline, index.segments, Ticker(None, "", N))
    np.testing.assert_array_equal(view.offsets, want.offsets)
    np.testing.assert_array_equal(view.positions, want.positions)
    assert view.codes.keys() == want.codes.keys()
    for name, codes in want.codes.items():
        np.testing.assert_array_equal(view.codes[name], codes)


def test_runs():
    runs = gathering.runs_to_gather
    assert runs([], 10, 4) == []
    assert runs([5], 10, 4) == [(0, 1)]
    assert runs([1, 1, 1], 10, 4) == [(0, 3)]
    assert runs([10, 1, 1], 10, 4) == [(0, 1), (1, 3)]  # a segment of 10 rows stays where it is
    assert runs([1, 1, 12, 1], 10, 4) == [(0, 2), (2, 3), (3, 4)]
    assert runs([9, 1], 10, 4) == [(0, 1), (1, 2)]  # 9 rows are not moved for 1
    assert runs([9, 1], 10, 9) == [(0, 2)]
    assert runs([9, 1, 1, 1], 10, 4) == [(0, 4)]
    assert runs([8, 8, 8], 10, 4) == [(0, 2), (2, 3)]  # the first two are enough


@pytest.mark.parametrize("n", [17, 300, 4096])
def test_runs_are_few_and_cover_everything(n):
    rows = [1] * n
    found = gathering.runs_to_gather(rows, 10**9, 4)
    assert [start for start, _ in found] == [0, *[stop for _, stop in found[:-1]]]
    assert found[-1][1] == n
    assert len(found) <= 2 + np.log(n) / np.log(4)


def test_one_search_of_a_part_of_the_lists_copies_nothing(whole, many, asked):
    index = cut(whole["IVF8,SQ8", "ip"], many, [100, 200, 300])
    for _ in range(7):
        index.search(asked[0], 3, nprobe=1)
        assert step_of(index) == 0
    index.search(asked[0], 3, nprobe=1)
    assert len(index._together.found("lists")[1].views) == 1
    flat = cut(whole["SQ8", "ip"], many, [100, 200, 300])
    flat.search(asked, 3)
    assert len(flat._together.found("lists")[1].views) == 4  # one list: nothing would be gained


def test_groups_outlive_deletions_and_additions(whole, many, asked):
    index = cut(whole["IVF8,PQ4x4,RFlat", "ip"], many[:300], list(range(10, 300, 10)))
    index.search(asked, 3, nprobe=8)
    before = index._together.found("lists")[1]
    index.delete([5, 17, 290])
    index.search(asked, 3, nprobe=8)
    after = index._together.found("lists")[1]
    assert len(before.views) == len(after.views)
    assert all(a.codes is b.codes for a, b in zip(before.views, after.views, strict=True))
    index.add(many[300:301])
    index.search(asked[0], 3, nprobe=1)
    added = index._together.found("lists")[1]
    assert [view.offsets[-1] for view in added.views] == [*(view.offsets[-1] for view in before.views), 1]
    assert all(a.codes is b.codes for a, b in zip(before.views, added.views, strict=False))


def test_segments_that_stay_for_long_become_one(whole, many, asked):
    index = cut(whole["IVF8,SQ8", "ip"], many, [200, 300, 399])
    want = whole["IVF8,SQ8", "ip"].search(asked, 9)
    sizes = []
    for _ in range(14):
        require_same(index.search(asked, 9, nprobe=8), want)
        sizes.append([int(view.offsets[-1]) for view in index._together.found("lists")[1].views])
    assert sizes == [[399, 1]] * 13 + [[400]]


def test_rows_that_were_put_together_stay_so(whole, many, asked):
    """However often deletions and filters begin anew, what is one is not copied again."""
    index = cut(whole["IVF8,SQ8", "ip"], many[:390], [340])
    for _ in range(14):
        index.search(asked, 3, nprobe=8)
    (one,) = index._together.found("lists")[1].views
    for number in range(5):
        index.delete([number])
        index.search(asked, 3, nprobe=8, filter=[7, 8, 9])
        index.search(asked, 3, nprobe=8)
        assert [view.codes is one.codes for view in index._together.found("lists")[1].views] == [True]
    index.add(many[390:])
    index.search(asked, 3, nprobe=8)
    assert [view.codes is one.codes for view in index._together.found("lists")[1].views] == [True, False]


def test_threads_may_search_while_segments_are_put_together(whole, many, asked):
    want = whole["IVF8,PQ4x4,RFlat", "ip"].search(asked, 9)
    index = cut(whole["IVF8,PQ4x4,RFlat", "ip"], many, list(range(20, N, 20)))
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: index.search(asked, 9, nprobe=8), range(60)):
            require_same(found, want)


def test_memory_of_the_copies_is_bounded(monkeypatch, whole, many, asked):
    monkeypatch.setattr(gathering, "GATHERED_BYTES", 99 * (DIM + 4))
    index = cut(whole["IVF8,SQ8", "ip"], many, [100, 200, 300, 310, 320])
    index.search(asked, 3, nprobe=8)
    assert [int(view.offsets[-1]) for view in index._together.found("lists")[1].views] == [
        100,
        100,
        100,
        20,
        80,
    ]


def test_wrong_positions_are_found_before_they_count_from_elsewhere(whole, many, asked):
    index = cut(whole["IVF8,SQ8", "ip"], many, [200])
    index.segments[0].positions[3] = -1
    with pytest.raises(CorruptIndexError, match="damaged"):
        index.search(asked, 3, nprobe=8)
