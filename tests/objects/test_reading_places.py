"""Indexes in object stores: what is fetched, what stays and what is removed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from object_bucket import X, bucket, in_the_last_moment, names
from object_doubles import PassingStore

import cluscomp as cc
from cluscomp.errors import (
    CorruptIndexError,
    IndexChangedError,
    IndexMissingError,
    UsageError,
)
from cluscomp.indexes.storage import object_commit, object_place
from cluscomp.indexes.storage.object_place import ObjectPlace
from cluscomp.objects.address import parse_address

pytest.importorskip("obstore")


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
