"""Builds in shards from and to object stores, and searches over their segments."""

from __future__ import annotations

import io

import numpy as np
import pytest
from object_bucket import IN_MEMORY, bucket, fresh, names
from object_doubles import LosingStore

import cluscomp as cc
from cluscomp.distributed import build
from cluscomp.distributed import open as open_sharded
from cluscomp.distributed.build import arguments_of, commit_plan, plan_shards
from cluscomp.distributed.job import Job
from cluscomp.distributed.steps import ENCODE, Step, phases, run_step_at
from cluscomp.errors import OutputExistsError, UsageError
from cluscomp.objects.address import parse_address
from cluscomp.progress import silent

pytest.importorskip("obstore")
KEY = "OPQ4,IVF8,PQ4x4,RFlat"
X = np.random.default_rng(11).standard_normal((1200, 8)).astype(np.float32)


@pytest.fixture
def source() -> str:
    """An address of vectors."""
    return put(fresh("x.npy"), X)


def put(address: str, array: np.ndarray) -> str:
    out = io.BytesIO()
    np.save(out, array)
    bucket().put(parse_address(address).key, out.getvalue())
    return address


def files(place) -> dict[str, str]:
    """Checksums of the files of an index by name."""
    manifest = cc.open_index(place).origin.manifest
    return {name: entry.sha256 for name, entry in manifest.files.items()}


def test_from_a_store_to_a_store(source, address, tmp_path) -> None:
    np.save(tmp_path / "x.npy", X)
    build(tmp_path / "x.npy", index_key=KEY, output=tmp_path / "i", shards=3)
    report = build(source, index_key=KEY, output=address, shards=3)
    assert report.output == address and len(report.stages) == 3
    assert files(address) == files(tmp_path / "i") and cc.verify_index(address) == []
    assert not any("shards" in name for name in names(address))
    with pytest.raises(OutputExistsError):
        build(source, index_key=KEY, output=address, shards=3)
    again = build(source, index_key=KEY, output=address, shards=3, if_exists="resume")
    assert again.n == len(X) and cc.open_index(address).generation == 1
    build(source, index_key="IVF8,SQ8", output=address, shards=2, if_exists="replace")
    assert (cc.open_index(address).generation, cc.open_index(address).key) == (2, "IVF8,SQ8")


def test_a_url_of_a_file_is_its_path(tmp_path) -> None:
    np.save(tmp_path / "x.npy", X)
    build(f"file://{tmp_path}/x.npy", index_key=KEY, output=f"file://{tmp_path}/i", shards=2)
    build(tmp_path / "x.npy", index_key=KEY, output=tmp_path / "j", shards=2)
    assert files(tmp_path / "i") == files(tmp_path / "j")
    with open_sharded(f"file://{tmp_path}/i", shards=2) as many:
        assert len(many) == len(X)


def test_searches_over_the_shards_of_a_store(source, address) -> None:
    build(source, index_key=KEY, output=address, shards=4)
    index = cc.open_index(address)
    index.delete([3, 700])
    index.compact(by_list=4)
    index.save(address)
    with open_sharded(address, shards=4) as many:
        assert many.generation == 2
        for options in ({}, {"nprobe": 2}, {"filter": [1, 2, 3, 900]}):
            found, wanted = many.search(X[:20], 10, **options), index.search(X[:20], 10, **options)
            for one, two in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(one, two)


@pytest.fixture
def plan(source, tmp_path):
    """Folder of a plan of two shards that are encoded."""
    folder = tmp_path / "plan"
    plan_shards(folder, arguments_of(source, index_key=KEY), 2)
    for steps in phases(Job.open(folder)):
        for step in steps:
            run_step_at(folder, step, silent)
    return folder


def test_the_source_has_changed_since_the_plan(source, address, plan) -> None:
    put(source, X[:-1])
    with pytest.raises(UsageError, match=f"{source} is not what was planned"):
        run_step_at(plan, Step(ENCODE, 0), silent)
    with pytest.raises(UsageError, match="is not what was planned"):
        commit_plan(plan, address)
    assert names(address) == set()


def test_a_commit_whose_answer_is_lost(plan, address, through) -> None:
    """The step says that it is done where the manifest in the store says so; the plan then goes."""
    through(LosingStore(bucket(), "request"))
    with pytest.raises(OSError, match="nothing has changed"):
        commit_plan(plan, address)
    assert plan.is_dir()
    through(LosingStore(bucket(), "answer"))
    assert commit_plan(plan, address).n == len(X)
    assert not plan.exists() and len(cc.open_index(address).segments) == 2


@pytest.mark.skipif(not IN_MEMORY, reason="a store of other processes")
def test_ray_needs_a_store_that_its_workers_see(source, tmp_path) -> None:
    with pytest.raises(UsageError, match="memory://.* this process"):
        build(source, index_key=KEY, output=tmp_path / "i", shards=2, engine="ray")
    with pytest.raises(UsageError, match="memory://.* this process"):
        open_sharded(fresh("i"), engine="ray")
