"""Indexes in object stores: who may commit, what is fetched, what is left and what is removed."""

from __future__ import annotations

import numpy as np
import pytest
from object_bucket import X, bucket, in_the_last_moment, names
from object_doubles import IgnoringStore, LosingStore, PassingStore

import cluscomp as cc
from cluscomp.errors import (
    IndexChangedError,
    IndexFolderError,
    OutputExistsError,
    UnsafeStoreError,
    UsageError,
)
from cluscomp.indexes.build import build_index
from cluscomp.objects.address import parse_address
from cluscomp.objects.proving import SINGLE_WRITER

pytest.importorskip("obstore")


def generation(address: str) -> int | None:
    return cc.open_index(address).generation


# ---- conditions ----


@pytest.mark.parametrize(
    ("ignores", "header"), [("create", "None-Match"), ("replace", "If-Match"), ("both", "None-Match")]
)
def test_a_store_that_ignores_conditions_is_refused(index, address, through, ignores, header) -> None:
    through(IgnoringStore(bucket(), ignores))
    with pytest.raises(
        UnsafeStoreError, match=rf"{address} cannot be written safely.*{header}.*{SINGLE_WRITER}=1"
    ):
        index.save(address)
    assert names(address) == set()


def test_a_single_writer_may_use_such_a_store(index, address, through, monkeypatch) -> None:
    through(IgnoringStore(bucket(), "both"))
    monkeypatch.setenv(SINGLE_WRITER, "1")
    index.save(address)
    assert len(cc.open_index(address)) == 300


def test_conditions_are_tried_once_and_leave_nothing(index, address, through) -> None:
    double = through(PassingStore(bucket()))
    index.save(address)
    index.add(X[:2])
    index.save(address)
    tried = [key for key in double.calls["put_if"] if ".probe-" in key]
    assert len(tried) == 4 and len(set(tried)) == 1
    assert not any(".probe-" in name for name in names(address))


# ---- two writers ----


def test_of_two_writers_the_later_is_refused(index, address) -> None:
    index.save(address)
    one, two = cc.open_index(address), cc.open_index(address)
    one.delete([1])
    two.delete([2])
    one.save(address)
    with pytest.raises(
        IndexChangedError, match=f"{address} was changed .* from generation 1, .* generation 2 now"
    ):
        two.save(address)
    two.save(address, merge=True)
    assert cc.open_index(address).ids.tolist() == [0, *range(3, 300)]


def test_equal_changes_of_two_writers_are_two_changes(index, address, monkeypatch) -> None:
    """Each manifest has a mark of its own: another writer's is never taken for ours."""
    index.save(address)
    one, two = cc.open_index(address), cc.open_index(address)
    one.add(X[:3])
    two.add(X[:3])
    monkeypatch.setattr("time.time", lambda: 1e9)
    one.save(address)
    with pytest.raises(IndexChangedError):
        two.save(address)
    assert len(cc.open_index(address)) == 303


def test_the_faster_writer_wins_also_in_the_last_moment(index, address, monkeypatch) -> None:
    index.save(address)
    other = cc.open_index(address)
    other.delete([7])
    index.delete([8])
    in_the_last_moment(monkeypatch, lambda: other.save(address))
    with pytest.raises(IndexChangedError, match="there is generation 2 now"):
        index.save(address)
    found = cc.open_index(address, verify=True)
    assert 8 in found.ids and 7 not in found.ids and cc.verify_index(address) == []


def test_of_two_new_indexes_one_is_there(index, address, monkeypatch) -> None:
    in_the_last_moment(monkeypatch, lambda: build_index(X[:50], index_key="Flat", output=address))
    with pytest.raises(OutputExistsError, match="exists already"):
        index.save(address)
    assert cc.open_index(address).key == "Flat"


# ---- lost answers ----


@pytest.mark.parametrize("lose", ["answer", "retried"])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_commit_whose_answer_is_lost_is_done(index, address, through, lose, is_new) -> None:
    if not is_new:
        index.save(address)
        index.delete([5])
    through(LosingStore(bucket(), lose))
    index.save(address)
    assert not index.has_changes and index.generation == generation(address) == (1 if is_new else 2)
    index.delete([6])
    index.save(address)
    assert 6 not in cc.open_index(address).ids


def test_a_commit_whose_request_is_lost_is_not_done(index, address, through) -> None:
    index.save(address)
    index.delete([5])
    through(LosingStore(bucket(), "request"))
    with pytest.raises(
        IndexFolderError, match="did not take the new state .*connection reset.*nothing has changed"
    ):
        index.save(address)
    through(bucket())
    assert index.generation == generation(address) == 1 and index.has_changes
    index.save(address)
    assert generation(address) == 2


def test_another_writer_behind_a_lost_request(index, address, through) -> None:
    index.save(address)
    other = cc.open_index(address)
    other.delete([9])
    index.delete([5])
    double = through(LosingStore(bucket(), "request"))

    def meanwhile() -> None:
        through(bucket())
        other.save(address)

    double.meanwhile = meanwhile
    with pytest.raises(IndexChangedError):
        index.save(address)


# ---- builds, merges, conversions ----


def test_a_build_replaces_as_the_next_generation(address) -> None:
    first = build_index(X, index_key="SQ8", output=address)
    assert first.output == address and first.index_bytes > 300 * 8
    with pytest.raises(OutputExistsError):
        build_index(X, index_key="Flat", output=address)
    reader = cc.open_index(address)
    build_index(X[:100], index_key="Flat", output=address, if_exists="replace")
    found = cc.open_index(address)
    assert (found.key, found.generation, len(found)) == ("Flat", 2, 100)
    assert found.extra_files == ("build.json", "report.json")
    assert len(reader.search(X[:2], 3)[1]) == 2 and len(cc.open_index(address, generation=1)) == 300
    again = build_index(X[:100], index_key="Flat", output=address, if_exists="resume")
    assert again.stages == () and again.n == 100


def test_merge_convert_and_save_elsewhere(index, address, tmp_path) -> None:
    index.save(f"{address}-a")
    other = cc.open_index(f"{address}-a")
    other.delete(other.ids)
    other.add(X[:20], np.arange(1000, 1020))
    other.save(f"{address}-b")
    cc.merge_indexes([f"{address}-a", f"{address}-b"], address)
    assert len(cc.open_index(address)) == 320
    report = cc.convert_index(address, f"{address}-flat", index_key="Flat")
    assert report.rows == 320 and len(cc.open_index(f"{address}-flat")) == 320
    cc.open_index(address).save(tmp_path / "local")
    assert cc.verify_index(tmp_path / "local") == []
    with pytest.raises(UsageError, match="written to this machine"):
        cc.convert_index(address, f"{address}-faiss", to="npy")


def test_other_objects_are_not_taken_for_an_index(index, address) -> None:
    bucket().put(f"{parse_address(address).key}/thesis.txt", b"years of work")
    with pytest.raises(OutputExistsError, match="holds other objects, such as 'thesis.txt'"):
        index.save(address)
    bucket().put(f"{parse_address(address).key}/manifest.json", b"{}")
    with pytest.raises(OutputExistsError, match="is not an index of cluscomp"):
        index.save(address, if_exists="replace")
