"""MS MARCO's files in their real layout: headerless .tsv, four columns of judgements, ids that are numbers."""

from __future__ import annotations

import gzip

import pytest

from cluscomp import errors
from cluscomp.eval import evaluate, load_beir
from cluscomp.eval.beir import available_splits

PASSAGES = ["Cold water flows deep.", "A cat sleeps by the warm stove.", "Seven\u00a0ships sailed."]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "collection.tsv").write_text("".join(f"{i}\t{t}\n" for i, t in enumerate(PASSAGES)), "utf-8")
    (tmp_path / "queries.dev.small.tsv").write_text("1048585\twarm cat\n2\tdeep water\n9\tnot judged\n")
    (tmp_path / "qrels.dev.small.tsv").write_text("1048585\t0\t1\t1\n2\t0\t0\t1\n")
    with gzip.open(tmp_path / "queries.train.tsv.gz", "wt") as file:
        file.write("7\tships\n")
    (tmp_path / "qrels.train.tsv").write_text("7\t0\t2\t1\n")
    return tmp_path


def test_parts(folder):
    corpus, queries, qrels = load_beir(folder, "dev.small")
    assert corpus["1"] == {"title": "", "text": PASSAGES[1]} and len(corpus) == 3
    assert queries == {"1048585": "warm cat", "2": "deep water"}
    assert qrels == {"1048585": {"1": 1}, "2": {"0": 1}}
    assert available_splits(folder) == ["dev.small", "train"]
    assert load_beir(folder, "train")[1] == {"7": "ships"}


def test_mrr_at_10_is_the_official_one(folder):
    """The official script sums 1 / rank of the first relevant passage within 10, over all judged queries."""
    _, _, qrels = load_beir(folder, "dev.small")
    run = {"1048585": {str(i + 10): 20.0 - i for i in range(10)} | {"1": 5.0}, "2": {"5": 2.0, "0": 1.0}}
    assert evaluate(run, qrels, ("mrr@10",)) == {"mrr@10": (0 + 1 / 2) / 2}  # rank 11 does not count


def test_missing_split_names_those_that_exist(folder):
    with pytest.raises(errors.MissingInputError, match="'test'; it has: dev.small, train"):
        load_beir(folder)
