"""Limits, choice, candidates, and the whole way on real indexes."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_benchmark import DIM, DOCUMENTS, write_collection

from cluscomp import index_factory
from cluscomp.errors import EmptyInputError, InfeasibleError, UnknownKeyError, UsageError
from cluscomp.eval import read_qrels
from cluscomp.eval.tune import Limits, TunePoint, tune
from cluscomp.eval.tune.candidates import bytes_per_document, candidate_keys
from cluscomp.eval.tune.choice import choose, front, nearest

SMALL = TunePoint("PQ4", None, None, 20.0, 0.2, 0.50)
MIDDLE = TunePoint("SQ8", None, None, 40.0, 0.1, 0.95)
LARGE = TunePoint("Flat", None, None, 100.0, 0.3, 1.00)
BEATEN = TunePoint("IVF4,SQ8", 2, None, 50.0, 0.2, 0.90)
POINTS = [LARGE, BEATEN, MIDDLE, SMALL]


def test_front_and_choice():
    assert front(POINTS) == [SMALL, MIDDLE, LARGE]
    assert choose(POINTS, Limits(), "bytes") == SMALL
    assert choose(POINTS, Limits(), "speed") == MIDDLE
    assert choose(POINTS, Limits(), "quality") == LARGE
    assert choose(POINTS, Limits(max_bytes=60, min_recall=0.9), "bytes") == MIDDLE
    assert choose(POINTS, Limits(max_bytes=99), "quality") == MIDDLE
    assert choose(POINTS, Limits(min_ndcg=0.1), "quality") is None  # nobody judged


def test_the_nearest_point_and_what_it_needs():
    limits = Limits(max_bytes=10, min_recall=0.9)
    assert limits.misses(MIDDLE) == {"max_bytes": pytest.approx(np.log(4))}
    assert nearest(POINTS, limits) == SMALL  # it misses by factors 2 and 1.8, MIDDLE by 4
    assert limits.relaxed(SMALL) == "--max-bytes 20 --min-recall 0.5"
    assert Limits(max_ms=0.05).relaxed(TunePoint("PQ4", None, None, 20.01, 0.12345, 0.5)) == "--max-ms 0.124"


@pytest.mark.parametrize(
    "limits",
    [{"max_bytes": 0}, {"max_ms": -1}, {"min_recall": 1.5}, {"min_ndcg": -0.1}, {"max_bytes": float("nan")}],
)
def test_impossible_limits(limits):
    with pytest.raises(UsageError, match=next(iter(limits))):
        Limits(**limits)


@pytest.mark.parametrize(("n", "dim"), [(100, 16), (5000, 384), (1_000_000, 100)])
def test_candidates_fit_the_dimension(n, dim):
    keys = candidate_keys(n, dim)
    assert len(keys) == len(set(keys)) >= 3
    for key in keys:
        index_factory(key, dim)
    assert any("IVF" in key for key in keys) == (n > 1000)


@pytest.mark.parametrize("key", ["Flat", "IVF8,PQ4x4,Refine(SQ8)", "OPQ4,PQ4"])
@pytest.mark.parametrize("text_ids", [False, True])
def test_bytes_are_those_of_the_index(rng, key, text_ids):
    x = rng.standard_normal((300, DIM)).astype(np.float32)
    ids = [f"document {i:04}" for i in range(300)] if text_ids else None
    index = index_factory(key, DIM)
    index.train(x)
    index.add(x, ids=ids)
    sizes = index.nbytes()
    want = (sizes["total"] - sizes["manifest"]) / 300
    assert bytes_per_document(key, 300, DIM, "ip", 21.0 if text_ids else 0.0) == pytest.approx(want, rel=0.01)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tune") / "tiny"
    write_collection(folder)
    return {
        "documents": np.load(folder / "docs.npy"),
        "ids": (folder / "docs.ids.txt").read_text().split(),
        "queries": np.load(folder / "queries.npy"),
        "query_ids": (folder / "queries.ids.txt").read_text().split(),
        "qrels": read_qrels(folder / "qrels" / "test.tsv"),
    }


def test_with_judgements(data):
    result = tune(**data, keys=["Flat", "SQ8", "PQ4"], max_bytes=75, min_recall=0.9)
    assert result.chosen.key == "SQ8"
    assert result.chosen.ndcg > 0.5
    assert (result.n_documents, result.n_queries, result.sampled) == (DOCUMENTS, 30, False)
    assert {point.key for point in result.points} == {"SQ8", "PQ4"}  # Flat needs more than 75 bytes
    assert result.chosen in result.pareto


def test_on_held_out_documents(data):
    result = tune(data["documents"], keys=["Flat", "SQ8", "PQ2"], min_recall=0.9)
    assert result.chosen.key == "SQ8"  # the smallest with this recall
    assert result.chosen.ndcg is None
    assert (result.n_documents, result.n_queries) == (DOCUMENTS - 40, 40)
    sample = tune(data["documents"], keys=["SQ8"], max_documents=200)
    assert (sample.n_documents, sample.sampled) == (200, True)
    assert sample.chosen.bytes_per_document == result.chosen.bytes_per_document  # of all documents


def test_on_given_queries_without_judgements(data):
    result = tune(data["documents"], queries=data["queries"], keys=["IVF8,Flat"], min_recall=0.99)
    assert result.n_queries == 30
    assert result.chosen.recall >= 0.99
    assert {point.nprobe for point in result.points} == {1, 4, 8}


def test_what_cannot_be_is_refused_with_the_nearest_point(data):
    with pytest.raises(InfeasibleError, match=r"nearest is .* feasible with --max-bytes") as caught:
        tune(data["documents"], keys=["Flat", "SQ8"], max_bytes=2)
    assert "SQ8" in str(caught.value)
    assert caught.value.exit_code == 3
    with pytest.raises(InfeasibleError, match="--min-recall 0"):
        tune(data["documents"], keys=["PQ2"], min_recall=0.999)


def test_wrong_calls(data):
    for arguments, fault, message in (
        ({"min_ndcg": 0.5}, UsageError, "needs judgements"),
        ({"prefer": "size"}, UsageError, "prefer 'size' is unknown"),
        ({"keys": []}, UsageError, "keys is empty"),
        ({"keys": ["Flot"]}, UnknownKeyError, "Flot"),
        ({"keys": ["PQ5"]}, UsageError, "m=5"),
        ({"qrels": {"q": {"d": 1}}}, UsageError, "qrels need ids"),
        ({"n_queries": 5}, EmptyInputError, "5 queries"),
    ):
        with pytest.raises(fault, match=message):
            tune(data["documents"], **arguments)
    with pytest.raises(EmptyInputError, match="none of the 1 judged"):
        tune(**{**data, "qrels": {"other": {"d1": 1}}})
