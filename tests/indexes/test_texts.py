"""Titles and texts: one file a segment, taken along by save, compact and merge; rows by id with `get`."""

from __future__ import annotations

import json
import sqlite3

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import CorruptIndexError, InputError, UsageError
from cluscomp.indexes.build.writer import IndexWriter
from cluscomp.indexes.segments.texts import GivenTexts, PickedTexts
from cluscomp.indexes.storage.texts import write_rows

DIM = 8


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((30, DIM), np.float32)


@pytest.fixture
def folder(x, tmp_path):
    write_rows(tmp_path / "texts", [(f"d{i}", f"title {i}", f"text {i}") for i in range(20)])
    with IndexWriter(cc.index_factory("Flat", DIM), tmp_path / "index") as writer:
        writer.add(x[:20], [f"d{i}" for i in range(20)])
        writer.finish(texts=tmp_path / "texts")
    return tmp_path / "index"


def texts_in(index, ids):
    return [(record.title, record.text) for record in index.get(ids, vectors=False)]


def test_picked_rows_of_segments_with_and_without_texts():
    one = GivenTexts((("a", "A"), ("b", "B"), ("c", "C")))
    picked = PickedTexts(((one, np.array([2, 0])), (None, np.array([5])), (one, np.array([1]))))
    assert picked.take(np.arange(4)) == [("c", "C"), ("a", "A"), (None, None), ("b", "B")]
    assert picked.take(np.array([3, 0, 3])) == [("b", "B"), ("c", "C"), ("b", "B")]


def test_the_file_is_the_segments_own(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    (name,) = manifest["extra_files"]
    assert name == manifest["segments"][0]["name"] + ".docs.sqlite"
    with sqlite3.connect(folder / name) as database:
        rows = database.execute("SELECT * FROM documents WHERE position = 7").fetchall()
    assert rows == [(7, "d7", "title 7", "text 7")]


def test_get(folder, x):
    index = cc.open_index(folder)
    one, two = index.get(["d7", "d3"])
    assert (one.id, one.title, one.text, two.id) == ("d7", "title 7", "text 7", "d3")
    np.testing.assert_array_equal(one.vector, x[7])
    assert index.get("d3", vectors=False)[0].vector is None
    assert index.get([]) == []
    assert [r.id for r in index.get(["x", "d2"], missing="ignore")] == ["d2"]
    with pytest.raises(InputError, match="'x' is not in the index"):
        index.get(["x", "d2"])
    index.delete("d2")
    assert index.get(["d2"], missing="ignore") == []
    with pytest.raises(UsageError, match="missing"):
        index.get(["d2"], missing="maybe")


def test_attributes_of_records(x):
    index = cc.index_factory("Flat", DIM).add(
        x[:2], attributes=[{"year": 2001, "tags": ["a"]}, {"year": None}]
    )
    index.add(x[2:4])
    assert [r.attributes for r in index.get([3, 0, 1])] == [{}, {"year": 2001, "tags": ["a"]}, {}]


def test_saves_and_compactions_keep_the_texts_of_rows_that_are_left(folder, x, tmp_path):
    index = cc.open_index(folder)
    inode = next(folder.glob("*.docs.sqlite")).stat().st_ino
    index.add(x[20:], [f"n{i}" for i in range(10)])
    index.save(folder)
    assert next(folder.glob("*.docs.sqlite")).stat().st_ino == inode
    index.delete(["d0", "d5", "n3"])
    index.compact(segments=1, dead=0)
    wanted = ["d19", "n0", "d1"]
    expected = [("title 19", "text 19"), (None, None), ("title 1", "text 1")]
    assert texts_in(index, wanted) == expected
    index.save(folder)
    index.save(tmp_path / "copy")
    for place in (folder, tmp_path / "copy"):
        opened = cc.open_index(place, verify=True)
        assert len(opened.segments) == 1 and texts_in(opened, wanted) == expected
        assert opened.nbytes()["texts"] > 0
        assert cc.verify_index(place) == []


def test_a_segment_with_other_texts_has_another_name(folder, x, tmp_path):
    write_rows(tmp_path / "texts", [(f"d{i}", "", "new") for i in range(20)])
    with IndexWriter(cc.index_factory("Flat", DIM), tmp_path / "other") as writer:
        writer.add(x[:20], [f"d{i}" for i in range(20)])
        writer.finish(texts=tmp_path / "texts")
    names = {
        json.loads((f / "manifest.json").read_text())["segments"][0]["name"]
        for f in (folder, tmp_path / "other")
    }
    assert len(names) == 2


def test_an_older_folder_keeps_its_texts(folder, tmp_path):
    """Formats 1 and 2 had one docs.sqlite, made by the build, whose rows are those of the first segment."""
    manifest = json.loads((folder / "manifest.json").read_text())
    name, entry = manifest["extra_files"].popitem()
    (folder / name).rename(folder / "docs.sqlite")
    manifest["extra_files"] = {"docs.sqlite": entry}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    index = cc.open_index(folder)
    assert texts_in(index, ["d4"]) == [("title 4", "text 4")]
    index.delete("d0")
    index.save(folder, grace=0)
    assert not (folder / "docs.sqlite").exists() and (folder / name).is_file()
    assert texts_in(cc.open_index(folder, verify=True), ["d4"]) == [("title 4", "text 4")]
    assert texts_in(index, ["d4"]) == [("title 4", "text 4")]


def test_texts_of_other_rows_are_never_shown(folder):
    file = next(folder.glob("*.docs.sqlite"))
    index = cc.open_index(folder)
    with sqlite3.connect(file) as database:
        database.execute("UPDATE documents SET id = 'other' WHERE position = 3")
    with pytest.raises((CorruptIndexError, cc.errors.IndexMissingError)):
        index.get("d3", vectors=False)


def test_a_file_that_is_gone_is_named(folder):
    index = cc.open_index(folder)
    next(folder.glob("*.docs.sqlite")).unlink()
    with pytest.raises(cc.errors.IndexMissingError, match="refresh"):
        index.get("d3", vectors=False)


def test_no_extra_file_takes_a_name_of_ours(x, tmp_path):
    with IndexWriter(cc.index_factory("Flat", DIM), tmp_path / "index") as writer:
        writer.add(x)
        with pytest.raises(UsageError, match="choose another name"):
            writer.finish(extra_files={"docs.sqlite": b""})


def test_added_documents(x, tmp_path):
    index = cc.index_factory("Flat", DIM)
    index.add(x[:3], documents=[("a", "A", "one"), {"_id": "b", "text": "two"}, ("c", None, None)])
    index.add(x[3:5], ["d", "e"], documents=["four", ("E", "five")])
    index.add(x[5:6], ["f"])
    index.save(tmp_path / "index")
    assert index.upsert(x[6:8], ["a", "g"], documents=[("A2", "new"), "seven"]) == 1
    expected = {
        "a": ("A2", "new"), "b": (None, "two"), "c": (None, None), "d": (None, "four"), "e": ("E", "five"),
        "f": (None, None), "g": (None, "seven"),
    }  # fmt: skip
    assert texts_in(index, list(expected)) == list(expected.values())
    index.save(tmp_path / "index")
    opened = cc.open_index(tmp_path / "index", verify=True)
    assert texts_in(opened, list(expected)) == list(expected.values())
    assert cc.verify_index(tmp_path / "index") == []
    opened.compact(segments=1, dead=0)
    assert texts_in(opened, list(expected)) == list(expected.values())


def test_documents_of_integer_ids(x):
    index = cc.index_factory("Flat", DIM).add(x[:2], [7, 9], documents=[("7", "", "seven"), "nine"])
    assert texts_in(index, [9, 7]) == [(None, "nine"), ("", "seven")]
    index.add(x[2:3], documents=["ten"])
    assert texts_in(index, [10]) == [(None, "ten")]


@pytest.mark.parametrize(
    ("documents", "error", "message"),
    [
        (["one"], cc.errors.DimensionError, "2 rows, but 1 documents"),
        ([("x", "", "one"), ("b", "", "two")], InputError, "document 0 has id 'x', but the row has id 'a'"),
        ([3, "two"], cc.errors.DTypeError, "a document is 3"),
        ([("a", 5), "two"], cc.errors.DTypeError, "with title and text is needed"),
    ],
)
def test_documents_that_do_not_fit(x, documents, error, message):
    index = cc.index_factory("Flat", DIM)
    with pytest.raises(error, match=message):
        index.add(x[:2], ["a", "b"], documents=documents)
    assert len(index) == 0


def test_documents_of_several_vectors_and_of_words(x):
    several = cc.index_factory("Pool2(ward),Flat", DIM)
    several.add(x[:6], lengths=[2, 4], documents=[("p", "P", "one"), ("q", "Q", "two")])
    assert texts_in(several, ["q", "p"]) == [("Q", "two"), ("P", "one")]
    assert several.get("q")[0].vector.shape == (2, DIM)
