"""verify_index: each fault that is planted is named with its file and numbers, and a whole index has none."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stored_files import change_manifest, file_of, rewrite, sign, what_of

import cluscomp as cc
from cluscomp.errors import ForeignFileError, IndexFolderError, IndexMissingError, UnknownKeyError
from cluscomp.indexes import index_factory
from cluscomp.indexes.segments.id_keys import IdKeys
from cluscomp.indexes.segments.ids import TextIds
from cluscomp.indexes.storage.reading import FolderReader
from cluscomp.indexes.storage.texts import write_rows
from cluscomp.indexes.verify import verify_index

KEY = "OPQ4,IVF8,PQ4x4,Refine(SQfp16)"
DIM = 16


@pytest.fixture
def saved(make_index, rows, tmp_path) -> Path:
    """Two segments with text ids; row 5 of the first is deleted."""
    index = make_index(KEY, "l2", [f"doc{i}" for i in range(600)])
    index.add(rows[:50], [f"new{i}" for i in range(50)])
    index.delete(["doc5", "doc9"])
    index.save(tmp_path / "index")
    return tmp_path / "index"


def rewrite_ids(folder: Path, name: str, change: Callable[[np.ndarray], Any]) -> None:
    """The same for ids, with the keys that they imply."""
    rewrite(folder, name, change)
    owner, _, array = name.partition(".")
    if array == "ids.npy":
        keys = IdKeys.of(np.load(file_of(folder, name)))
    else:
        arrays = (np.load(file_of(folder, f"{owner}.{part}")) for part in ("ids_text", "ids_offsets"))
        keys = TextIds(*arrays).keys
    for part, values in keys.arrays().items():
        rewrite(folder, f"{owner}.{part}", lambda a, values=values: a.__setitem__(slice(None), values))


def only(folder: Path, level: Any = "deep") -> tuple[str, str]:
    (fault,) = verify_index(folder, level)
    return what_of(folder, fault.file), fault.message


@pytest.mark.parametrize("level", ["quick", "sums", "deep"])
def test_a_whole_index_has_no_fault(any_key, make_index, rows, tmp_path, level) -> None:
    index = make_index(any_key, ids=[f"doc{i}" for i in range(600)])
    index.add(rows[:50], [f"new{i}" for i in range(50)])
    index.upsert(rows[:5], [f"new{i}" for i in range(5)])
    index.save(tmp_path / "index")
    assert verify_index(tmp_path / "index", level) == []


@pytest.mark.parametrize("key", ["Pool2,Flat", "Pool2,IVF4,PQ4x4", "Pool2,SQ8,RFlat"])
def test_a_whole_index_of_documents_has_no_fault(key, tmp_path) -> None:
    x = np.random.default_rng(0).standard_normal((60, 5, DIM), np.float32)
    index_factory(key, DIM).train(x).add(x).add(x[:7]).save(tmp_path / "index")
    assert verify_index(tmp_path / "index") == []


def test_empty_and_numbered_indexes_have_no_fault(trained, rows, tmp_path) -> None:
    index = trained("SQ8")
    index.save(tmp_path / "empty")
    index.add(rows[:3])
    index.add(rows[:3], [9, 4, 77])
    index.save(tmp_path / "numbered")
    assert verify_index(tmp_path / "empty") == verify_index(tmp_path / "numbered") == []


# ---- files ----


def test_every_damaged_file_is_named(saved) -> None:
    file_of(saved, "segment0.positions").unlink()
    with file_of(saved, "segment1.codes").open("ab") as file:
        file.write(b"more")
    file_of(saved, "transform0.matrix").write_bytes(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n"
    )
    for level in ("quick", "sums", "deep"):
        faults = {what_of(saved, fault.file): fault.message for fault in verify_index(saved, level)}
        assert faults.keys() == {"segment0.positions.npy", "segment1.codes.npy", "transform0.matrix.npy"}
        assert "is missing" in faults["segment0.positions.npy"]
        assert "the manifest says" in faults["segment1.codes.npy"]
        assert "git-LFS pointer" in faults["transform0.matrix.npy"]


def test_altered_bytes_are_found_by_sums(saved) -> None:
    raw = bytearray(file_of(saved, "segment0.codes").read_bytes())
    raw[-1] ^= 1
    file_of(saved, "segment0.codes").write_bytes(raw)
    assert verify_index(saved, "quick") == []
    file, message = only(saved, "sums")
    assert file == "segment0.codes.npy" and "has checksum" in message
    assert only(saved, "deep")[0] == file


def test_a_header_of_another_array(saved) -> None:
    raw = file_of(saved, "segment0.codes").read_bytes()
    file_of(saved, "segment0.codes").write_bytes(raw.replace(b"|u1", b"|i1", 1))
    file, message = only(saved, "quick")
    assert file == "segment0.codes.npy" and "does not begin with the header" in message


def test_files_that_the_key_does_not_imply(saved) -> None:
    change_manifest(saved, lambda manifest: manifest.update(key=manifest["key"].replace("PQ4x4", "PQ4")))
    assert only(saved, "quick")[0] == "manifest.json"
    (saved / "manifest.json").write_text("{")
    assert "not valid JSON" in verify_index(saved, "quick")[0].message or verify_index(saved)


def test_what_is_no_index_is_an_error(tmp_path, saved) -> None:
    with pytest.raises(IndexMissingError):
        verify_index(tmp_path / "nothing")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "corpus.jsonl").write_text("{}")
    with pytest.raises(ForeignFileError, match="BEIR corpus"):
        cc.verify_index(tmp_path / "corpus")
    with pytest.raises(UnknownKeyError, match="quick"):
        verify_index(saved, "all")  # type: ignore[arg-type]


# ---- values that opening checks, each by its file ----


def test_offsets_deleted_rows_and_trained_arrays(saved) -> None:
    rewrite(saved, "segment0.offsets.npy", lambda a: a.__setitem__(3, 700))
    rewrite(saved, "segment0.deleted.npy", lambda a: a.__setitem__(1, 600))
    rewrite(saved, "segment1.offsets.npy", lambda a: a.__setitem__(8, 49))
    rewrite(saved, "transform0.matrix.npy", lambda a: a.__setitem__((0, 0), np.nan))
    for level in ("quick", "deep"):
        faults = {what_of(saved, fault.file): fault.message for fault in verify_index(saved, level)}
        assert faults.keys() == {"segment0.deleted.npy", "segment1.offsets.npy", "transform0.matrix.npy"}
        assert "within 0 to 599" in faults["segment0.deleted.npy"]
        assert "from 0 to 49, but must rise from 0 to 50" in faults["segment1.offsets.npy"]


# ---- values that only "deep" looks at ----


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("segment0.positions.npy", lambda a: a.__setitem__(7, 600), r"place 7 holds position 600, outside 0 to 599"),
        ("segment1.positions.npy", lambda a: a.__setitem__(0, -1), r"place 0 holds position -1, outside 0 to 49"),
        ("segment0.positions.npy", lambda a: a.__setitem__(7, a[8]), r"2 times and row \d+ is not \(1 of 600 rows"),
        (
            "segment0.positions.npy",
            lambda a: a.__setitem__(slice(0, 2), a[1::-1].copy()),
            r"positions of list 0 do not rise at place 1",
        ),
        ("segment1.refine.npy", lambda a: a.__setitem__((3, 0), np.inf), r"row 3 of 50 holds NaN or infinity"),
        ("segment1.ids_text.npy", lambda a: a.__setitem__(4, 0xFF), r"id 1 is not UTF-8"),
        ("segment0.ids_offsets.npy", lambda a: a.__setitem__(4, 9000), r"offsets run from 0 to \d+, but must rise"),
    ],
)  # fmt: skip
def test_values(saved, name, change, message) -> None:
    rewrite(saved, name, change)
    assert verify_index(saved, "sums") == []
    file, told = only(saved)
    assert file == name
    assert re.search(message, told)


def test_ids_that_are_there_twice(saved) -> None:
    def same_id(texts: np.ndarray) -> None:
        texts[: len(b"new0new1")] = list(b"new1new1")

    rewrite_ids(saved, "segment1.ids_text.npy", same_id)
    assert only(saved) == (
        "segment1.ids_text.npy",
        "id 'new1' is there more than once: row 0 of segment 1 and another row of it",
    )


def test_ids_of_two_segments_and_numbers_to_come(trained, rows, tmp_path) -> None:
    folder = tmp_path / "index"
    index = trained("SQ8").add(rows[:30]).add(rows[:3], [70, 50, 90])
    index.delete([4])
    index.save(folder)
    rewrite_ids(folder, "segment1.ids.npy", lambda a: a.__setitem__(0, 4))
    assert verify_index(folder) == []  # row 4 is deleted
    rewrite_ids(folder, "segment1.ids.npy", lambda a: a.__setitem__(1, 7))
    assert only(folder) == (
        "segment1.ids.npy",
        "id 7 is there more than once: row 7 of segment 0 and row 1 of segment 1",
    )
    rewrite_ids(folder, "segment1.ids.npy", lambda a: a.__setitem__(1, 50))
    change_manifest(folder, lambda manifest: manifest.update(next_id=90))
    file, message = only(folder)
    assert file == "manifest.json" and message.startswith("next_id is 90, but a row has id 90")


def test_keys_that_are_not_those_of_the_ids(saved, trained, rows, tmp_path) -> None:
    rewrite(saved, "segment0.idrows.npy", lambda a: a.__setitem__([4, 5], a[[5, 4]]))
    file, message = only(saved)
    assert file == "segment0.idrows.npy"
    assert re.fullmatch(r"place 4 holds \d+, but the ids imply \d+ \(2 of 600 places are wrong\)", message)
    trained("SQ8").add(rows[:3], [9, 4, 77]).save(tmp_path / "numbers")
    rewrite(tmp_path / "numbers", "segment0.idhash.npy", lambda a: a.__setitem__(1, 8))
    assert only(tmp_path / "numbers") == (
        "segment0.idhash.npy",
        "place 1 holds 8, but the ids imply 9 (1 of 3 places are wrong)",
    )


@pytest.mark.parametrize("name", ["lists", "doc_offsets"])
def test_values_of_documents(name, tmp_path) -> None:
    folder = tmp_path / "index"
    x = np.random.default_rng(0).standard_normal((60, 5, DIM), np.float32)
    index_factory("Pool2,IVF4,SQ8", DIM).train(x).add(x).save(folder)
    change, told = {
        "lists": (lambda a: a.__setitem__(7, 4), "vector 7 is in list 4, but the index has 4 lists"),
        "doc_offsets": (lambda a: a.__setitem__(3, a[2]), "document 2 has 0 vectors"),
    }[name]
    rewrite(folder, f"segment0.{name}.npy", change)
    assert verify_index(folder, "sums") == []
    file, message = only(folder)
    assert file == f"segment0.{name}.npy" and message.startswith(told)


# ---- docs.sqlite ----


@pytest.fixture
def with_texts(tmp_path) -> Path:
    x = np.random.default_rng(0).standard_normal((40, DIM), np.float32)
    index = index_factory("SQ8", DIM).train(x).add(x, [f"d{i}" for i in range(40)])
    index.save(tmp_path / "index")
    write_rows(tmp_path / "index" / "docs.sqlite", [(f"d{i}", "title", "text " * 99) for i in range(40)])
    change_manifest(tmp_path / "index", lambda manifest: manifest["extra_files"].update({"docs.sqlite": {}}))
    sign(tmp_path / "index", "docs.sqlite")
    return tmp_path / "index"


def test_texts(with_texts) -> None:
    file = with_texts / "docs.sqlite"
    assert verify_index(with_texts) == []
    whole = file.read_bytes()
    with sqlite3.connect(file) as database:
        database.execute("DELETE FROM documents WHERE position = 3")
    database.close()
    sign(with_texts, "docs.sqlite")
    assert only(with_texts) == ("docs.sqlite", "it holds 39 documents at positions 0 to 39, not at 0 to 38")
    write_rows(file, [(f"d{i ^ 1}", "title", "text") for i in range(40)])
    sign(with_texts, "docs.sqlite")
    assert only(with_texts) == ("docs.sqlite", "it holds 'd1' at position 0, where the segment has id 'd0'")
    page = 4096
    file.write_bytes(whole[: 2 * page] + bytes(page) + whole[3 * page :])
    sign(with_texts, "docs.sqlite")
    faults = verify_index(with_texts)
    assert faults and {fault.file for fault in faults} == {"docs.sqlite"}
    file.write_bytes(b"no database" * 100)
    sign(with_texts, "docs.sqlite")
    assert "cannot be read" in only(with_texts)[1]


# ---- others at work ----


def test_a_folder_that_is_replaced_meanwhile_is_read_again(saved, trained, rows, monkeypatch) -> None:
    read, times = FolderReader.manifest, []

    def manifest(self: FolderReader) -> Any:
        found = read(self)
        times.append(1)
        if len(times) <= limit:
            trained("SQ8").add(rows[: len(times)]).save(saved, if_exists="replace")
        return found

    monkeypatch.setattr(FolderReader, "manifest", manifest)
    limit = 3
    assert verify_index(saved) == []
    assert len(times) == 4
    limit = 99
    with pytest.raises(IndexFolderError, match="was replaced 10 times while it was being verified"):
        verify_index(saved)


def test_nothing_is_changed(saved, tmp_path) -> None:
    shutil.copytree(saved, tmp_path / "copy")
    verify_index(saved)
    for file in saved.iterdir():
        assert file.read_bytes() == (tmp_path / "copy" / file.name).read_bytes()
