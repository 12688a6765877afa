"""What a commit retires, when it goes, and what becomes of folders of older formats."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from stored_files import contents, manifest_of, what_of

from cluscomp.errors import (
    UsageError,
)
from cluscomp.indexes import open_index
from cluscomp.indexes.verify import verify_index

FORMAT_2 = Path(__file__).with_name("format2")


def listed(folder: Path) -> set[str]:
    manifest = manifest_of(folder)
    return {"manifest.json", ".lock", *manifest["files"], *manifest["extra_files"]}


def later(folder: Path, seconds: int) -> None:
    """Let that much time have passed since files were retired."""
    manifest = manifest_of(folder)
    for entry in manifest["retired"]:
        entry["time"] -= seconds
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.fixture
def saved(make_index, tmp_path) -> Path:
    make_index("IVF8,PQ4").save(tmp_path / "index")
    return tmp_path / "index"


# ---- what a commit retires ----


def test_files_are_retired_and_go_after_the_grace(saved, rows) -> None:
    index = open_index(saved)
    index.delete([3])
    index.save(saved)
    index.delete([4])
    index.save(saved)
    manifest = manifest_of(saved)
    assert [(entry["file"], entry["generation"]) for entry in manifest["retired"]] == [
        ("manifest.1.json", 1),
        ("manifest.2.json", 2),
        (manifest["segments"][0]["name"] + ".del2.npy", 2),
    ]
    assert all(abs(entry["time"] - time.time()) < 100 for entry in manifest["retired"])
    assert json.loads((saved / "manifest.1.json").read_text())["generation"] == 1
    later(saved, 601)
    index = open_index(saved)
    index.compact(segments=1, dead=0)
    index.save(saved)
    assert set(contents(saved)) == listed(saved) - {".lock"} | {
        entry["file"] for entry in manifest_of(saved)["retired"]
    }
    assert {entry["generation"] for entry in manifest_of(saved)["retired"]} == {3}
    later(saved, 601)
    open_index(saved).save(saved)  # nothing else is new: only what is over goes
    assert set(contents(saved)) | {".lock"} == listed(saved) | {"manifest.4.json"}
    assert len(open_index(saved, verify=True)) == 598


def test_grace_is_what_the_caller_says(saved, rows) -> None:
    index = open_index(saved)
    for row in range(3):
        index.delete([row])
        later(saved, 30)
        index = open_index(saved)
        index.delete([100 + row])
        index.save(saved, grace=20)
    assert len(manifest_of(saved)["retired"]) <= 3
    for wrong in (-1, float("nan"), "soon"):
        with pytest.raises(UsageError, match="grace"):
            index.save(saved, grace=wrong)  # type: ignore[arg-type]


def test_what_comes_back_is_no_longer_retired(trained, rows, tmp_path) -> None:
    index = trained("SQ8").add(rows[:5])
    index.save(tmp_path / "index")
    name = manifest_of(tmp_path / "index")["segments"][0]["name"]
    index.delete(range(5))
    index.save(tmp_path / "index")
    assert f"{name}.codes.npy" in {entry["file"] for entry in manifest_of(tmp_path / "index")["retired"]}
    index.add(rows[:5], range(5))
    index.save(tmp_path / "index", grace=0)
    assert manifest_of(tmp_path / "index")["segments"][0]["name"] == name
    assert not any(entry["file"].startswith(name) for entry in manifest_of(tmp_path / "index")["retired"])
    assert len(open_index(tmp_path / "index", verify=True)) == 5


def test_left_overs_of_ours_go_and_nothing_else(saved, rows) -> None:
    gone, mine = 2**31 - 1, os.getpid()  # no process has the first number
    old, young = saved / f".tmp-{gone}-0123456789abcdef", saved / f".tmp-{gone}-1123456789abcdef"
    written = saved / f".tmp-{mine}-0123456789abcdef"
    ours = ["s0123456789abcdef.codes.npy", "p0123456789abcdef.codec.codebooks.npy", "manifest.99.json"]
    others = ["notes.txt", "sabc.codes.npy", "s0123456789abcdef.codes.npy.bak", "segment0.codes.npy", "x.npy"]
    for name in (*ours, *others):
        (saved / name).write_bytes(b"x")
    (saved / "s0123456789abcdef.lists.npy").mkdir()
    old.write_bytes(b"x")
    written.write_bytes(b"x")
    index = open_index(saved)
    index.delete([0])
    index.save(saved)
    assert not any((saved / name).exists() for name in ours)
    assert all((saved / name).exists() for name in others)
    assert old.exists()
    time.sleep(1.1)
    young.write_bytes(b"x")
    index.delete([1])
    index.save(saved, grace=1)
    assert not old.exists() and young.exists() and written.exists()
    assert (saved / "s0123456789abcdef.lists.npy").is_dir()


def test_older_readers_keep_what_they_mapped(saved, rows, queries) -> None:
    reader, index = open_index(saved), open_index(saved)
    before = reader.search(queries, 9)
    index.add(rows[:50])
    index.compact(segments=1)
    index.save(saved)
    later(saved, 700)
    index = open_index(saved)
    index.delete([0])
    index.save(saved)
    assert len(list(saved.glob("s*.codes.npy"))) == 1
    for got, wanted in zip(reader.search(queries, 9), before, strict=True):
        np.testing.assert_array_equal(got, wanted)


# ---- formats 1 and 2 ----


@pytest.mark.parametrize("name", [path.name for path in sorted(FORMAT_2.iterdir()) if path.is_dir()])
def test_an_old_folder_becomes_one_of_format_3_in_one_commit(name, tmp_path) -> None:
    folder = tmp_path / name
    shutil.copytree(FORMAT_2 / name, folder)
    before = {file.name: file.stat().st_ino for file in folder.glob("*.npy")}
    index = open_index(folder)
    assert index.generation == 0
    index.save(folder)
    assert index.generation == 1 and manifest_of(folder)["format_version"] == 3
    assert verify_index(folder) == []
    inodes = {what_of(folder, file): (folder / file).stat().st_ino for file in manifest_of(folder)["files"]}
    linked = {file for file in before if "deleted" not in file and not file.startswith(("t", "p", "c", "r"))}
    assert {file: inodes[file] for file in linked} == {file: before[file] for file in linked}
    assert set(before) <= {entry["file"] for entry in manifest_of(folder)["retired"]}
    assert (folder / "manifest.0.json").read_bytes() == (FORMAT_2 / name / "manifest.json").read_bytes()
    later(folder, 1000)
    index = open_index(folder)
    index.nprobe = 1
    index.save(folder)
    assert not any((folder / file).exists() for file in before)
    assert verify_index(folder) == []
