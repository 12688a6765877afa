"""Indexes in object stores: who may commit, what is fetched, what is left and what is removed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from object_bucket import bucket, fresh
from object_doubles import IgnoringStore, LosingStore, PassingStore

import cluscomp as cc
from cluscomp.errors import (
    CorruptIndexError,
    IndexChangedError,
    IndexFolderError,
    IndexMissingError,
    OutputExistsError,
    UnsafeStoreError,
    UsageError,
)
from cluscomp.indexes.build import build_index
from cluscomp.indexes.storage import object_commit, object_place
from cluscomp.indexes.storage.object_place import ObjectPlace
from cluscomp.objects.address import parse_address
from cluscomp.objects.proving import SINGLE_WRITER

pytest.importorskip("obstore")
X = np.random.default_rng(3).standard_normal((300, 8)).astype(np.float32)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(SINGLE_WRITER, raising=False)


@pytest.fixture
def address() -> str:
    return fresh("my.index")


@pytest.fixture
def index() -> Any:
    return cc.index_factory("IVF4,SQ8", 8, "l2").train(X).add(X)


@pytest.fixture
def through(monkeypatch):
    """Let all places use a double of the store."""

    def use(double: Any) -> Any:
        monkeypatch.setattr(object_place, "store_of", lambda address: double)
        return double

    return use


def names(address: str) -> set[str]:
    key = parse_address(address).key
    return {found.key[len(key) + 1 :] for found in bucket().listed(key)}


def in_the_last_moment(monkeypatch: Any, work: Any) -> None:
    """Do something when the next commit has put its files, and not its manifest."""
    put_files = object_commit.ObjectCommit._put_files

    def slow(commit: Any, *arguments: Any) -> None:
        put_files(commit, *arguments)
        monkeypatch.setattr(object_commit.ObjectCommit, "_put_files", put_files)
        work()

    monkeypatch.setattr(object_commit.ObjectCommit, "_put_files", slow)


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


# ---- reading ----


def test_each_file_is_fetched_once_and_shared_by_states(
    index, address, through, tmp_path, monkeypatch
) -> None:
    index.save(address)
    double = through(PassingStore(bucket()))
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "other machine"))
    found = cc.open_index(address)
    assert len(double.calls["download"]) == len(names(address)) - 1
    cc.open_index(address)
    before = len(double.calls["download"])
    with monkeypatch.context() as writer:
        writer.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
        index.delete([4])
        index.save(address)
    assert found.refresh() and 4 not in found.ids
    assert [key.rpartition(".del")[2] for key in double.calls["download"][before:]] == ["2.npy"]
    for got, wanted in zip(found.search(X[:9], 5), index.search(X[:9], 5), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_an_altered_object_is_refused_and_named(index, address, tmp_path, monkeypatch) -> None:
    index.save(address)
    name = next(name for name in names(address) if name.endswith(".codes.npy"))
    key = f"{parse_address(address).key}/{name}"
    whole = bucket().read(key)[0]
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "other machine"))
    bucket().put(key, whole[:-1] + b"\0")
    with pytest.raises(CorruptIndexError, match=rf"{name} has \d+ bytes with checksum"):
        cc.open_index(address)
    (fault,) = cc.verify_index(address, "sums")
    assert fault.file in name and "checksum" in fault.message
    bucket().delete([key])
    with pytest.raises(CorruptIndexError, match="is missing, but the manifest lists it"):
        cc.open_index(address)
    (fault,) = cc.verify_index(address, "quick")
    assert "is missing" in fault.message


def test_a_state_that_goes_while_it_is_fetched(index, address, through, tmp_path, monkeypatch) -> None:
    index.save(address)
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "reader"))

    class Slow(PassingStore):
        def download(self, key: str, file: Any) -> None:
            if "replaced" not in self.calls:
                self.calls["replaced"] = []
                through(bucket())
                index.delete(index.ids[:10])
                index.compact(segments=1, dead=0)
                index.save(address, grace=0)
                index.nprobe = 2
                index.save(address, grace=0)
            super().download(key, file)

    monkeypatch.setattr(object_place, "_AT_ONCE", 1)
    through(Slow(bucket()))
    assert len(cc.open_index(address)) == 290


def test_a_folder_that_other_tools_copied_is_an_index(index, address, tmp_path) -> None:
    index.save(tmp_path / "local")
    for file in (tmp_path / "local").iterdir():
        if file.name != ".lock":
            bucket().put(f"{parse_address(address).key}/{file.name}", file.read_bytes())
    copied = cc.open_index(address)
    copied.delete([0])
    copied.save(address, grace=0)
    copied.delete([1])
    copied.save(address, grace=0)
    assert cc.open_index(address, verify=True).ids.tolist() == list(range(2, 300))
    assert cc.verify_index(address) == []


def test_nothing_is_there(address) -> None:
    with pytest.raises(IndexMissingError, match=f"there is no index at {address}"):
        cc.open_index(address)
    for wrong in ("s3://", "s3://b/../c", "memory:///x"):
        with pytest.raises(UsageError, match="SCHEME://BUCKET/FOLDER"):
            cc.open_index(wrong)


def test_file_addresses_are_paths(index, tmp_path) -> None:
    index.save(f"file://{tmp_path}/an%20index")
    assert len(cc.open_index(tmp_path / "an index")) == 300


# ---- what is removed ----


def test_what_refused_writers_left_is_removed_when_it_is_old(index, address, monkeypatch) -> None:
    index.save(address)
    one, two = cc.open_index(address), cc.open_index(address)
    one.delete([1])
    two.add(X[:5])
    in_the_last_moment(monkeypatch, lambda: one.save(address))
    with pytest.raises(IndexChangedError):
        two.save(address)
    orphans = names(address) - listed(address)
    assert orphans and all(name.endswith(".npy") for name in orphans)
    bucket().put(f"{parse_address(address).key}/notes.txt", b"not ours")
    one.delete([2])
    one.save(address, grace=0)
    assert orphans <= names(address)
    now = object_commit.time.time()
    monkeypatch.setattr("time.time", lambda: now + 2 * 86_400)
    one.delete([3])
    one.save(address, grace=0)
    assert names(address) == listed(address) | {"notes.txt"}
    assert cc.verify_index(address) == []


def listed(address: str) -> set[str]:
    """Names of all objects that the newest state, or one before it, has."""
    manifest = cc.open_index(address).origin.manifest
    entries = manifest.files | manifest.extra_files
    found = {f"{entry.sha256[:16]}.{name}" for name, entry in entries.items()}
    return found | {entry.file for entry in manifest.retired} | {"manifest.json"}


def test_retired_objects_stay_for_a_day(index, address, monkeypatch) -> None:
    index.save(address)
    index.delete([0])
    index.compact(segments=1, dead=0)
    index.save(address)
    before = names(address)
    index.nprobe = 2
    index.save(address)
    assert before < names(address)
    now = object_commit.time.time()
    monkeypatch.setattr("time.time", lambda: now + 86_401)
    index.nprobe = 3
    index.save(address)
    assert len(names(address)) < len(before) and names(address) == listed(address)


def test_the_cache_forgets_states_that_nobody_opens(index, address, tmp_path, monkeypatch) -> None:
    index.save(address)
    index.delete([0])
    index.compact(segments=1, dead=0)
    index.save(address)
    states = list((tmp_path / "cache/objects/indexes").glob("*/*"))
    assert len(states) == 2
    now = object_commit.time.time()
    monkeypatch.setattr("time.time", lambda: now + 3 * 86_400)
    blobs = len(list((tmp_path / "cache/objects/files").iterdir()))
    assert len(cc.open_index(address)) == 299
    (state,) = (tmp_path / "cache/objects/indexes").glob("*/*")
    assert len(list((tmp_path / "cache/objects/files").iterdir())) == len(list(state.iterdir())) - 1 < blobs
    ObjectPlace(parse_address(address)).tidy(tmp_path)
    assert not state.exists() and list((tmp_path / "cache/objects/files").iterdir()) == []
    assert len(cc.open_index(address)) == 299  # fetched anew


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
