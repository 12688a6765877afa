"""Documents fitted to MaxSim: what the pool learns, that lengths are kept, and documents that come later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import CorruptIndexError, DimensionError, NotTrainedError, UsageError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.build.run import build_index
from cluscomp.indexes.keys.grammar import parse_key
from cluscomp.indexes.stages.support_pool import GUIDES, WARD_SHARE, guides
from cluscomp.multivector.support import SAMPLE_SIZE

FORMAT2 = Path(__file__).parent.parent / "format2" / "documents"


def plain_maxsim(queries, query_lengths, vectors, lengths):
    """Scores (n_queries, n_docs) in float64."""
    products = np.asarray(queries, "f8") @ np.asarray(vectors, "f8").T
    ends, asked = np.cumsum(lengths), np.cumsum(query_lengths)
    best = np.stack([products[:, e - n : e].max(axis=1) for n, e in zip(lengths, ends, strict=True)], axis=1)
    return np.stack([best[e - n : e].sum(axis=0) for n, e in zip(query_lengths, asked, strict=True)])


def trained(key, documents, metric="ip"):
    x, lengths = documents
    return index_factory(key, x.shape[1], metric, seed=3).train(x, lengths=lengths)


def test_vectors_are_those_of_pool_tokens(documents):
    x, lengths = documents
    index = trained("Pool4,Flat", documents).add(x, lengths=lengths)
    arrays = index.pipeline.support.parameters()
    share, b, c = arrays["fit"][:3].tolist()
    assert share == WARD_SHARE
    want, kept = cc.pool_tokens(
        x,
        lengths,
        max_vectors=4,
        method="support",
        sample=arrays["sample"],
        ward_share=share,
        ward_line=(b, c),
    )
    vectors, found = index.vectors(index.ids)
    np.testing.assert_array_equal(found, kept)
    np.testing.assert_allclose(vectors, want, atol=2e-5)
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() > 0.01


def test_the_sample_is_of_unit_length_and_drawn_from_the_documents(documents):
    x, lengths = documents
    sample = trained("Pool4,Flat", (3 * x, lengths)).pipeline.support.parameters()["sample"]
    assert sample.shape == (SAMPLE_SIZE, x.shape[1])
    filled = min(SAMPLE_SIZE, int(lengths.sum()))
    np.testing.assert_allclose(np.linalg.norm(sample[:filled].astype("f4"), axis=1), 1, atol=2e-3)
    assert not sample[filled:].any()
    rounded = {tuple(row) for row in x.astype("f2")}
    near = [tuple(row) in rounded for row in sample[:filled]]
    assert np.mean(near) > 0.5  # the others fall to the other side when they are rounded


def test_a_sample_of_queries_takes_the_place_of_the_documents(documents, questions, tmp_path):
    """In memory, from an array and from a file, and in a build: the directions are those of the queries."""
    (x, lengths), (q, _) = documents, questions
    np.save(tmp_path / "q.npy", q)
    own = trained("Pool4,Flat", documents).pipeline.support.parameters()
    wanted = (q / np.linalg.norm(q, axis=1, keepdims=True)).astype("f2")
    built = build_index(
        x,
        lengths=lengths,
        index_key="Pool4,Flat",
        output=tmp_path / "i",
        pool_sample=tmp_path / "q.npy",
        seed=3,
    )
    made = [
        index_factory("Pool4,Flat", x.shape[1], "ip", seed=3).train(x, lengths=lengths, pool_sample=2 * q),
        open_index(built.output),
    ]
    for index in made:
        arrays = index.pipeline.support.parameters()
        np.testing.assert_allclose(arrays["sample"][: len(q)].astype("f4"), wanted, atol=1e-3)
        assert not arrays["sample"][len(q) :].any()
        assert not np.array_equal(arrays["fit"], own["fit"])  # the line is that of these directions
    with pytest.raises(UsageError, match="pool_sample is for pools that are fitted.*Pool4\\(ward\\),Flat"):
        index_factory("Pool4(ward),Flat", x.shape[1], "ip").train(x, lengths=lengths, pool_sample=q)
    with pytest.raises(DimensionError, match="pool_sample"):
        index_factory("Pool4,Flat", x.shape[1], "ip").train(x, lengths=lengths, pool_sample=q[:, :3])


def test_guides_are_drawn_without_repetition():
    few = guides(100_000, 5)
    assert len(np.unique(few)) == GUIDES and (np.diff(few) > 0).all()
    np.testing.assert_array_equal(guides(7, 5), np.arange(7))


@pytest.mark.parametrize("fitted_key", ["Pool4,SQfp16", "Pool4,IVF8,PQ12", "Pool(f=3),IVF8,SQ8,RFlat"])
def test_documents_that_come_later_are_pooled_as_those_before(fitted_key, documents, tmp_path):
    x, lengths = documents
    whole = trained(fitted_key, documents).add(x, lengths=lengths)
    half = int(lengths[:70].sum())
    trained(fitted_key, documents).add(x[:half], lengths=lengths[:70]).save(tmp_path / "first")
    later = open_index(tmp_path / "first").add(x[half:], lengths=lengths[70:])
    for got, want in zip(later.vectors(later.ids), whole.vectors(whole.ids), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("fitted_key", ["Pool4,Flat", "Pool4,IVF8,PQ12", "Pool4,L2norm,SQ8"])
def test_cosine_forgets_lengths_of_tokens_and_keeps_those_of_fitted_vectors(fitted_key, documents, questions):
    x, lengths = documents
    q, query_lengths = questions
    scale = np.random.default_rng(7).uniform(0.5, 3, size=(len(x), 1)).astype("f4")
    metric = "ip" if "L2norm" in fitted_key else "cosine"
    index = trained(fitted_key, (x * scale, lengths), metric).add(x * scale, lengths=lengths)
    vectors, kept = index.vectors(index.ids)
    lost = np.linalg.norm(vectors, axis=1)
    assert lost.max() > 1.02
    scores, ids = index.search(5 * q, 150, lengths=query_lengths, candidates=150)
    want = plain_maxsim(q, query_lengths, vectors, kept)
    np.testing.assert_allclose(scores, np.take_along_axis(want, ids, axis=1), atol=1e-4)


def test_long_token_vectors_give_long_vectors(documents):
    x, lengths = documents
    one, other = (trained("Pool4,Flat", (s * x, lengths)).add(s * x, lengths=lengths) for s in (1, 8))
    np.testing.assert_allclose(other.vectors(other.ids)[0], 8 * one.vectors(one.ids)[0], atol=1e-3)


@pytest.mark.parametrize("fitted_key", ["Pool4,IVF8,PQ12", "Pool4,IVF8,PQ6", "Pool4,BIVF8,PQ12"])
def test_bounds_hold_for_vectors_of_any_length(fitted_key, documents, questions):
    """Screened candidates give the hits that scores of all documents give."""
    x, lengths = documents
    q, query_lengths = questions
    scale = np.repeat(np.random.default_rng(8).uniform(0.1, 9, size=len(lengths)), lengths)[:, None]
    x = (x * scale).astype("f4")
    index = trained(fitted_key, (x, lengths)).add(x, lengths=lengths)
    vectors, kept = index.vectors(index.ids)
    want = plain_maxsim(q, query_lengths, vectors, kept)
    scores, _ = index.search(q, 3, lengths=query_lengths, candidates=150)
    np.testing.assert_allclose(scores, -np.sort(-want, axis=1)[:, :3], rtol=1e-4)


def test_an_old_folder_means_ward(documents):
    old = open_index(FORMAT2)
    assert old.key == "Pool2(ward),IVF4,PQ8x4"
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12, 16)).astype("f4")
    kept = old.pool_documents(cc.multivector.as_ragged(x, [12]))
    np.testing.assert_array_equal(kept.rows, cc.pool_tokens(x, [12], max_vectors=2)[0])


def test_a_killed_build_goes_on_behind_the_guides(documents, tmp_path, monkeypatch):
    x, lengths = documents

    def build(name, until="never"):
        def progress(stage, done, total):
            if stage == until:
                raise KeyboardInterrupt

        return build_index(
            x, index_key="Pool4,IVF8,PQ12", lengths=lengths, output=tmp_path / name, progress=progress,
            if_exists="resume",
        )  # fmt: skip

    build("whole")
    for stage in ("guides", "pool", "train PQ12"):
        with pytest.raises(KeyboardInterrupt):
            build("killed", until=stage)
    assert build("killed").resumed[:1] == ("guides",)
    one, other = (open_index(tmp_path / name) for name in ("whole", "killed"))
    for got, want in zip(other.vectors(other.ids), one.vectors(one.ids), strict=True):
        np.testing.assert_array_equal(got, want)


def test_what_cannot_be(documents, tmp_path):
    x, lengths = documents
    with pytest.raises(NotTrainedError, match="has not been trained"):
        index_factory("Pool4,Flat", x.shape[1]).add(x, lengths=lengths)
    index = trained("Pool4,SQ8", documents, "cosine").add(x, lengths=lengths)
    index.save(tmp_path / "cosine")
    with pytest.raises(UsageError, match="pass the token vectors"):
        cc.convert_index(tmp_path / "cosine", tmp_path / "other", index_key="Pool4,SQ4")
    index.pipeline.support.parameters()["fit"][0] = 7
    index.save(tmp_path / "broken")
    with pytest.raises(CorruptIndexError, match="inconsistent"):
        open_index(tmp_path / "broken")


def test_spellings():
    assert str(parse_key("Pool(n=16,method=ward),Flat")) == "Pool16(ward),Flat"
    assert str(parse_key("Pool16(ward),Flat")) == "Pool16(ward),Flat"
    assert str(parse_key("Pool(n=16,method=support),Flat")) == "Pool16,Flat"
    assert str(parse_key("Pool(f=4,method=ward),Flat")) == "Pool(f=4,method=ward),Flat"
    assert parse_key("Pool(f=1),Flat").fitted_pool is None
    assert parse_key("Pool16(ward),Flat").fitted_pool is None
