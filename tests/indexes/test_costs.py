"""What stages say of their costs: against what NumPy holds, by hand, and that the sum knows no stage by name."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from cluscomp.indexes import parse_key
from cluscomp.indexes.build.vector_writer import VectorWriter
from cluscomp.indexes.stages.cost import Cost, Shape, Work
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.stages.pipeline_cost import pipeline_cost

N, DIM = 4_000, 64
KEYS = (
    "SQ8", "SQ4", "PQ8", "PQ16x4", "PCA32,SQ8", "RR,SQ8", "L2norm,SQ8", "OPQ8,PQ8x4", "OPQ8_32,IVF64,PQ8x4", "IVF64,Flat",
    "OPQ8,IVF64,PQ8x4", "BIVF64,SQ8", "MRL32,PQ8", "IVF64,PQ8,Refine(SQ8)", "PCA32,OPQ8,BIVF16,PQ8x4,RFlat",
    "RR,RaBitQ4", "RR,IVF64,RaBitQ,Refine(RaBitQ8)",
)  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((N, DIM), dtype=np.float32)


def traced_peak(work) -> int:
    """Bytes that NumPy held at most during work(), above what it held before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("key", "metric"), zip(KEYS, ("ip", "cosine", "l2") * len(KEYS), strict=False))
def test_training_holds_no_more_than_it_says_and_not_much_less(rows, key, metric):
    pipeline = Pipeline(parse_key(key), DIM, metric, 0)
    cost = pipeline_cost(pipeline, N, 4)
    pipeline.train(rows[:300])  # modules are imported
    held = traced_peak(lambda: pipeline.train(rows)) + rows.nbytes
    assert held <= 1.05 * cost.train_bytes + 1_000_000, f"{held} bytes held, {cost.train_bytes} promised"
    assert cost.train_bytes <= 3 * held + 20_000_000


@pytest.mark.parametrize("key", ["Flat", "SQfp16", *KEYS])
def test_adding_holds_no_more_than_it_says(rows, key):
    pipeline = Pipeline(parse_key(key), DIM, "cosine", 0)
    pipeline.train(rows[:1000])
    cost = pipeline_cost(pipeline, 0, 4)
    sizes = np.zeros(pipeline.spec.nlist, dtype=np.int64)
    held = traced_peak(lambda: pipeline.encode(rows, pipeline.list_assigner(sizes, N)))
    assert held <= 1.05 * (cost.add_bytes + N * cost.add_row_bytes) + 1_000_000


def test_costs_by_hand():
    pipeline = Pipeline(parse_key("RR,IVF16,PQ8"), DIM, "l2", 0)
    cost = pipeline_cost(pipeline, 0, 4)
    assert cost.add == Work(assign=16 * 64, codebook=256 * 64, matmul=64 * 64)
    assert (cost.train, cost.train_bytes, cost.add_bytes) == (Work(), 0, 0)
    assert cost.codewords == (8, 256) and cost.least_rows == 32 * 256
    assert pipeline_cost(Pipeline(parse_key("Flat"), DIM, "l2", 0), 0, 4) == Cost(add_row_bytes=2 * 4 * DIM)


def test_training_work_follows_the_iterations_of_the_trainers(monkeypatch):
    from cluscomp.indexes.stages import ivf

    partition = Pipeline(parse_key("IVF16,Flat"), DIM, "l2", 0).partition
    assert partition.cost(Shape(100)).train == Work(assign=100 * 64 * 16 * 21)
    monkeypatch.setattr(ivf, "KMEANS_ITERATIONS", 5)
    assert partition.cost(Shape(100)).train == Work(assign=100 * 64 * 16 * 6)


def test_a_rotation_learned_with_the_codebooks_is_counted_once():
    alone = Pipeline(parse_key("PQ8"), DIM, "l2", 0).codec
    assert alone.cost(Shape(1000, joint=True)).train == Work()
    joint = pipeline_cost(Pipeline(parse_key("OPQ8,PQ8"), DIM, "l2", 0), 1000, 4).train
    assert (
        joint.codebook == 24 * 1000 * 64 * 256
    )  # 4 steps to start with, 10 alternations, 10 steps at the end


def test_passes_that_finish_a_build():
    lists, plain = (Pipeline(parse_key(key), 384, "ip", 0) for key in ("OPQ48,IVF1024,PQ48", "PQ48"))
    assert VectorWriter.temporary_bytes(lists, 1000) == 52_000
    assert VectorWriter.temporary_bytes(plain, 1000) == 0
    assert VectorWriter.finishing_bytes(plain, 10**9, 1 << 20) <= 1 << 20
    assert 1 << 20 < VectorWriter.finishing_bytes(lists, 10**9, 1 << 20) < 4 << 20
    assert (
        VectorWriter.finishing_bytes(lists, 100, 1 << 20) < 100 * (2 * 48 + 64) + 1024 * 64
    )  # few rows take little
