import copy
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluscomp import errors
from cluscomp.eval import evaluate, evaluate_per_query
from cluscomp.eval.metrics import parse_metrics

pytrec_eval = pytest.importorskip("pytrec_eval")

# our name -> pytrec_eval's measure and key
TREC = {
    "ndcg": ("ndcg", "ndcg"),
    "ndcg@1": ("ndcg_cut.1", "ndcg_cut_1"),
    "ndcg@10": ("ndcg_cut.10", "ndcg_cut_10"),
    "map": ("map", "map"),
    "map@5": ("map_cut.5", "map_cut_5"),
    "recall": ("set_recall", "set_recall"),
    "recall@5": ("recall.5", "recall_5"),
    "recall@100": ("recall.100", "recall_100"),
    "p@5": ("P.5", "P_5"),
    "success@1": ("success.1", "success_1"),
    "success@5": ("success.5", "success_5"),
    "mrr": ("recip_rank", "recip_rank"),
}

DOCS = [f"d{i}" for i in range(12)] + ["ä", "Ω", "文", "🙂", "D1", "d", "~", "\u00ff", "\uffee"]
# few distinct values make many ties; two differ only in double precision
SCORES = st.sampled_from([0.0, -1.5, 0.25, 1.0, 1.0 + 1e-12, 1.0 - 1e-9, 3.5, 1e-30, -1e30])
QUERIES = st.sampled_from([f"q{i}" for i in range(6)])
RUNS = st.dictionaries(QUERIES, st.dictionaries(st.sampled_from(DOCS), SCORES, max_size=15), max_size=6)
LEVELS = st.dictionaries(
    st.sampled_from([*DOCS, "unseen1", "unseen2"]), st.integers(-2, 4), min_size=1, max_size=10
)
# pytrec_eval 0.5.11 hangs or crashes on a query whose levels are all negative; a hand-worked test covers that case
QRELS = st.dictionaries(
    QUERIES, LEVELS.filter(lambda levels: max(levels.values()) >= 0), min_size=1, max_size=6
)


def oracle(run, qrels):
    """pytrec_eval on every judged query; an unanswered one is an empty ranking."""
    measures = {measure for measure, _ in TREC.values()}
    complete = {query: run.get(query, {}) for query in qrels}
    results = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(complete)
    return {q: {name: results[q][key] for name, (_, key) in TREC.items()} for q in qrels}


def quietly(function, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(*args)


@settings(max_examples=300, deadline=None)
@given(RUNS, QRELS)
def test_equals_pytrec_eval(run, qrels):
    expected = oracle(run, qrels)
    got = quietly(evaluate_per_query, run, qrels, tuple(TREC))
    assert list(got) == list(qrels)
    for query in qrels:
        assert got[query] == pytest.approx(expected[query], abs=1e-12), query
    means = {name: np.mean([row[name] for row in expected.values()]) for name in TREC}
    assert quietly(evaluate, run, qrels, tuple(TREC)) == pytest.approx(means, abs=1e-12)


def test_equals_pytrec_eval_on_long_runs_with_coarse_scores(rng):
    docs = [str(i) for i in range(3000)]
    run, qrels = {}, {}
    for i in range(40):
        chosen = rng.choice(docs, 1000, replace=False).tolist()
        run[f"q{i}"] = dict(zip(chosen, np.round(rng.normal(size=1000), 1).tolist(), strict=True))
        judged = rng.choice(docs, 60, replace=False).tolist()
        qrels[f"q{i}"] = dict(zip(judged, rng.integers(-1, 4, 60).tolist(), strict=True))
    expected = oracle(run, qrels)
    means = {name: np.mean([row[name] for row in expected.values()]) for name in TREC}
    assert evaluate(run, qrels, tuple(TREC)) == pytest.approx(means, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(RUNS, QRELS, st.integers(1, 6))
def test_mrr_at_k_is_recip_rank_of_the_cut_ranking(run, qrels, k):
    full = oracle(run, qrels)
    expected = [row["mrr"] if row["mrr"] >= 1 / k else 0.0 for row in full.values()]
    assert quietly(evaluate, run, qrels, (f"mrr@{k}",))[f"mrr@{k}"] == pytest.approx(np.mean(expected))


@settings(max_examples=50, deadline=None)
@given(RUNS, QRELS)
def test_inputs_are_not_edited(run, qrels):
    before = copy.deepcopy((run, qrels))
    orders = [list(scores) for scores in run.values()]
    quietly(evaluate, run, qrels)
    assert (run, qrels) == before
    assert [list(scores) for scores in run.values()] == orders


def test_worked_example():
    run = {"q1": {"a": 0.9, "b": 0.8, "c": 0.7}, "q2": {"x": 0.1}}
    qrels = {"q1": {"b": 1}, "q2": {"x": 1}, "q3": {"y": 1}}
    got = evaluate(run, qrels, ("mrr@10", "recall@1", "ndcg@10", "p@2"))
    assert got == pytest.approx(
        {
            "mrr@10": (1 / 2 + 1 + 0) / 3,
            "recall@1": (0 + 1 + 0) / 3,
            "ndcg@10": (1 / np.log2(3) + 1 + 0) / 3,
            "p@2": (1 / 2 + 1 / 2 + 0) / 3,
        }
    )


def test_default_metrics_and_key_order():
    assert list(evaluate({"q": {"a": 1.0}}, {"q": {"a": 1}})) == ["ndcg@10", "recall@100", "mrr@10"]


def test_dropping_hard_queries_does_not_raise_the_score():
    qrels = {"easy": {"a": 1}, "hard": {"b": 1}}
    full = {"easy": {"a": 1.0}, "hard": {"c": 1.0}}
    assert evaluate({"easy": {"a": 1.0}}, qrels) == evaluate(full, qrels)


def test_queries_without_relevant_documents_count_zero():
    qrels = {"q1": {"a": 1}, "q2": {"b": 0}, "q3": {"c": -1}}
    run = {"q1": {"a": 1.0}, "q2": {"b": 1.0}, "q3": {"c": 1.0}}
    assert evaluate(run, qrels, ("ndcg@10",)) == {"ndcg@10": pytest.approx(1 / 3)}


def test_queries_without_judgements_are_left_out():
    assert evaluate({"q1": {"a": 1.0}}, {"q1": {"a": 1}, "q2": {}}, ("mrr@10",)) == {"mrr@10": 1.0}


def test_a_constant_scorer_gains_nothing_from_input_order():
    # with the order of the input instead of trec_eval's rule this would be 1.0
    run = {"q": {"a": 1.0, "z": 1.0}}
    assert evaluate(run, {"q": {"a": 1}}, ("mrr@10",)) == {"mrr@10": 0.5}


def test_empty_run_scores_zero_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert evaluate({}, {"q": {"a": 1}}, ("ndcg@10",)) == {"ndcg@10": 0.0}


def test_a_run_of_another_split_is_zero_and_says_so():
    with pytest.warns(UserWarning, match=r"none of the 1 queries.*'train7'"):
        assert evaluate({"train7": {"a": 1.0}}, {"q": {"a": 1}}, ("mrr@10",)) == {"mrr@10": 0.0}


def test_numpy_scalars_are_taken():
    run = {"q": {"a": np.float32(0.5), "b": np.float64(0.25)}}
    assert evaluate(run, {"q": {"b": np.int64(2)}}, ("mrr@10",)) == {"mrr@10": 0.5}


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("nDCG@10", "ndcg@10"),
        ("hit@1", "success@1"),
        ("precision@3", "p@3"),
        ("R@5", "recall@5"),
        ("RR@10", "mrr@10"),
        ("AP", "map"),
    ],
)
def test_aliases_keep_the_spelling_of_the_caller(alias, name):
    run, qrels = {"q": {"a": 2.0, "b": 1.0}}, {"q": {"b": 1}}
    assert evaluate(run, qrels, (alias,)) == {alias: evaluate(run, qrels, (name,))[name]}


def test_one_metric_as_a_string():
    assert [metric.name for metric in parse_metrics("ndcg@10")] == ["ndcg@10"]


@pytest.mark.parametrize("name", ["ndgc@10", "accuracy", "", "@10"])
def test_unknown_metric_lists_the_known(name):
    with pytest.raises(errors.UsageError, match=r"unknown.*ndcg.*recall.*mrr"):
        evaluate({}, {"q": {"a": 1}}, (name,))


def test_unknown_metric_names_the_nearest():
    with pytest.raises(errors.UsageError, match=r"'ndgc@10'.*'ndcg'"):
        evaluate({}, {"q": {"a": 1}}, ("ndgc@10",))


@pytest.mark.parametrize("name", ["ndcg@0", "ndcg@-1", "ndcg@", "ndcg@ten", "p", "success", "mrr@1.5", "p@²"])
def test_bad_cutoff(name):
    with pytest.raises(errors.UsageError, match="positive cutoff"):
        evaluate({}, {"q": {"a": 1}}, (name,))


def test_no_metric():
    with pytest.raises(errors.UsageError, match="no metric"):
        evaluate({}, {"q": {"a": 1}}, ())


@pytest.mark.parametrize("qrels", [{}, {"q": {}}])
def test_no_judgement(qrels):
    with pytest.raises(errors.EmptyInputError, match="0 judged"):
        evaluate({"q": {"a": 1.0}}, qrels)


def test_levels_must_be_integers():
    with pytest.raises(errors.DTypeError, match=r"'q'.*'a'.*0\.5.*float"):
        evaluate({"q": {"a": 1.0}}, {"q": {"a": 0.5}})


def test_integer_ids_in_a_run_are_refused_instead_of_scoring_zero():
    with pytest.raises(errors.DTypeError, match="must be strings"):
        evaluate({"q": {7: 1.0}}, {"q": {"7": 1}})
