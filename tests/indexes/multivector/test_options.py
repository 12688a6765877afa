"""Other ways of choosing and scoring documents: fixed-dimensional encodings, softmax, pruned queries."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.errors import DimensionError, NonFiniteError, UnknownKeyError, UsageError
from cluscomp.indexes import index_factory


def same(got, want):
    for part, expected in zip(got, want, strict=True):
        np.testing.assert_array_equal(part, expected)


# ---- candidates by fixed-dimensional encodings ----


def test_all_candidates_of_encodings_are_a_whole_search(key, make_documents, questions):
    q, lengths = questions
    index = make_documents(key, [f"d{i}" for i in range(150)])
    index.delete(["d5", "d149"])
    vectors = index.vectors(["d0"])[0]
    index.add(vectors, lengths=[len(vectors)], ids=["again"])  # a second segment, smaller than k
    everything = {"lengths": lengths, "candidates": 149, "refine_factor": 149}
    same(index.search(q, 149, candidates_by="fde", **everything), index.search(q, 149, **everything))


def test_few_candidates_of_encodings_find_the_best(make_documents, documents):
    x, lengths = documents
    index = make_documents("Pool(f=1),SQ8")  # no lists, so all documents are scored otherwise
    long = np.flatnonzero(lengths >= 6)
    ends = np.cumsum(lengths)
    own = [x[ends[i] - lengths[i] : ends[i]] for i in long]
    whole, few = index.search(own, 3), index.search(own, 3, candidates_by="fde", candidates=40)
    assert np.mean(few[1][:, 0] == long) > 0.95
    assert np.mean(few[1] == whole[1]) > 0.8 and not np.array_equal(few[1], whole[1])
    found = few[1] == whole[1]
    np.testing.assert_array_equal(
        few[0][found], whole[0][found]
    )  # scores are MaxSim of the codes all the same


# ---- softmax ----


def test_softmax_by_hand():
    """c = (1, 0), (0, 1); q = (ln 3, 0): weights 3/4 and 1/4, so the score is 3/4 ln 3."""
    index = index_factory("Pool(f=1),Flat", 2).add(np.eye(2), lengths=[2])
    score = index.search(np.array([[np.log(3), 0.0]]), 1, softmax=1.0)[0]
    assert score[0, 0] == pytest.approx(0.75 * np.log(3))


def test_softmax_of_one_vector_is_its_product_and_sharpens_to_maxsim(make_documents, documents, questions):
    x, lengths = documents
    q, query_lengths = questions
    single = index_factory("Pool1(ward),Flat", x.shape[1]).add(x, lengths=lengths)
    settings = {"lengths": query_lengths, "refine_factor": 150}
    got, want = single.search(q, 9, softmax=1.0, **settings), single.search(q, 9, **settings)
    np.testing.assert_array_equal(got[1], want[1])
    np.testing.assert_allclose(got[0], want[0], atol=1e-6)
    index = make_documents("Pool4,IVF8,PQ6,RFlat")
    whole = index.search(q, 150, lengths=query_lengths, refine_factor=150, candidates=150)
    soft = index.search(q, 150, lengths=query_lengths, refine_factor=150, candidates=150, softmax=0.1)
    sharp = index.search(q, 150, lengths=query_lengths, refine_factor=150, candidates=150, softmax=1e-4)
    np.testing.assert_allclose(sharp[0], whole[0], atol=1e-3)
    for row in range(len(query_lengths)):
        most = dict(zip(whole[1][row], whole[0][row], strict=True))
        assert all(score <= most[name] + 1e-5 for name, score in zip(soft[1][row], soft[0][row], strict=True))
    assert not np.array_equal(soft[1], whole[1])
    assert (np.diff(soft[0], axis=1) <= 0).all()


# ---- pruned queries ----


def test_pruned_queries_are_searched_without_the_rest(make_documents, questions, rng):
    q, lengths = questions  # 5, 1, 33, 8, 2 vectors
    index = make_documents("Pool4,IVF8,PQ12")
    weights = rng.random(lengths.sum())
    got = index.search(q, 9, lengths=lengths, keep=0.5, salience=weights)
    kept, counts, start = [], [], 0
    for n, expected in zip(lengths, [3, 1, 17, 4, 1], strict=True):  # rounded up
        rows = np.sort(np.argsort(-weights[start : start + n])[:expected])
        kept.append(q[start : start + n][rows])
        counts.append(expected)
        start += n
    same(got, index.search(np.concatenate(kept), 9, lengths=counts))
    same(index.search(q, 9, lengths=lengths, keep=1.0, salience=weights), index.search(q, 9, lengths=lengths))
    same(index.search(q, 9, lengths=lengths, keep=0.1, salience=np.ones(lengths.sum())),
         index.search([q[:1], q[5:6], q[6:10], q[39:40], q[47:48]], 9))  # fmt: skip


def test_one_centroid_a_vector(documents, questions):
    """HPC-ColPali's quantization: K-means over whole vectors, one byte each."""
    x, lengths = documents
    index = index_factory("Pool(f=1),PQ1", x.shape[1])
    index.train(x, lengths=lengths).add(x, lengths=lengths)
    assert index.code_size == 1
    assert index.search(questions[0], 5, lengths=questions[1])[1].shape == (5, 5)


def test_wrong_calls(make_documents, questions):
    q, lengths = questions
    index = make_documents("Pool4,IVF8,PQ12")
    with pytest.raises(UnknownKeyError, match="known are: lists, fde"):
        index.search(q, 3, lengths=lengths, candidates_by="magic")
    for wrong in (0, -1.0, float("nan"), "x", True):
        with pytest.raises(UsageError, match="softmax must be a finite number above 0"):
            index.search(q, 3, lengths=lengths, softmax=wrong)
    with pytest.raises(UsageError, match="come together"):
        index.search(q, 3, lengths=lengths, keep=0.5)
    with pytest.raises(UsageError, match="keep must be .* but is 0"):
        index.search(q, 3, lengths=lengths, keep=0, salience=np.ones(49))
    with pytest.raises(DimensionError, match="49 query vectors"):
        index.search(q, 3, lengths=lengths, keep=0.5, salience=np.ones(5))
    with pytest.raises(NonFiniteError, match="vector 3"):
        index.search(q, 3, lengths=lengths, keep=0.5, salience=np.where(np.arange(49) == 3, np.nan, 1.0))
