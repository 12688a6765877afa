"""Searches over shards give the hits of one index, bit for bit: ties, reranks, 4-bit codes, deletions, filters."""

from __future__ import annotations

import os
import shutil
import signal

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.distributed import build
from cluscomp.distributed import open as open_sharded
from cluscomp.distributed.search.candidates import Candidates, best_of_chosen
from cluscomp.distributed.search.groups import parts_of
from cluscomp.errors import IncompleteResultsWarning, ShardUnavailableError, UsageError
from tests.distributed.conftest import DIM, same_hits

KEYS = (
    "Flat", "SQ4", "OPQ4,IVF8,PQ4x4,RFlat", "RR,IVF8,RaBitQ,Refine(SQ8)", "BIVF8(cap=1.1),SQ8,RFlat",
    "IVF8,PQ4,BiDR(SQfp16)",
)  # fmt: skip


@pytest.fixture(scope="session")
def folders(vectors, tmp_path_factory):
    """folders(key) -> an index of 7 segments with attributes, equal rows and deleted ones."""
    base, made = tmp_path_factory.mktemp("sharded"), {}

    def folder(key, metric="ip"):
        path = base / str(len(made))
        if (key, metric) not in made:
            x = np.load(vectors)
            index = cc.index_factory(key, DIM, metric=metric).train(x)
            for start in range(0, 2000, 300):
                rows = np.arange(start, min(start + 300, 2000))
                index.add(x[rows], rows * 3, attributes={"year": rows % 40, "half": rows // 1000})
            index.delete(np.arange(0, 2000, 7) * 3)
            index.save(path)
            made[key, metric] = path
        return made[key, metric]

    return folder


@pytest.mark.filterwarnings("ignore::cluscomp.errors.IncompleteResultsWarning")
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_vectors(folders, queries, key, metric):
    path = folders(key, metric)
    one = cc.open_index(path)
    for shards in (1, 2, 7):
        with open_sharded(path, shards=shards) as many:
            assert len(many.shards) == shards and len(many) == len(one)
            for options in (
                {}, {"k": 1}, {"nprobe": 1}, {"nprobe": 8, "refine_factor": 7}, {"k": 3000, "k_beyond": "clip"},
                {"filter": "year < 5"}, {"filter": "year == 3 and half == 1", "nprobe": 2},
                {"filter": [3, 6, 9, 5, -7, 3001]}, {"filter": "half == 0", "max_nprobe": 3, "nprobe": 2},
                {"filter": "year > 99"}, {"filter": "year >= 0"},
                {"filter": [None, {"field": "half", "op": "==", "value": 1}] * 20},
            ):  # fmt: skip
                same_hits(many, one, queries, **{"k": 10} | options)
            info, wanted = (
                index.search(queries, 5, filter="half == 1", return_info=True)[2] for index in (many, one)
            )
            for name in ("allowed", "selectivity", "path", "probed", "rows_scored", "complete"):
                np.testing.assert_array_equal(getattr(info, name), getattr(wanted, name))


def test_reranks_by_error_bars(folders, queries):
    path = folders("RR,IVF8,RaBitQ,Refine(SQ8)")
    with open_sharded(path, shards=3) as many:
        for rerank in ("bound", "bound(3)"):
            same_hits(many, cc.open_index(path), queries, refine_factor=rerank)
            same_hits(many, cc.open_index(path), queries, refine_factor=rerank, filter="half == 1")


def test_text_ids_and_one_query(tmp_path, vectors, queries):
    (tmp_path / "ids.txt").write_text("\n".join(f"row {number}" for number in range(2000)))
    build(vectors, index_key="IVF8,SQ8", output=tmp_path / "i", shards=4, ids=tmp_path / "ids.txt")
    one = cc.open_index(tmp_path / "i")
    with open_sharded(tmp_path / "i", shards=2) as many:
        same_hits(many, one, queries)
        same_hits(many, one, queries[0], filter=["row 3", "row 1999", "nobody"])
        assert many.search(queries, 3, filter=["row 3", "nobody"], return_info=True)[2].unknown_ids == 1
        assert (many.key, many.dim, many.metric, many.generation) == ("IVF8,SQ8", DIM, "ip", 1)


def test_terms(tmp_path):
    words = ["red", "green", "blue", "cat", "dog", "bird", "sees", "the", "a", "of"]
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(words, size=int(rng.integers(2, 30)))) for _ in range(150)]
    index = cc.index_factory("Sparse(bm25)", 1).train(texts)
    for start in (0, 50, 100):
        index.add([*texts[start : start + 50], f"new{start} red"], attributes={"n": np.arange(51) % 5})
    index.delete([3, 77])
    index.save(tmp_path / "i")
    asked = ["red cat", "bird of blue dog", "new50", "nothing"]
    with open_sharded(tmp_path / "i", shards=2) as many:
        same_hits(many, index, asked)
        same_hits(many, index, asked, filter="n >= 3")


def test_documents(tmp_path):
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 12, size=240)
    x = rng.standard_normal((int(lengths.sum()), DIM)).astype(np.float32)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    asked = {"lengths": [5, 4, 7]}
    for number, key in enumerate(
        ("Pool4(ward),IVF8,SQ8", "Pool4(ward),PQ4", "Pool(f=2),IVF8,PQ4,Refine(SQ8)")
    ):
        index = cc.index_factory(key, DIM).train(x, lengths=lengths)
        for start in range(0, 240, 60):
            part = slice(start, start + 60)
            rows = x[ends[start] : ends[start + 60]]
            index.add(rows, lengths=lengths[part], attributes={"half": np.arange(start, start + 60) // 120})
        index.delete(np.arange(0, 240, 9))
        index.save(tmp_path / str(number))
        for shards in (1, 2, 4):
            with open_sharded(tmp_path / str(number), shards=shards) as many:
                for options in (
                    {}, {"candidates": 20}, {"candidates": 12, "nprobe": 2}, {"candidates": 12, "softmax": 0.1},
                    {"candidates": 15, "refine_factor": 2, "k": 5}, {"k": 500, "k_beyond": "clip"},
                    {"filter": "half == 1"}, {"filter": "half == 1", "candidates": 11, "nprobe": 2},
                    {"filter": [3, 5, 200]}, {"filter": "half == 7"},
                ):  # fmt: skip
                    same_hits(many, index, x[:16], **{"k": 10} | asked | options)
                with pytest.raises(UsageError, match="fde"):
                    many.search(x[:16], 3, candidates_by="fde", **asked)


def test_what_no_shard_can_do(tmp_path, vectors, folders, queries):
    path = folders("IVF8,PQ4,BiDR(SQfp16)")
    many = open_sharded(path)
    with pytest.raises(UsageError, match="Mask"):
        many.search(queries, 3, filter=cc.Mask(np.ones(len(many), dtype=bool)))
    many.close()
    many.close()
    with pytest.raises(UsageError, match="closed"):
        many.search(queries, 3)
    seismic = cc.index_factory("Seismic(bm25)", 1).train(["a cat", "a dog"]).add(["a cat", "a dog"])
    seismic.save(tmp_path / "seismic")
    with pytest.raises(UsageError, match="no search over shards"):
        open_sharded(tmp_path / "seismic")


def test_a_shard_that_does_not_answer_fails_the_search_or_is_named(folders, queries, monkeypatch):
    path = folders("OPQ4,IVF8,PQ4x4,RFlat")
    one = cc.open_index(path)
    with open_sharded(path, shards=3) as many:

        def broken(*arguments):
            raise OSError("the disk is gone")

        monkeypatch.setattr(many._group._readers[1], "answer", broken)
        with pytest.raises(
            ShardUnavailableError, match=r"shard 1 \(segments \d to \d, \d+ rows\) .*disk is gone"
        ):
            many.search(queries, 10)
        with pytest.warns(IncompleteResultsWarning, match=r"shards \[1\] of 3"):
            scores, ids, info = many.search(queries, 10, partial="allow", return_info=True)
        assert info.missing_shards == (1,) and not info.complete.any()
        first, last = many.shards[1].first, many.shards[1].last
        gone = np.concatenate(
            [segment.ids.take(np.arange(segment.n_rows)) for segment in one.segments[first:last]]
        )
        one.delete(gone, missing="ignore")
        want = one.search(queries, 10)
        np.testing.assert_array_equal(ids, want[1])
        np.testing.assert_array_equal(scores, want[0])


def test_candidates_are_those_of_one_machine():
    """By hand: the best fine score (of position 9) is no candidate, since two rough scores are above its own."""
    one = Candidates(np.float32([[5, 1]]), np.array([[4, 9]]), np.float32([[1, 9]]))
    two = Candidates(np.float32([[5, 4]]), np.array([[2, 7]]), np.float32([[1, 8]]))
    hits = best_of_chosen([one, two], 1, 3, 2)
    assert hits.positions.tolist() == [[7, 2]] and hits.scores.tolist() == [[8, 1]]


def test_parts_have_neighbours_and_at_least_one_segment():
    for rows in ([5], [1, 1, 1], [100, 1, 1, 1], [1, 1, 1, 100], list(range(1, 40))):
        for shards in (1, 2, 3, 50):
            parts = parts_of(rows, shards)
            assert len(parts) == min(shards, len(rows))
            assert [n for part in parts for n in range(part.first, part.last)] == list(range(len(rows)))
            assert all(part.rows == sum(rows[part.first : part.last]) > 0 for part in parts)


# ---- with Ray ----


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="needs the extra 'ray'")
    import tempfile

    if ray.is_initialized():
        ray.shutdown()
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        num_cpus=2, object_store_memory=78_643_200, include_dashboard=False, _temp_dir=folder,
        log_to_driver=False, logging_level="ERROR", _node_ip_address="127.0.0.1",
    )  # fmt: skip
    yield ray
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def test_actors_answer_alike_also_after_a_kill(cluster, folders, queries):
    path = folders("OPQ4,IVF8,PQ4x4,RFlat")
    one = cc.open_index(path)
    with open_sharded(path, engine="ray", shards=3) as many:
        same_hits(many, one, queries)
        same_hits(many, one, queries, filter="year < 5")
        for actor in many._group.actors:
            pid = cluster.get(actor.answer.remote("process"))[0]
            os.kill(pid, signal.SIGKILL)
            same_hits(many, one, queries)
        cluster.kill(many._group.actors[2], no_restart=True)
        with pytest.raises(ShardUnavailableError, match="shard 2"):
            many.search(queries, 3)
        with pytest.warns(IncompleteResultsWarning, match=r"shards \[2\] of 3"):
            assert many.search(queries, 3, partial="allow")[1].shape == (40, 3)
