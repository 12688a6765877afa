"""Training sets from folders, files and rows."""

from __future__ import annotations

import json

import pytest

from cluscomp.errors import EmptyInputError, InputError, MalformedFileError, MissingInputError, UsageError
from cluscomp.training.training_set import load_training_set


def test_beir_folder(collection):
    found = load_training_set(collection)
    assert found.describe() == {"documents": 120, "queries": 24, "pseudo_queries": 0, "positives": 25}
    assert found.positives[0] == (0, 5)
    assert found.positives[1] == (1,)  # a judgement of level 0 makes no positive
    assert found.documents[3] == "title 3 " + found.bodies[3]


def test_titles_stand_for_queries_where_there_are_none(collection):
    (collection / "qrels" / "train.tsv").rename(collection / "qrels" / "test.tsv")
    found = load_training_set(collection)
    assert found.describe() == {"documents": 120, "queries": 0, "pseudo_queries": 120, "positives": 120}
    assert found.queries[7] == "title 7" and found.positives[7] == (7,) and all(found.is_pseudo)
    with pytest.raises(EmptyInputError, match="it has: test"):
        load_training_set(collection, pseudo_queries="none")


def test_first_sentence_where_there_is_no_title(tmp_path):
    record = {"_id": "a", "text": "Cats sleep. They also eat."}
    (tmp_path / "corpus.jsonl").write_text(json.dumps(record) + "\n")
    assert load_training_set(tmp_path).queries == ["Cats sleep."]


def test_titles_in_addition(collection):
    found = load_training_set(collection, pseudo_queries="add")
    assert found.describe()["pseudo_queries"] == 120 and found.describe()["queries"] == 24
    assert found.is_pseudo == [False] * 24 + [True] * 120


def test_pairs_of_a_file(tmp_path):
    pairs = [("q", "one"), ("q", "two"), ("r", "one"), ("r", "one")]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(json.dumps({"query": q, "positive": p}) for q, p in pairs) + "\n\n")
    found = load_training_set(path)
    assert found.documents == ["one", "two"]
    assert found.queries == ["q", "r"] and found.positives == [(0, 1), (0,)]


def test_pairs_of_rows_and_of_a_dataset():
    rows = [{"anchor": "q", "positive": "one"}, {"anchor": "r", "positive": "two"}]
    assert load_training_set(rows).documents == ["one", "two"]
    datasets = pytest.importorskip("datasets")
    assert load_training_set(datasets.Dataset.from_list(rows)) == load_training_set(rows)


@pytest.mark.parametrize(
    ("line", "error", "word"),
    [
        ('{"query": "q"}', MalformedFileError, "positive"),
        ('{"query": "", "positive": "p"}', InputError, "'query' holds ''"),
        ("[1]", MalformedFileError, "no object"),
        ("{", MalformedFileError, ":2"),
        ("", EmptyInputError, "0 pairs"),
    ],
)
def test_wrong_files(tmp_path, line, error, word):
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n" + line + "\n")
    with pytest.raises(error, match=word):
        load_training_set(path)


def test_wrong_sources(tmp_path, collection):
    with pytest.raises(MissingInputError):
        load_training_set(tmp_path / "nothing.jsonl")
    with pytest.raises(UsageError, match="type int"):
        load_training_set(3)
    with pytest.raises(InputError, match="mapping"):
        load_training_set([("q", "p")])
    with pytest.raises(UsageError, match="pseudo_queries"):
        load_training_set(collection, pseudo_queries="some")
    (collection / "qrels" / "train.tsv").write_text("q0\tunknown\t1\n")
    with pytest.raises(InputError, match="'unknown'"):
        load_training_set(collection)
