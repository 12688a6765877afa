"""Two indexes searched together: equal to fusing exhaustive runs, and near that from one probed list."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.encoders import load_encoder
from cluscomp.errors import DimensionError, DTypeError, UsageError
from cluscomp.eval import HybridIndex, HybridQueries, evaluate_index, fuse_runs, load_beir
from cluscomp.eval.retrieval import run_from_results
from cluscomp.indexes import index_factory

N, DIM = 500, 16
WORDS = [f"w{i}" for i in range(50)]


def made(key="IVF8,Flat", ids=None, seed=0):
    rng = np.random.default_rng(seed)
    x, q = (rng.standard_normal((n, DIM)).astype(np.float32) for n in (N, 20))
    texts, asked = ([" ".join(rng.choice(WORDS, 8)) for _ in range(n)] for n in (N, 20))
    vectors = index_factory(key, DIM)
    vectors.train(x)
    vectors.add(x, ids)
    words = index_factory("Sparse(bm25)", 1).train(texts).add(texts, ids)
    return vectors, words, HybridQueries(q, load_encoder("words", "words").encode_queries(asked))


@pytest.mark.parametrize("ids", [None, [f"d{i}" for i in range(N)]])
@pytest.mark.parametrize("weight", [0.5, 0.8])
def test_all_lists_give_the_fused_runs(ids, weight):
    vectors, words, queries = made(ids=ids)
    names = [str(i) for i in range(20)]
    runs = [
        run_from_results(names, *vectors.search(queries.vectors, 30, nprobe=8)),
        run_from_results(names, *words.search(queries.terms, 30)),
    ]
    expected = fuse_runs(runs, weights=(weight, 1 - weight), depth=30)
    hybrid = HybridIndex(vectors, words, weight=weight, depth=30)
    found = run_from_results(names, *hybrid.search(queries, 60, nprobe=8))
    for name in names:
        assert list(found[name]) == list(expected[name])[:60]
        assert found[name] == pytest.approx(expected[name], abs=1e-6)


def test_what_words_find_is_scored_by_vectors():
    """One list of eight is visited; the best by words take part with their exact scores by vectors all the same."""
    vectors, words, queries = made()
    hybrid = HybridIndex(vectors, words, depth=20)
    dense, lexical = hybrid.runs(queries, nprobe=1)
    for number in range(20):
        asked = queries[number : number + 1]
        by_words = words.search(asked.terms, 20)[1][0]
        scores = vectors.score(asked.vectors, by_words)[0]
        run = dense[str(number)]
        assert [run[str(name)] for name in by_words] == scores.tolist()
        visited = vectors.search(asked.vectors, 20, nprobe=1, k_beyond="clip")[1][0]
        expected = words.score(asked.terms, visited[visited >= 0])[0]
        for name, score in zip(visited, expected.tolist(), strict=False):
            assert lexical[str(number)].get(str(name), 0.0) == score


def test_documents_that_one_index_lacks():
    vectors, words, queries = made()
    words.delete(range(0, N, 2))
    vectors.delete(range(1, N, 5))
    scores, ids = HybridIndex(vectors, words, depth=40).search(queries, 10)
    assert np.isfinite(scores).all() and not set(ids.ravel()) - set(vectors.ids) - set(words.ids)


def test_filters_reach_both_sides():
    rng = np.random.default_rng(3)
    x, texts = (
        rng.standard_normal((200, DIM)).astype(np.float32),
        [" ".join(rng.choice(WORDS, 8)) for _ in range(200)],
    )
    years = {"year": [1990 + i % 40 for i in range(200)]}
    vectors, words = index_factory("Flat", DIM), index_factory("Sparse(bm25)", 1).train(texts)
    vectors.add(x, attributes=years, new_attributes=True)
    words.add(texts, attributes=years, new_attributes=True)
    queries = HybridQueries(x[:9], load_encoder("words", "words").encode_queries(texts[:9]))
    ids = HybridIndex(vectors, words).search(queries, 50, filter="year >= 2020")[1]
    found = ids[ids >= 0]
    assert found.size and (1990 + found % 40 >= 2020).all()


def test_several_vectors_a_document():
    rng = np.random.default_rng(1)
    lengths, asked = rng.integers(2, 6, 80), rng.integers(1, 4, 5)
    x, q = (rng.standard_normal((n.sum(), DIM)).astype(np.float32) for n in (lengths, asked))
    late = index_factory("Pool(f=1),Flat", DIM)
    late.train(x, lengths=lengths)
    late.add(x, lengths=lengths)
    texts = [" ".join(rng.choice(WORDS, 8)) for _ in range(80)]
    words = index_factory("Sparse(bm25)", 1).train(texts).add(texts)
    terms = load_encoder("words", "words").encode_queries(texts[:5])
    hybrid = HybridIndex(late, words, depth=10)
    together = hybrid.search(HybridQueries(q, terms, asked), 5)
    for row in range(5):
        alone = hybrid.search(HybridQueries(q, terms, asked)[row : row + 1], 5)
        for one, many in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one[0], many[row])


def test_sizes():
    vectors, words, _ = made()
    hybrid = HybridIndex(vectors, words)
    assert hybrid.nbytes()["total"] == vectors.nbytes()["total"] + words.nbytes()["total"]
    assert hybrid.code_bytes_per_document == vectors.code_bytes_per_document + words.code_bytes_per_document
    assert len(hybrid) == N


def test_wrong_pairs():
    vectors, words, queries = made()
    with pytest.raises(UsageError, match="no index of vectors"):
        HybridIndex(words, words)
    with pytest.raises(UsageError, match="no index of weighted terms"):
        HybridIndex(vectors, vectors)
    with pytest.raises(UsageError, match="at most 1"):
        HybridIndex(vectors, words, weight=1.5)
    _, named, _ = made(ids=[f"d{i}" for i in range(N)])
    with pytest.raises(DTypeError, match="int64, that of words str"):
        HybridIndex(vectors, named)
    with pytest.raises(DimensionError, match="20 queries by vectors, but 5 by words"):
        HybridIndex(vectors, words).search(HybridQueries(queries.vectors, queries.terms[:5]), 3)


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
    vectors = index_factory(f"IVF{lists},Flat", 384)
    vectors.train(x)
    hybrid = HybridIndex(vectors.add(x, ids), index_factory("Sparse(bm25)", 1).train(texts).add(texts, ids))
    both = HybridQueries(q, load_encoder("words", "words").encode_queries([queries[i] for i in asked]))
    for nprobe, figure in figures.items():
        report = evaluate_index(
            hybrid, both, asked, qrels, metrics=["ndcg@10"], search_kwargs={"nprobe": nprobe}
        )
        assert report.metrics["ndcg@10"] == pytest.approx(figure, abs=0.006)  # k-means is ours
