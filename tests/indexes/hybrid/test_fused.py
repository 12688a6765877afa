"""Hybrid indexes: equal to fusing exhaustive runs, and near that from one probed list."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.attributes import Field
from cluscomp.encoders import load_encoder
from cluscomp.errors import DimensionError, DTypeError, IncompleteResultsWarning, InputError, UsageError
from cluscomp.eval import evaluate_index, fuse_runs, load_beir
from cluscomp.eval.retrieval import run_from_results
from cluscomp.indexes import index_factory
from cluscomp.indexes.filters import cache
from cluscomp.indexes.hybrid.search import Candidates
from cluscomp.indexes.sparse.known_names import KnownNames
from cluscomp.indexes.stages.hits import Hits
from cluscomp.terms import HybridRows
from tests.indexes.hybrid.conftest import DIM, N, ragged_rows, rows_of

NAMES = [str(i) for i in range(20)]
INF = float("inf")


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"weight": 0.8},
        {"weight": 1.0},
        {"method": "rrf", "c": 10, "weight": 1.0},  # words have equal scores, whose ranks differ by id
        {"normalise": "dbsf"},
        {"normalise": "tmm", "minima": (-5, 0)},
    ],
)
def test_all_lists_give_the_fused_runs(index, queries, rule):
    runs = [
        run_from_results(NAMES, *index.dense.search(queries.vectors, 30, nprobe=8)),
        run_from_results(NAMES, *index.lexical.search(queries.terms, 30)),
    ]
    weight = rule.get("weight", 0.5)
    options = {name: value for name, value in rule.items() if name != "weight"}
    expected = fuse_runs(runs, weights=(weight, 1 - weight), depth=30, **options)
    found = run_from_results(NAMES, *index.search(queries, 20, depth=30, nprobe=8, **rule))
    for name in NAMES:
        best = list(expected[name].values())[:20]
        assert list(found[name].values()) == pytest.approx(best, abs=1e-6)
        assert {d for d, s in expected[name].items() if s > best[-1]} <= set(found[name])
        for document, score in found[name].items():
            assert score == pytest.approx(expected[name][document], abs=1e-6)


def test_candidates_by_hand():
    """Rows 1 and 4 by vectors, 4 and 2 by words; row 2 has .5 by vectors, row 1 no word."""
    vectors = Hits(np.float32([[0.9, 0.1]]), np.array([[1, 4]]))
    words = Hits(np.float32([[3.0, 2.0, -INF]]), np.array([[4, 2, -1]]))
    found = Candidates.of(vectors, words)
    known = {1: (0.9, 0.0), 2: (0.5, 2.0), 4: (0.1, 3.0)}
    score = [lambda p, i=i: np.vectorize(lambda one: known.get(one, (-INF,) * 2)[i])(p) for i in (0, 1)]
    whole = found.scored(*score)
    there = whole.positions[0] >= 0
    assert whole.positions[0][there].tolist() == [1, 2, 4]
    assert whole.vectors[0][there].tolist() == pytest.approx([0.9, 0.5, 0.1])
    assert whole.words[0][there].tolist() == [-INF, 2.0, 3.0]
    from cluscomp.fusion import Fusion

    hits = whole.fused(Fusion.of(2), 5)  # 1: .5 + 0; 2: .25 + 0; 4: 0 + .5; rows 1 and 4 are equal
    assert hits.positions[0].tolist() == [1, 4, 2, -1, -1]
    assert hits.scores[0][:3].tolist() == pytest.approx([0.5, 0.5, 0.25])


def test_what_words_find_is_scored_by_vectors(index, queries):
    """One list of eight is visited, and the fused scores are those of exact scores by both sides."""
    common = {"k": 20, "k_beyond": "clip"}
    found, _ = index._candidates(index._sides(index._together), queries, common, {"nprobe": 1}, {})
    for row in range(20):
        there = np.flatnonzero(found.positions[row] >= 0)
        ids = [f"d{i}" for i in found.positions[row][there]]
        asked = queries[row : row + 1]
        assert found.vectors[row][there].tolist() == index.dense.score(asked.vectors, ids)[0].tolist()
        words = index.lexical.score(asked.terms, ids)[0]
        assert np.where(words > 0, words, -INF).tolist() == found.words[row][there].tolist()
        assert set(index.lexical.search(asked.terms, 20)[1][0]) <= {*ids, None}


def test_a_condition_and_the_terms_are_looked_up_once_for_both_sides(rows, queries, monkeypatch):
    index = index_factory("IVF8,Flat+Sparse(bm25)", DIM).train(rows)
    index.add(rows, attributes={"year": [1990 + i % 40 for i in range(N)]})
    evaluated, looked_up = [], []
    matching, find = cache.matching_bits, KnownNames.find
    monkeypatch.setattr(cache, "matching_bits", lambda *a: evaluated.append(a) or matching(*a))
    monkeypatch.setattr(KnownNames, "find", lambda *a: looked_up.append(a) or find(*a))
    index.search(queries, 5, filter="year >= 2000")
    assert len(evaluated) == 1
    assert len(looked_up) == 1  # among the terms of training; the segment has none of its own


def test_filters_and_tenants_reach_both_sides(rows, queries):
    index = index_factory("IVF8,Flat+Sparse(bm25)", DIM).train(rows)
    index.declare_attributes({"owner": Field("text", tenant=True)})
    facts = {"year": [1990 + i % 40 for i in range(N)], "owner": [("ann", "bob")[i % 2] for i in range(N)]}
    index.add(rows, attributes=facts, new_attributes=True)
    with pytest.raises(UsageError, match="tenant"):
        index.search(queries, 5)
    _, ids, info = index.search(queries, 50, filter="year >= 2020", tenant="bob", nprobe=1, return_info=True)
    found = ids[ids >= 0]
    assert found.size and (1990 + found % 40 >= 2020).all() and (found % 2 == 1).all()
    assert ids.shape[1] <= info.allowed.max() == sum(1990 + i % 40 >= 2020 and i % 2 for i in range(N))
    everybody = index.search(queries, 50, tenant=None)[1]
    assert set(everybody.ravel() % 2) == {0, 1}
    for side, asked in ((index.dense, queries.vectors), (index.lexical, queries.terms)):
        read = side.terms if hasattr(side, "terms") else side.vectors
        for call in (side.search, side.score, side.get, read):
            arguments = {side.search: (asked, 5), side.score: (asked, [1])}.get(call, ([1],))
            with pytest.raises(UsageError, match="tenant"):
                call(*arguments)
        own = side.search(asked, 50, tenant="ann")[1]
        assert (own[own >= 0] % 2 == 0).all() and own.size
        with pytest.raises(InputError):
            side.get([1], tenant="ann")
        with pytest.raises(InputError):
            read([1], tenant="ann")
    with pytest.raises(UsageError, match="tenant"):
        index.vectors([1])
    with pytest.raises(InputError):
        index.terms([1], tenant="ann")
    assert index.get([1], tenant="bob")[0].attributes["owner"] == "bob"


def test_several_vectors_a_document():
    rows = ragged_rows()
    index = index_factory("Pool(f=1),IVF4,Flat+Sparse(bm25)", DIM).train(rows).add(rows)
    asked = ragged_rows(5, 7)
    together = index.search(asked, 5, depth=10, candidates=80)
    for row in range(5):
        alone = index.search(asked[row : row + 1], 5, depth=10, candidates=80)
        for one, many in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one[0], many[row])
    _, lengths = index.vectors([3, 1])
    assert lengths.tolist() == [rows.lengths[3], rows.lengths[1]]
    with pytest.raises(UsageError, match="softmax: no argument"):
        index.search(asked, 5, softmax=0.1)


def test_defaults_are_saved(index, queries, tmp_path):
    from cluscomp.indexes import open_index

    index.weight, index.depth, index.nprobe = 0.7, 40, 3
    assert index.search_defaults() == {"nprobe": 3, "weight": 0.7, "depth": 40}
    index.save(tmp_path / "i")
    opened = open_index(tmp_path / "i")
    expected = index.search(queries, 10, weight=0.7, depth=40, nprobe=3)
    for one, two in zip(opened.search(queries, 10), expected, strict=True):
        np.testing.assert_array_equal(one, two)


def test_fewer_hits_than_asked_for(index, queries):
    with pytest.warns(IncompleteResultsWarning, match="raise depth"):
        _, ids = index.search(queries, 50, depth=10)
    assert ids.shape == (20, 50) and (ids[:, 25:] == None).all()  # noqa: E711


def test_wrong_input(index, queries):
    with pytest.raises(DTypeError, match="HybridRows"):
        index.search(queries.vectors, 3)
    with pytest.raises(DimensionError, match="20 rows of vectors, but 5 of terms"):
        HybridRows(queries.vectors, queries.terms[:5])
    with pytest.raises(UsageError, match="at most 1"):
        index.search(queries, 3, weight=1.5)
    with pytest.raises(UsageError, match="candidates: no argument"):
        index.search(queries, 3, candidates=5)
    with pytest.raises(UsageError, match="k=401"):
        index.search(queries, 401)
    with pytest.raises(UsageError, match="holds 400 rows"):
        index.train(rows_of())


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("Sparse+Flat", "is no key of vectors"),
        ("Flat+SQ8", "is no Sparse or Seismic key"),
        ("Flat+Sparse+Sparse", "3 parts"),
        ("Flat+Sparze", "did you mean"),
    ],
)
def test_wrong_keys(key, message):
    with pytest.raises(UsageError, match=message):
        index_factory(key, DIM)


def test_one_spelling():
    index = index_factory("OPQ4, PQ4 + Sparse(bits=8,bm25)", DIM)
    assert index.key == "OPQ4,PQ4+Sparse(bm25,bits=8)"


@pytest.mark.parametrize(
    ("name", "lists", "figures"),
    [("scifact", 64, {1: 0.709, 4: 0.711, 16: 0.708}), ("npl", 128, {1: 0.436, 4: 0.445, 16: 0.447})],
)
def test_one_list_and_the_words_are_enough(shared_data, name, lists, figures):
    """nDCG@10 from few probed lists is that of fusing exhaustive searches (scifact .708, npl .449)."""
    folder = shared_data / name
    corpus, queries, qrels = load_beir(folder)
    x, q = (np.load(folder / "minilm" / f"{side}.npy").astype(np.float32) for side in ("docs", "queries"))
    ids, asked = ((folder / "minilm" / f"{s}.ids.txt").read_text().splitlines() for s in ("docs", "queries"))
    texts = [f"{corpus[i].get('title', '')} {corpus[i]['text']}" for i in ids]
    words = load_encoder("words", "words")
    rows = HybridRows(x, words.encode_documents(texts))
    index = index_factory(f"IVF{lists},Flat+Sparse(bm25)", 384).train(rows).add(rows, ids)
    both = HybridRows(q, words.encode_queries([queries[i] for i in asked]))
    for nprobe, figure in figures.items():
        report = evaluate_index(
            index, both, asked, qrels, metrics=["ndcg@10"], search_kwargs={"nprobe": nprobe}
        )
        assert report.metrics["ndcg@10"] == pytest.approx(figure, abs=0.006)  # k-means is ours
