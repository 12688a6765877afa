"""Compaction: fewer segments without the deleted rows, and every answer keeps its bits."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from stored_files import file_of

from cluscomp.errors import CorruptIndexError, UsageError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.segments.compacting import runs_to_merge
from cluscomp.indexes.segments.ids import IntIds, RangeIds, TextIds
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.progress import Ticker

CUTS = (0, 3, 40, 41, 150, 260, 261, 400, 590, 600)
DEAD = np.unique(np.r_[0:600:7, 3:40, 261:270])


@pytest.fixture
def in_parts(trained, rows):
    """in_parts(key, metric, ids=None) -> index of nine segments with deleted rows, one of them all deleted."""

    def make(key, metric="ip", ids=None):
        index = trained(key, metric)
        for start, stop in pairwise(CUTS):
            index.add(rows[start:stop], None if ids is None else ids[start:stop])
        index.delete(DEAD if ids is None else [ids[row] for row in DEAD])
        return index

    return make


def answers(index, queries):
    """Hits for several numbers of lists and candidates, as bytes."""
    nlist = index.spec.nlist
    efforts = [{"nprobe": min(n, nlist), "refine_factor": factor} for n in (2, 5, 8) for factor in (1, 4)]
    found = [index.search(queries, 5, **effort) for effort in efforts]
    return [(scores.tobytes(), ids.tolist()) for scores, ids in found]


def contents(index, folder):
    """The folder that the index saves: name -> bytes."""
    index.save(folder)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def arrays_of(segment):
    return {name: array.tobytes() for name, array in (segment.arrays() | segment.ids.arrays()).items()}


@pytest.mark.filterwarnings("ignore::cluscomp.errors.IncompleteResultsWarning")
def test_every_key_answers_the_same_bits(in_parts, queries, any_key):
    for metric in ("ip", "l2") if "MRL" not in any_key else ("ip",):
        index = in_parts(any_key, metric)
        before, n = answers(index, queries), len(index)
        some = index.compact(segments=4)
        assert len(index.segments) == some.segments_after == 4 and len(index) == some.rows == n
        assert answers(index, queries) == before
        report = index.compact(segments=1, dead=0)
        assert len(index.segments) == 1 and report.deleted == index.n_deleted == 0 and len(index) == n
        assert some.dropped + report.dropped == 600 - n
        assert answers(index, queries) == before


def test_what_is_left_is_what_adding_the_rows_leaves(in_parts, trained, rows, any_key):
    """Balanced lists aside, where rows keep the lists that they got: compare with the rows in their lists."""
    live = np.setdiff1d(np.arange(600), DEAD)
    index = in_parts(any_key)
    index.compact(segments=1, dead=0)
    once = trained(any_key).add(rows[live], live)
    if "BIVF" not in any_key:
        assert arrays_of(index.segments[0]) == arrays_of(once.segments[0])
    elif index.segments[0].refine is not None:
        assert index.segments[0].refine["codes"].tobytes() == once.segments[0].refine["codes"].tobytes()


@pytest.mark.parametrize("ids", [None, [f"döc {row}" for row in range(600)]], ids=["range", "text"])
def test_twice_is_once_for_every_key(in_parts, tmp_path, any_key, ids):
    index = in_parts(any_key, ids=ids)
    index.compact(segments=1, dead=0)
    once = contents(index, tmp_path / "once")
    opened = open_index(tmp_path / "once")
    assert opened.compact(segments=1, dead=0).rewritten == 0
    assert contents(opened, tmp_path / "twice") == once
    segment = opened.segments[0]
    assert arrays_of(
        type(segment).merged(opened.pipeline, [segment], Ticker(None, "compact", 0))
    ) == arrays_of(segment)


def test_a_folder_is_compacted_in_place_and_grows_on(in_parts, rows, queries, tmp_path):
    in_parts("IVF8,PQ4x4,RFlat").save(tmp_path / "i")
    index = open_index(tmp_path / "i", verify=True)
    before, size = answers(index, queries), index.nbytes()["total"]
    report = index.compact(segments=2, dead=0)
    index.save(tmp_path / "i")
    again = open_index(tmp_path / "i", verify=True)
    assert answers(again, queries) == before and again.nbytes()["total"] < size
    assert report.bytes_after < report.bytes_before
    assert report.bytes_after == sum(entry.bytes for entry in again.origin.manifest.files.values())
    again.add(rows[:1])
    assert again.ids[-1] == 600  # ids of deleted rows do not come back


def test_segments_that_stay_are_linked(in_parts, tmp_path):
    index = in_parts("Flat")
    index.save(tmp_path / "i")
    index = open_index(tmp_path / "i")
    before = index.segments
    report = index.compact(segments=9, dead=0.2)
    stayed = [segment for segment in index.segments if any(segment is old for old in before)]
    assert len(stayed) == report.segments_after - report.rewritten == 6
    assert all(segment.n_deleted <= 0.2 * segment.n_rows for segment in stayed)
    files = {path.stat().st_ino for path in (tmp_path / "i").iterdir()}
    index.save(tmp_path / "i")
    assert len({path.stat().st_ino for path in (tmp_path / "i").iterdir()} & files) >= len(stayed)


def test_ids_keep_their_form(trained, rows):
    def left(ids, dead):
        index = trained("Flat").add(rows[:4], ids[:4]).add(rows[4:9], ids[4:9])
        index.delete(dead)
        index.compact(segments=1)
        assert index.ids.tolist() == [name for name in ids if name not in dead]
        return index.segments[0].ids

    numbers, texts = list(range(5, 14)), ["a", "", "ß", "long text", "e", "f", "g", "h", "i"]
    whole = left(numbers, [])
    assert isinstance(whole, RangeIds) and (whole.start, whole.n) == (5, 9)
    assert isinstance(left(numbers, [5, 13]), RangeIds)
    assert isinstance(left(numbers, [8]), IntIds)
    assert isinstance(left(texts, ["", "i"]), TextIds)


def test_an_index_without_rows_left(in_parts, queries, rows, tmp_path):
    index = in_parts("IVF8,PQ4")
    index.delete(index.ids)
    report = index.compact(dead=1)
    assert index.segments == () and report.rows == 0 and report.dropped == 600 and report.lists is None
    index.save(tmp_path / "i")
    opened = open_index(tmp_path / "i", verify=True)
    assert opened.search(queries, 3, k_beyond="clip")[1].shape == (len(queries), 0)
    assert opened.add(rows[:2]).ids.tolist() == [600, 601]
    assert index_factory("Flat", 16).compact().segments_after == 0


def test_balanced_lists_keep_their_rows_and_the_report_says_by_how_much_they_exceed(trained, rows):
    index = trained("BIVF8(cap=1),SQ8").add(rows)
    segment = index.segments[0]
    largest = segment.positions[segment.offsets[2] : segment.offsets[3]]
    assert len(largest) == 75  # cap 1: 600 rows in 8 lists
    index.delete(np.setdiff1d(np.arange(600), largest)[::2])
    lists = index.compact(dead=0).lists
    offsets, positions = index.segments[0].offsets, index.segments[0].positions
    assert index.ids[positions[offsets[2] : offsets[3]]].tolist() == largest.tolist()
    n = len(index)
    assert lists.bound == -(-n // 8) and lists.exceeded_by == 75 - lists.bound > 0
    assert lists.max_over_mean == 75 * 8 / n
    described = index.describe()["lists"]
    assert (described["bound"], described["exceeded_by"]) == (lists.bound, lists.exceeded_by)
    sizes = np.diff(index.add(rows[:100], range(1000, 1100)).segments[1].offsets)
    assert sizes[2] == 0 and sizes.sum() == 100  # a list beyond its bound takes no row
    plain = trained("IVF8,Flat").add(rows).compact().lists
    assert plain.bound is None and plain.exceeded_by == 0 and plain.max_over_mean > 1


@dataclass(frozen=True)
class Counted(StoredSegment):
    """A segment that knows only how many rows it has; its class does not say how it is merged."""

    rows: int
    dead: int

    n_rows = property(lambda self: self.rows)
    n_deleted = property(lambda self: self.dead)


@pytest.mark.parametrize(
    ("live", "most", "runs"),
    [
        ([5, 5, 5], 3, [[0], [1], [2]]),
        ([100, 3, 4, 50], 3, [[0], [1, 2], [3]]),
        ([100, 3, 4, 50], 2, [[0], [1, 2, 3]]),
        ([1, 1, 1, 1], 3, [[0, 1], [2], [3]]),
        ([4, 0, 4, 9], 2, [[0, 2], [3]]),
        ([7, 0, 7], 2, [[0], [2]]),
        ([1, 2, 3], 1, [[0, 1, 2]]),
        ([0, 0], 1, []),
    ],
)
def test_the_smallest_neighbours_become_one(live, most, runs):
    assert runs_to_merge([Counted(n + 2, 2) for n in live], most) == runs


def test_a_kind_that_does_not_say_how_it_is_merged_is_refused():
    index = index_factory("Flat", 16)
    index._segments = (Counted(3, 0), Counted(3, 0))
    with pytest.raises(UsageError, match="Counted cannot be merged"):
        index.compact(segments=1)
    assert len(index.segments) == 2


@pytest.mark.parametrize(
    ("options", "name"), [({"segments": 0}, "segments"), ({"dead": 1.5}, "dead"), ({"dead": -1}, "dead")]
)
def test_wrong_limits(trained, options, name):
    with pytest.raises(UsageError, match=name):
        trained("Flat").compact(**options)


def test_damaged_folders_are_refused(in_parts, tmp_path):
    in_parts("IVF8,PQ4", ids=[f"r{row}" for row in range(600)]).save(tmp_path / "i")
    file = file_of(tmp_path / "i", "segment3.positions")
    whole = file.read_bytes()
    for last in (whole[-8:-4], np.int32(-1).tobytes(), np.int32(10**6).tobytes()):
        file.write_bytes(whole[:-4] + last)
        index = open_index(tmp_path / "i")
        with pytest.raises(CorruptIndexError, match="the index is damaged"):
            index.compact(segments=1)
        assert len(index.segments) == 8  # one had no row left
    file.write_bytes(whole)
    file = file_of(tmp_path / "i", "segment3.ids_offsets")
    file.write_bytes(file.read_bytes()[:-8] + np.int64(10**9).tobytes())
    with pytest.raises(CorruptIndexError, match="offsets of text ids"):
        open_index(tmp_path / "i").compact(segments=1)
