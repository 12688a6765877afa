"""Scores and vectors of documents by id."""

from __future__ import annotations

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import DTypeError, InputError, UsageError
from cluscomp.indexes import index_factory


def test_scores_of_documents_are_those_of_a_search(key, make_documents, questions):
    q, lengths = questions
    index = make_documents(key, [f"d{i}" for i in range(150)])
    index.delete(["d3"])
    x = index.vectors(["d9"])[0]
    index.add(x, lengths=[len(x)], ids=["d3"])  # a second segment
    scores, ids = index.search(q, 150, lengths=lengths, refine_factor=150, candidates=150)
    wanted = ["d149", "d3", "d0"]
    got = index.score(q, wanted, lengths=lengths)
    for row in range(len(lengths)):
        of = dict(zip(ids[row], scores[row], strict=True))
        np.testing.assert_array_equal(got[row], [of[name] for name in wanted])


def test_vectors_give_the_scores_of_the_index(key, make_documents, questions):
    q, lengths = questions
    index = make_documents(key)
    ids = [140, 2, 77]
    vectors, kept = index.vectors(ids)
    assert vectors.dtype == np.float32 and vectors.shape == (kept.sum(), index.dim)
    want = index.score(q, ids, lengths=lengths)
    np.testing.assert_allclose(cc.maxsim(q, lengths, vectors, kept), want, atol=2e-5)
    one, n = index.vectors([2])
    np.testing.assert_array_equal(vectors[kept[0] : kept[0] + kept[1]], one)
    assert n.tolist() == [kept[1]]


def test_exact_vectors_come_back(documents):
    x, lengths = documents
    index = index_factory("Pool(f=1),Flat", x.shape[1]).add(x, lengths=lengths)
    np.testing.assert_array_equal(index.vectors(np.arange(150))[0], x)
    assert index.vectors([])[0].shape == (0, x.shape[1])


def test_wrong_calls(make_documents, questions, documents):
    q, lengths = questions
    index = make_documents("Pool4,IVF8,PQ12", [f"d{i}" for i in range(150)])
    index.delete(["d4"])
    with pytest.raises(InputError, match="id 'd4' is not in the index"):
        index.score(q, ["d3", "d4"], lengths=lengths)
    with pytest.raises(DTypeError, match="str ids"):
        index.vectors([3])
    x, n = documents
    short = index_factory("Pool4,MRL8,SQ8", x.shape[1])
    short.train(x, lengths=n).add(x, lengths=n)
    with pytest.raises(UsageError, match="MRL8"):
        short.vectors([0])
    assert short.score(q, [0], lengths=lengths).shape == (5, 1)


def test_scores_of_documents_of_each_query(key, make_documents, questions):
    q, lengths = questions
    index = make_documents(key, [f"d{i}" for i in range(150)])
    rng = np.random.default_rng(0)
    places = np.array([rng.permutation(150)[:6] for _ in lengths])
    table = index.score(q, index.ids, lengths=lengths)
    got = index.score(q, np.array(index.ids)[places], lengths=lengths)
    np.testing.assert_array_equal(got, np.take_along_axis(table, places, axis=1))
    index.delete(["d4"])
    got = index.score(q, ["d4", "d5", "nothing"], lengths=lengths, missing="ignore")
    np.testing.assert_array_equal(got[:, 1], table[:, 5])
    assert np.isneginf(got[:, [0, 2]]).all()
