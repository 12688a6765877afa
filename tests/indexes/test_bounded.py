"""Reranks that error bars end: by the rule in plain Python, and exact where that is asked for."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import cluscomp as cc
from cluscomp import errors, native
from cluscomp.indexes.segments.bounded import BARS, ByBound, rerank_of
from cluscomp.indexes.segments.gathering import stored_lists
from cluscomp.indexes.stages.ivf import EVERYTHING, Probes

DIM, N, K = 16, 600, 10
KEYS = (
    "RR,RaBitQ,RFlat",
    "IVF8,SAQ16,RFlat",
    "RR,RaBitQ3,Refine(SQ8)",
    "RR,IVF8,RaBitQ2,BiDR(RaBitQ8)",
    "RR,BIVF8,RaBitQ4,Refine(SQfp16)",
)
CERTAIN = ("RR,RaBitQ,RFlat", "IVF8,SAQ16,RFlat", "RR,IVF8,RaBitQ4,Refine(RaBitQ8)", "RR,RaBitQ8,BiDR(Flat)")


def filled(key: str, metric: str, rows: np.ndarray):
    """Three segments, with deleted rows; all lists are visited."""
    index = cc.index_factory(key, DIM, metric).train(rows)
    for part in (slice(0, 40), slice(40, 300), slice(300, N)):
        index.add(rows[part], range(part.start, part.stop))
    index.delete(np.arange(0, N, 11))
    index.nprobe = index.spec.nlist
    return index


def everything(index, queries):
    """The best rows of all by the finer codes."""
    return index.search(queries, K, refine_factor=N)


def same(got, want) -> None:
    for found, expected in zip(got, want, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize("key", KEYS)
def test_the_rule(rows, queries, key, metric):
    """Rows in the order of their upper bounds, until one is below the k-th score: those hits, so many rows."""
    index = filled(key, metric, rows)
    scores, ids, info = index.search(queries, K, refine_factor="bound", return_info=True)
    same((scores, ids), index.search(queries, K, refine_factor=f"bound({BARS})"))
    pipeline, together = index.pipeline, index._together
    projected = pipeline.project_queries(pipeline.base_rows(queries))
    probes = EVERYTHING
    if pipeline.partition is not None:
        probes = Probes(np.tile(np.arange(8, dtype=np.int32), (len(queries), 1)))
    lists = stored_lists(pipeline, together, len(queries), 8)
    upper, found = pipeline.codec.scan(
        projected, lists, probes, together.n_live, pipeline.score_metric, True, BARS
    )
    for q in range(len(queries)):
        finer = index.score(queries[q], found[q])[0]
        read, best = 0, np.empty(0, dtype=np.int64)
        for read in range(len(finer)):
            best = np.lexsort((found[q, :read], -finer[:read]))[:K]
            if read >= K and upper[q, read] < finer[best[-1]]:
                break
        else:
            read = len(finer)
            best = np.lexsort((found[q], -finer))[:K]
        assert info.rows_read[q] == read
        np.testing.assert_array_equal(ids[q], found[q, best])
        np.testing.assert_array_equal(scores[q], finer[best])
    np.testing.assert_array_equal(info.share_read, info.rows_read / together.n_live)


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize("key", KEYS)
def test_wide_bars_read_everything(rows, queries, key, metric):
    index = filled(key, metric, rows)
    scores, ids, info = index.search(queries, K, refine_factor="bound(1e6)", return_info=True)
    same((scores, ids), everything(index, queries))
    assert (info.rows_read == len(index)).all()


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize("key", CERTAIN)
def test_certain_hits_are_those_of_all_rows(rows, queries, key, metric):
    index = filled(key, metric, rows)
    scores, ids, info = index.search(queries, K, refine_factor="certain", return_info=True)
    same((scores, ids), everything(index, queries))
    assert (info.rows_read <= len(index)).all()
    if "RaBitQ8" in key:
        assert info.share_read.mean() < 0.5


def test_certain_hits_where_bars_are_far_too_narrow():
    """Rows whose errors all point along the query: 1.9 bars miss them, certainty does not."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((400, DIM)).astype("f4")
    index = cc.index_factory("RR,RaBitQ,RFlat", DIM, "ip").train(x).add(x)
    codec, step = index.pipeline.codec, index.pipeline.steps[0]
    projected = step.apply(x)
    lost = projected - codec.decode(codec.encode(projected))  # a query along what the code of a row lost
    queries = np.ascontiguousarray(step.back(lost[:30]) * 5)
    want = index.search(queries, K, refine_factor=400)
    same(index.search(queries, K, refine_factor="certain"), want)
    narrow = index.search(queries, K, refine_factor="bound(0.01)")[1]
    assert not np.array_equal(narrow, want[1])


@pytest.mark.parametrize("key", ["RR,IVF8,RaBitQ2,RFlat", "RR,RaBitQ4,Refine(RaBitQ8)"])
def test_filters_threads_and_batches(rows, queries, threads, key):
    index = filled(key, "ip", rows)
    allowed = np.arange(0, N, 3)
    for value in ("bound", "certain"):
        native.set_num_threads(1)
        wanted = index.search(queries, K, refine_factor=value)
        scores, ids, info = index.search(queries, K, refine_factor=value, filter=allowed, return_info=True)
        assert np.isin(ids[ids >= 0], allowed).all()
        assert (info.rows_read <= info.allowed).all() and (info.allowed < len(allowed)).all()
        native.set_num_threads(3)
        same(index.search(queries, K, refine_factor=value), wanted)
        same(index.search(queries, K, refine_factor=value, filter=allowed), (scores, ids))
        alone = [index.search(query, K, refine_factor=value) for query in queries]
        same([np.concatenate(part) for part in zip(*alone, strict=True)], wanted)
    want = index.search(queries, K, refine_factor=N, filter=allowed)
    same(index.search(queries, K, refine_factor="certain", filter=allowed), want)
    assert index.search(queries, K, refine_factor=4, return_info=True)[2].share_read is None


def test_a_saved_index(rows, queries, tmp_path):
    index = filled("RR,IVF8,RaBitQ2,BiDR(SQ8)", "l2", rows)
    wanted = index.search(queries, K, refine_factor="bound")
    index.save(tmp_path / "i")
    same(cc.open_index(tmp_path / "i").search(queries, K, refine_factor="bound", nprobe=8), wanted)


def test_spelling():
    assert rerank_of(5) == 5 and rerank_of("bound") == ByBound(1.9)
    assert rerank_of("bound(3)") == ByBound(3.0) and rerank_of("certain") == ByBound(None)
    for wrong in ("bound(0)", "bound()", "bound(1e7)", "bound(x)", "bound(1.2.3)", "all", ""):
        with pytest.raises(errors.UsageError, match="write a number of candidates"):
            rerank_of(wrong)


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("SQ8,RFlat", "bound", "needs codes with error bars"),
        ("RR,RaBitQ4", "bound", "add RFlat"),
        ("RR,RaBitQ4,Refine(SQ8)", "certain", "take RFlat or Refine"),
        ("RR8,RaBitQ4,RFlat", "certain", "drops or scales"),
        ("PCA8,RR,RaBitQ4,RFlat", "certain", "drops or scales"),
    ],
)
def test_refusals(rows, queries, key, value, fault):
    index = cc.index_factory(key, DIM).train(rows).add(rows)
    with pytest.raises(errors.UsageError, match=fault):
        index.search(queries, K, refine_factor=value)


def test_codes_that_expect_a_rotation_say_so(rows):
    with pytest.warns(errors.KeyAdviceWarning, match="RaBitQ2 expects rotated rows"):
        cc.index_factory("IVF8,RaBitQ2", DIM).train(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error", errors.KeyAdviceWarning)
        for key in ("RR,RaBitQ2", "OPQ4,RaBitQ2", "SQ8,Refine(RaBitQ8)"):
            cc.index_factory(key, DIM).train(rows)
