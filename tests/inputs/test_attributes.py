"""Files of attributes: what is an id, what is a column, and what is said of files that are none."""

from __future__ import annotations

import gzip
import json

import pytest

from cluscomp.errors import EmptyInputError, InputError, MalformedFileError, UsageError
from cluscomp.inputs import attributes
from cluscomp.inputs.attributes import read_attributes, read_metadata

ROWS = [
    {"_id": "a", "year": 2020, "tags": ["x", "y"]},
    {"_id": "b"},
    {"_id": "c", "year": None, "tags": [], "price": 1.5},
    {"_id": "d", "year": 2021, "price": 2},
]
COLUMNS = {
    "year": [2020, None, None, 2021],
    "tags": [["x", "y"], None, [], None],
    "price": [None, None, 1.5, 2.0],
}


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("batch", [1, 2, 8192])
def test_jsonl_and_parquet_say_the_same(tmp_path, monkeypatch, batch):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    monkeypatch.setattr(attributes, "BATCH_ROWS", batch)
    parquet.write_table(arrow.table({"_id": ["a", "b", "c", "d"], **COLUMNS}), tmp_path / "f.parquet")
    with gzip.open(tmp_path / "f.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(map(json.dumps, ROWS)))
    for name in ("f.parquet", "f.jsonl.gz"):
        found = read_attributes(tmp_path / name)
        assert found.ids == ["a", "b", "c", "d"]
        assert found.table.to_dict() == COLUMNS
    assert list(read_attributes(tmp_path / "f.parquet", names=["price"]).table) == ["price"]
    with pytest.raises(UsageError, match="no column 'prize'"):
        read_attributes(tmp_path / "f.parquet", names=["prize"])


def test_rows_without_ids_stay_in_order(tmp_path):
    found = read_attributes(jsonl(tmp_path / "f.jsonl", [{"year": 1}, {}, {"year": 3}]))
    assert found.ids is None
    assert found.table.to_dict() == {"year": [1, None, 3]}


def test_metadata_of_a_corpus(tmp_path):
    rows = [
        {"_id": "1", "title": "t", "text": "x", "metadata": {"year": 2020, "authors": ["A"]}},
        {"_id": 2, "text": "y", "metadata": {}},
        {"_id": "3", "text": "z"},
    ]
    jsonl(tmp_path / "corpus.jsonl", rows)
    found = read_metadata(tmp_path)
    assert found.ids == ["1", 2, "3"]
    assert found.table.to_dict() == {"year": [2020, None, None], "authors": [["A"], None, None]}


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        ([{"_id": "a", "x": 1}, {"_id": "b", "x": "t"}], InputError, "'x' of row 1 .id 'b'. holds a text"),
        ([{"_id": "a", "x": 1}, {"x": 2}], MalformedFileError, "id must be a text"),
        ([{"_id": True}], MalformedFileError, "id must be a text"),
        ([{"_id": "a", "x": {"y": 1}}], InputError, "type dict"),
        ([3], MalformedFileError, ":1: each line must be one JSON object"),
        ([], EmptyInputError, "0 rows"),
    ],
)
def test_faults_of_jsonl(tmp_path, rows, error, words):
    with pytest.raises(error, match=words):
        read_attributes(jsonl(tmp_path / "f.jsonl", rows))


def test_other_files_are_refused(tmp_path):
    (tmp_path / "f.tsv").write_text("a\tb\n")
    with pytest.raises(UsageError, match=r"\.parquet and \.jsonl"):
        read_attributes(tmp_path / "f.tsv")
    with pytest.raises(UsageError, match="metadata"):
        read_metadata(tmp_path / "f.tsv")
    with pytest.raises(MalformedFileError, match="object of attributes"):
        read_metadata(jsonl(tmp_path / "c.jsonl", [{"_id": "1", "metadata": 3}]))
