"""Weighted terms from jsonl files."""

from __future__ import annotations

import gzip
import json

import pytest

from cluscomp.errors import DuplicateIdError, EmptyInputError, InputError, MalformedFileError
from cluscomp.inputs.terms import iter_term_blocks, read_terms

LINES = [
    {"id": "d1", "vector": {"cat": 1.5, "ant": 1}},
    {"id": 7, "vector": {}},
    {"_id": "d3", "vector": {"bee": 2}},
]


def write(path, lines):
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_rows(tmp_path, name):
    ids, rows = read_terms(write(tmp_path / name, [*LINES[:2], "", LINES[2]]))
    assert ids == ["d1", "7", "d3"]
    assert [rows.mapping(i) for i in range(3)] == [{"cat": 1.5, "ant": 1.0}, {}, {"bee": 2.0}]


def test_blocks(tmp_path):
    blocks = list(iter_term_blocks(write(tmp_path / "x.jsonl", LINES), rows=2))
    assert [ids for ids, _ in blocks] == [["d1", "7"], ["d3"]]


def test_named_fields(tmp_path):
    path = write(tmp_path / "x.jsonl", [{"doc": "a", "w": {"cat": 1}, "id": "no"}])
    ids, rows = read_terms(path, columns={"id": "doc", "vectors": "w"})
    assert ids == ["a"] and rows.mapping(0) == {"cat": 1.0}


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("{", MalformedFileError, "not a JSON object"),
        ("[1]", MalformedFileError, "no JSON object"),
        ('{"id": "x"}', MalformedFileError, "no field 'vector'"),
        ('{"vector": {}}', MalformedFileError, "no field '_id' or 'id'"),
        ('{"id": 1.5, "vector": {}}', MalformedFileError, "the id is 1.5"),
        ('{"id": "x", "vector": [1]}', MalformedFileError, "no object of terms"),
        ('{"id": "x", "vector": {"a": "b"}}', MalformedFileError, "weight of term 'a' is 'b'"),
        ('{"id": "x", "vector": {"a": -1}}', InputError, "weights must be at least 0"),
        ('{"id": "d1", "vector": {}}', DuplicateIdError, "'d1' is there twice"),
    ],
)
def test_wrong_lines_are_named(tmp_path, line, error, message):
    with pytest.raises(error) as caught:
        read_terms(write(tmp_path / "x.jsonl", [LINES[0], line]))
    assert message in str(caught.value) and "x.jsonl:2" in str(caught.value)


def test_no_rows(tmp_path):
    with pytest.raises(EmptyInputError):
        read_terms(write(tmp_path / "x.jsonl", [""]))
