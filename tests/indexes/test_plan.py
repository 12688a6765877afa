"""The plan: sizes that fit the limit, numbers that add up, refusals with both numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cluscomp import errors
from cluscomp.attributes import Field
from cluscomp.indexes.build import build_index, plan_build

MB = 10**6


@pytest.fixture
def rows():
    return np.random.default_rng(3).standard_normal((20_000, 64)).astype(np.float32)


def test_more_memory_never_means_smaller_sizes(rows):
    base = plan_build(rows, index_key="IVF64,PQ8x4").baseline_bytes
    plans = [
        plan_build(rows, index_key="IVF64,PQ8x4", max_memory=base + extra * MB)
        for extra in (30, 45, 60, 90, 400)
    ]
    sizes = [(plan.train_rows, plan.block_rows) for plan in plans]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] == (20_000, 16_384)


def test_feasible_plans_respect_the_limit(rows):
    base = plan_build(rows, index_key="SQ8").baseline_bytes
    for extra in (1, 40, 60, 200):
        plan = plan_build(rows, index_key="SQ8", max_memory=base + extra * MB)
        assert plan.feasible == (plan.peak_memory <= plan.max_memory)


def test_infeasible_names_both_numbers_and_the_remedy(rows, tmp_path):
    plan = plan_build(rows, index_key="SQ8", max_memory=5 * MB)
    assert not plan.feasible
    with pytest.raises(errors.InfeasibleError, match=r"5M are allowed; set max_memory to .*or choose"):
        build_index(rows, index_key="SQ8", output=tmp_path / "i", max_memory=5 * MB)
    assert list(tmp_path.iterdir()) == []


def test_the_limit_it_asks_for_suffices(rows):
    plan = plan_build(rows, index_key="SQ8", max_memory=5 * MB)
    assert plan_build(rows, index_key="SQ8", max_memory=plan.peak_memory + 5 * MB).feasible


def test_train_rows_are_obeyed(rows):
    assert plan_build(rows, index_key="IVF64,Flat", max_train_rows=7000).train_rows == 7000
    assert plan_build(rows, index_key="Flat", max_train_rows=7000).train_rows == 0  # learns nothing


@pytest.mark.parametrize(
    "key", ["Flat", "SQ8", "PQ8", "OPQ8_32,IVF64,PQ8", "PCA16,IVF8,SQfp16,RFlat", "BIVF64,SQ8"]
)
@pytest.mark.parametrize("ids", [None, "int", "text"])
def test_bytes_of_the_folder(rows, tmp_path, key, ids):
    rows = rows[:1000]
    names = {None: None, "int": np.arange(1000) * 7, "text": [f"name {i}" for i in range(1000)]}[ids]
    plan = plan_build(rows, index_key=key, ids=names)
    report = build_index(rows, index_key=key, ids=names, output=tmp_path / "i")
    assert report.index_bytes == pytest.approx(plan.index_bytes, abs=6000)  # three JSON files are estimated
    assert plan.code_bytes_per_document == report.code_bytes_per_document


def test_json(rows):
    plan = plan_build(rows, index_key="IVF64,PQ8x4")
    value = json.loads(json.dumps(plan.to_json()))
    assert (
        value["peak_memory"]
        == plan.peak_memory
        == plan.baseline_bytes + max(s.memory_bytes for s in plan.stages)
    )
    assert value["peak_disk"] == sum(stage["disk_bytes"] for stage in value["stages"])
    assert value["seconds"] == pytest.approx(sum(stage["seconds"] for stage in value["stages"]))


def test_a_full_device_is_noticed_before_the_work(rows, tmp_path, monkeypatch):
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10_000))
    with pytest.raises(errors.DiskFullError, match="10000 bytes free"):
        build_index(rows, index_key="Flat", output=tmp_path / "i")
    assert list(tmp_path.iterdir()) == []


def test_memory_may_be_written_as_text(rows):
    assert plan_build(rows, index_key="SQ8", max_memory="8G").max_memory == 8 * 10**9
    with pytest.raises(errors.UsageError, match="'8X' is not a size"):
        plan_build(rows, index_key="SQ8", max_memory="8X")


@pytest.mark.parametrize("with_ids", [False, True])
def test_attributes_are_counted(rows, tmp_path, with_ids):
    year = [2000 + i % 30 if i % 9 else None for i in range(len(rows))]
    owner = [f"t{i % 77}" for i in range(len(rows))]
    table = {"year": year, "owner": owner}
    if with_ids:
        lines = [
            json.dumps({"id": i, "year": y, "owner": o})
            for i, (y, o) in enumerate(zip(year, owner, strict=False))
        ]
        (tmp_path / "facts.jsonl").write_text("\n".join(lines))
        table = tmp_path / "facts.jsonl"
    kinds = {"owner": Field("text", tenant=True)}
    settings = {"index_key": "IVF64,SQ8", "attributes": table, "attribute_kinds": kinds}
    plain, plan = plan_build(rows, index_key="IVF64,SQ8"), plan_build(rows, **settings)
    build_index(rows, output=tmp_path / "i", **settings)
    stored = [path.stat().st_size for path in (tmp_path / "i").glob("*.attr.*")]
    assert len(stored) == 4 + 7 and plan.index_bytes - plain.index_bytes == sum(stored)
    assert plan.peak_disk - plain.peak_disk == sum(stored)
    written, before = plan.stages[-1], plain.stages[-1]
    assert written.name == "write" and (written.memory_bytes > before.memory_bytes) == with_ids
    with pytest.raises(errors.InputError, match="year"):
        plan_build(rows, index_key="Flat", attributes={"year": [1] * 19_999 + ["soon"]})
