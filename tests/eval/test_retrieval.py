import dataclasses

import numpy as np
import pytest

from cluscomp import errors
from cluscomp.eval import EvalReport, evaluate_index
from cluscomp.eval.retrieval import run_from_results


class ExactIndex:
    """Exact inner-product search in NumPy; `found` limits what it can deliver."""

    def __init__(self, vectors, ids, found=None):
        self.vectors, self.ids, self.found, self.calls = vectors, ids, found, []

    def __len__(self):
        return len(self.vectors)

    def search(self, queries, k, **kwargs):
        self.calls.append((len(queries), k, kwargs))
        scores = queries @ self.vectors.T
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        values = np.take_along_axis(scores, order, axis=1)
        ids = np.asarray(self.ids, dtype=object if isinstance(self.ids[0], str) else np.int64)[order]
        if self.found is not None:
            values[:, self.found :] = -np.inf
            ids[:, self.found :] = None if ids.dtype == object else -1
        return values, ids


class SizedIndex(ExactIndex):
    code_bytes_per_document = 16

    def nbytes(self):
        return {"codes": 64, "ids": 32}


EYE = np.eye(4, dtype=np.float32)
STRINGS = ["a", "b", "c", "d"]
QRELS = {"q0": {"a": 1}, "q1": {"c": 1}}


def test_metrics_sizes_and_counts():
    report = evaluate_index(SizedIndex(EYE, STRINGS), EYE[:2], ["q0", "q1"], QRELS, k=10, metrics=("mrr@10",))
    # q0 finds "a" first; q1 finds "b", then a, c, d tie and the largest id comes first: d, c, a
    assert report.metrics == {"mrr@10": pytest.approx((1 + 1 / 3) / 2)}
    assert (report.n_queries, report.n_docs, report.k, report.n_missing) == (2, 4, 4, 0)
    assert report.bytes_per_document == 24.0
    assert report.code_bytes_per_document == 16.0
    assert 0 < report.latency_p50_ms <= report.latency_p95_ms <= report.latency_p99_ms
    assert report.queries_per_second > 0
    assert dataclasses.asdict(report)["metrics"] == report.metrics


def test_integer_ids_become_strings():
    qrels = {"q0": {"7": 1}}
    report = evaluate_index(ExactIndex(EYE, [7, 8, 9, 10]), EYE[:1], ["q0"], qrels, k=100)
    assert report.metrics["mrr@10"] == 1.0
    assert report.bytes_per_document is None
    assert report.code_bytes_per_document is None


@pytest.mark.parametrize("ids", [STRINGS, [1, 2, 3, 4]])
def test_missing_results_are_counted_and_left_out(ids):
    index = ExactIndex(EYE, ids, found=1)
    report = evaluate_index(index, EYE[:2], ["q0", "q1"], {"q1": {str(ids[2]): 1}}, k=3, metrics=("mrr@3",))
    assert report.metrics == {"mrr@3": 0.0}
    assert report.n_missing == 4
    run = run_from_results(["q0"], *index.search(EYE[:1], 3))
    assert run == {"q0": {str(ids[0]): 1.0}}


def test_search_kwargs_reach_the_index_and_single_queries_are_timed():
    index = ExactIndex(EYE, STRINGS)
    evaluate_index(index, EYE[:3], ["q0", "q1", "q2"], QRELS, search_kwargs={"nprobe": 3})
    assert index.calls[0] == (3, 4, {"nprobe": 3})
    assert index.calls[1:] == [(1, 4, {"nprobe": 3})] * 6  # three to warm up, three timed


def test_at_most_200_queries_are_timed():
    queries = np.tile(EYE, (60, 1))
    index = ExactIndex(EYE, STRINGS)
    evaluate_index(index, queries, [f"q{i}" for i in range(240)], QRELS)
    assert len(index.calls) == 1 + 10 + 200


def test_identical_ids_are_kept_unless_asked():
    vectors = np.array([[1.0, 0], [0.9, 0], [0, 1]], np.float32)
    index = ExactIndex(vectors, ["q0", "b", "c"])
    args = (index, vectors[:1], ["q0"], {"q0": {"b": 1}})
    assert evaluate_index(*args, k=1, metrics=("mrr@1",)).metrics == {"mrr@1": 0.0}
    report = evaluate_index(*args, k=1, metrics=("mrr@1",), ignore_identical_ids=True)
    assert report.metrics == {"mrr@1": 1.0}
    assert report.k == 1


def test_dropping_keeps_k_results_when_the_query_is_not_among_them():
    scores, ids = np.array([[3.0, 2.0, 1.0]]), np.array([["a", "b", "c"]], dtype=object)
    assert run_from_results(["q"], scores, ids, limit=2, drop_for=["q"]) == {"q": {"a": 3.0, "b": 2.0}}
    assert run_from_results(["a"], scores, ids, limit=2, drop_for=["a"]) == {"a": {"b": 2.0, "c": 1.0}}


def test_unanswered_judged_queries_count():
    report = evaluate_index(ExactIndex(EYE, STRINGS), EYE[:1], ["q0"], QRELS, k=10, metrics=("mrr@10",))
    assert report.metrics == {"mrr@10": 0.5}


@pytest.mark.parametrize(
    ("changes", "fault", "message"),
    [
        ({"k": 0}, errors.UsageError, "k must be .* but is 0"),
        ({"k": 5, "metrics": ("recall@100",)}, errors.UsageError, "needs 100 results, k is 5"),
        ({"metrics": ("nope",)}, errors.UsageError, "unknown"),
        ({"query_ids": ["q0"]}, errors.DimensionError, "1 query ids for 2 queries"),
        ({"queries": EYE[:0], "query_ids": []}, errors.EmptyInputError, "0 queries"),
        ({"index": ExactIndex(EYE[:0], STRINGS)}, errors.EmptyInputError, "0 documents"),
    ],
)
def test_bad_calls(changes, fault, message):
    call = {"index": ExactIndex(EYE, STRINGS), "queries": EYE[:2], "query_ids": ["q0", "q1"], "qrels": QRELS}
    with pytest.raises(fault, match=message):
        evaluate_index(**{**call, **changes})


def test_the_report_is_frozen():
    report = evaluate_index(ExactIndex(EYE, STRINGS), EYE[:1], ["q0"], QRELS)
    assert isinstance(report, EvalReport)
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.k = 3
