"""Plans for machines that are not here: the bytes of a build, operations by hand, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import UnknownKeyError, UsageError
from cluscomp.indexes.build import build_index, plan_build
from cluscomp.indexes.build.core_rates import CODEBOOK, measured_rates, reference_rates
from cluscomp.indexes.build.scale import Machines, plan_scale

ONE = "1x2x8G"


@pytest.mark.parametrize(
    "key", ["Flat", "IVF16,SQ8", "OPQ8,IVF16,PQ8", "PQ8x4,RFlat", "RR,RaBitQ", "BIVF16,PQ8x6"]
)
@pytest.mark.parametrize("ids", [None, "text"])
def test_bytes_are_those_of_the_plan_of_a_build(key, ids) -> None:
    rows = np.zeros((3000, 32), np.float32)
    names = None if ids is None else [f"doc{number:05d}" for number in range(3000)]
    wanted = plan_build(rows, index_key=key, ids=names)
    found = plan_scale(3000, 32, key, machines=ONE, source_dtype="float32", id_bytes=0 if ids is None else 16)
    assert abs(found.index_bytes - wanted.index_bytes) <= (0 if ids is None else 8)  # the end of the last id
    assert sum(found.parts.values()) == found.index_bytes
    assert found.sample_rows == wanted.train_rows


def test_bytes_are_those_of_the_folder(tmp_path) -> None:
    x = np.random.default_rng(0).standard_normal((3000, 32)).astype(np.float32)
    for key in ("IVF16,PQ8", "SQ8"):
        built = build_index(x, index_key=key, output=tmp_path / key)
        assert plan_scale(3000, 32, key, machines=ONE).index_bytes == pytest.approx(
            built.index_bytes, abs=8000
        )


def test_segments_repeat_offsets_and_headers_and_nothing_else() -> None:
    one, four = (plan_scale(10_000, 16, "IVF16,PQ4", machines=ONE, segments=segments) for segments in (1, 4))
    assert four.index_bytes - one.index_bytes == 3 * (8 * 17 + 3 * 128)  # offsets; three headers of files
    assert four.parts["codes"] - one.parts["codes"] == 3 * 128


def test_a_billion_rows_by_hand() -> None:
    n, d, lists = 10**9, 384, 131_072
    found = plan_scale(n, d, "OPQ48,IVF131072,PQ48", machines="16x96x192G", nprobe=64)
    assert found.source_bytes == 2 * n * d
    assert found.parts["codes"] == pytest.approx(48 * n, rel=1e-6)
    assert found.parts["positions"] == pytest.approx(4 * n, rel=1e-6)
    assert found.parts["list_offsets"] == pytest.approx(16 * 8 * (lists + 1), rel=1e-3)
    assert found.step_bytes == 8 * lists * d
    assert found.sample_rows == found.wanted_rows == 256 * lists
    rates, (train, encode, _) = found.rates, found.tasks
    assert train.core_hours == pytest.approx(21 * 256 * lists * lists * d / rates.assign / 3600, rel=0.05)
    by_hand = n * (lists * d / rates.assign + 4 * d * 256 / rates.codebook + d * d / rates.matmul) / 3600
    assert encode.core_hours == pytest.approx(by_hand, rel=1e-6)
    assert encode.hours == pytest.approx(by_hand / (16 * 96 * 0.6), rel=1e-6)
    assert found.search.rows_scored == n * 64 / lists
    seconds = n * 64 / lists * 48 / rates.scan + lists * d / rates.assign + rates.query
    assert found.search.queries_per_second == pytest.approx(16 * 96 * 0.6 / seconds)
    assert found.build_cost == pytest.approx(found.core_hours * 0.045)
    assert found.to_json()["tasks"][0]["name"] == "train" and found.feasible


def test_a_sample_shrinks_to_the_memory_and_a_key_may_not_fit() -> None:
    small = plan_scale(10**9, 384, "IVF131072,PQ48", machines="16x32x64G")
    assert small.sample_rows < small.wanted_rows and small.feasible
    assert max(task.memory for task in small.tasks) <= small.machines.memory
    tiny = plan_scale(10**9, 384, "IVF131072,PQ48", machines="16x32x1G")
    assert not tiny.feasible and "'train' needs" in tiny.remedy and "a machine has 1" in tiny.remedy


def test_rates_of_this_machine() -> None:
    for key, metric in (("IVF64,PQ8", "ip"), ("Flat", "l2"), ("OPQ8,SQ4", "l2")):
        pipeline = cc.index_factory(key, 32, metric).pipeline
        found = measured_rates(pipeline)
        assert min(found.assign, found.codebook, found.matmul, found.scan, found.query) > 0
        assert found.source == "measured on one core of this machine"
    assert reference_rates(cc.index_factory("IVF64,PQ8", 32, "l2").pipeline).codebook == CODEBOOK
    assert reference_rates(cc.index_factory("IVF64,PQ8", 32, "ip").pipeline).codebook < CODEBOOK


def test_wrong_arguments() -> None:
    for text in ("8x32", "0x2x8G", "8x32x64", "many", "8x32x0G"):
        with pytest.raises(UsageError, match="machines"):
            Machines.parse(text)
    assert Machines.parse("8x32x64G") == Machines(8, 32, 64 * 10**9)
    for wrong in (
        {"rows": 0},
        {"dim": 0},
        {"efficiency": 2},
        {"nprobe": 0},
        {"segments": 0},
        {"id_bytes": -1},
    ):
        with pytest.raises(UsageError):
            plan_scale(**{"rows": 1000, "dim": 16, "index_key": "IVF4,Flat", "machines": ONE, **wrong})
    for key in ("Pool16,IVF64,PQ8", "Sparse(bm25)", "SQ8+Sparse(bm25)"):
        with pytest.raises(UsageError, match="only the documents tell"):
            plan_scale(1000, 16, key, machines=ONE)
    with pytest.raises(UnknownKeyError):
        plan_scale(1000, 16, "PQ9999999z", machines=ONE)
