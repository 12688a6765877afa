"""What fusing words and vectors gains on the shared collections; the figures are nDCG@10 of all judged queries."""

from __future__ import annotations

import numpy as np
import pytest
from bm25_reference import Bm25, run_of, words

from cluscomp.eval import compare_runs, evaluate, fuse_runs, load_beir, tune_weight

# collection: dense, BM25, RRF with c = 60, RRF with c = 10, CC with a = .5, .6, .7
FIGURES = {
    "scifact": (0.6451, 0.6617, 0.6802, 0.6963, 0.7081, 0.7041, 0.6936),
    "cranfield": (0.4996, 0.4983, 0.5554, 0.5493, 0.5596, 0.5558, 0.5463),
    "npl": (0.4335, 0.3535, 0.4286, 0.4447, 0.4485, 0.4558, 0.4594),
    "limit-small": (0.3135, 0.9971, 0.7031, 0.7856, 0.9879, 0.9466, 0.8262),
}


def runs(folder):
    """The runs of exact search by vectors and of BM25, and the judgements.

    Documents are called by their places, the first with the largest name: of equal scores the earlier document then
    comes first. Reciprocal ranks are equal often, and the order of equal ones moves their figures by up to .012.
    """
    corpus, queries, qrels = load_beir(folder)
    names = {doc_id: f"{len(corpus) - row:06d}" for row, doc_id in enumerate(corpus)}
    vectors = folder / "minilm"
    x, q = (np.load(vectors / f"{side}.npy").astype(np.float32) for side in ("docs", "queries"))
    ids, asked = ((vectors / f"{side}.ids.txt").read_text().splitlines() for side in ("docs", "queries"))
    scores = q @ x.T
    best = np.argsort(-scores, axis=1, kind="stable")[:, :100]
    dense = {
        query_id: {names[ids[row]]: float(scores[number, row]) for row in best[number]}
        for number, query_id in enumerate(asked)
    }
    model = Bm25([words(f"{one.get('title', '')} {one['text']}") for one in corpus.values()])
    lexical = run_of(model, list(names.values()), {query_id: queries[query_id] for query_id in qrels})
    renamed = {q: {names[d]: level for d, level in levels.items()} for q, levels in qrels.items()}
    return dense, lexical, renamed


@pytest.mark.parametrize("name", list(FIGURES))
def test_figures(shared_data, name):
    dense, lexical, qrels = runs(shared_data / name)
    both = [dense, lexical]
    found = [
        dense,
        lexical,
        fuse_runs(both, method="rrf"),
        fuse_runs(both, method="rrf", c=10),
        *(fuse_runs(both, weights=(a, 1 - a)) for a in (0.5, 0.6, 0.7)),
    ]
    figures = [evaluate(run, qrels, ["ndcg@10"])["ndcg@10"] for run in found]
    assert figures == pytest.approx(FIGURES[name], abs=0.003)
    if name in ("scifact", "cranfield"):
        gain = compare_runs(found[4], dense, qrels)
        assert gain.p_value < 0.01 and gain.lower_bound > 0


def test_held_out_weight(shared_data):
    """The tuned weight, measured on other queries, stays near that of equal weights."""
    dense, lexical, qrels = runs(shared_data / "cranfield")
    tuned = tune_weight([dense, lexical], qrels)
    assert tuned.n_queries == 225 and len(tuned.by_fold) == 5
    assert tuned.first == pytest.approx(0.4996, abs=0.003)
    assert tuned.held_out > max(tuned.first, tuned.second) + 0.03
    assert tuned.held_out == evaluate(tuned.run, qrels, ["ndcg@10"])["ndcg@10"]
