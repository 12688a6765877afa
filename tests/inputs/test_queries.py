import gzip

import pytest

from cluscomp import errors
from cluscomp.inputs import Query, iter_queries

EXPECTED = [Query("q1", "who?"), Query("2", "wo är?")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("queries.jsonl", '{"_id": "q1", "text": "who?", "metadata": {}}\n\n{"_id": 2, "text": "wo är?"}\n'),
        ("q.jsonl", '{"qid": "q1", "query": "who?"}\r\n{"query_id": "2", "text": "wo är?"}\r\n'),
        ("q.tsv", "q1\twho?\n2\two är?\n"),
        ("q.tsv", "\ufeffqid\tquery\nq1\twho?\n\n2\two är?\n"),
    ],
)
def test_layouts(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode())
    assert list(iter_queries(tmp_path / name)) == EXPECTED
    (tmp_path / (name + ".gz")).write_bytes(gzip.compress(text.encode()))
    assert list(iter_queries(tmp_path / (name + ".gz"))) == EXPECTED


def test_txt_and_folder(tmp_path):
    (tmp_path / "q.txt").write_text("one\ntwo\n")
    assert list(iter_queries(tmp_path / "q.txt")) == [Query("0", "one"), Query("1", "two")]
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "who?"}')
    assert list(iter_queries(tmp_path)) == EXPECTED[:1]


@pytest.mark.parametrize(
    ("name", "text", "fault", "message"),
    [
        ("q.tsv", "q1\ta\nq1\tb\n", errors.DuplicateIdError, r"q\.tsv:2: id 'q1' .*line 1"),
        ("q.tsv", "q1\ta\nq2\t \n", errors.EmptyInputError, r"q\.tsv:2: query 'q2' has no text"),
        ("q.tsv", "q1\ta\tb\n", errors.MalformedFileError, r"q\.tsv:1: has 3 .*2 \(id, text\)"),
        ("q.tsv", "", errors.EmptyInputError, "0 queries"),
        ("q.jsonl", '{"text": "x"}', errors.MalformedFileError, r"q\.jsonl:1: has no id; one of .*'qid'"),
        (
            "q.jsonl",
            '{"_id": "a"}',
            errors.MalformedFileError,
            r"q\.jsonl:1: has no text; one of 'text', 'query'",
        ),
        ("q.csv", "q1,a", errors.UsageError, "cannot tell the format"),
    ],
)
def test_faults(tmp_path, name, text, fault, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(fault, match=message):
        list(iter_queries(tmp_path / name))


def test_folder_without_queries(tmp_path):
    with pytest.raises(errors.MissingInputError, match=r"no queries\.jsonl"):
        iter_queries(tmp_path)
