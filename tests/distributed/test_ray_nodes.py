"""A Ray cluster of several nodes, on this machine: nodes that come and go change no bit."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from types import SimpleNamespace

import pytest

import cluscomp as cc
from cluscomp.distributed import build
from cluscomp.distributed import open as open_sharded
from tests.distributed.conftest import contents, manifest, same_hits

ray = pytest.importorskip("ray", reason="needs the extra 'ray'")
pytestmark = pytest.mark.slow
SLOW_STEPS = "CLUSCOMP_TEST_SLOW_STEPS"
NODE = {"num_cpus": 1, "object_store_memory": 78_643_200}


def slow_steps():
    """In a worker: let every step of a shard wait until the file named by SLOW_STEPS is gone."""
    from cluscomp.distributed import steps

    encode, file = steps.encode, os.environ[SLOW_STEPS]

    def waiting(*arguments):
        open(f"{file}.{os.getpid()}", "w").close()
        while os.path.exists(file):
            time.sleep(0.1)
        return encode(*arguments)

    steps.encode = waiting


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Three nodes of one processor; nodes: those beside the head. wait: file that keeps steps waiting."""
    utils = pytest.importorskip("ray.cluster_utils")
    if ray.is_initialized():
        ray.shutdown()
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file
    monkeypatch.setenv(SLOW_STEPS, str(tmp_path / "wait"))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_TMPDIR", folder)
    made = utils.Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    nodes = [made.add_node(**NODE) for _ in range(2)]
    ray.init(
        address=made.address, log_to_driver=False, logging_level="ERROR",
        runtime_env={"worker_process_setup_hook": slow_steps},
    )  # fmt: skip
    try:
        yield SimpleNamespace(made=made, nodes=nodes, wait=tmp_path / "wait")
    finally:
        ray.shutdown()
        made.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def nodes_alive() -> int:
    return sum(node["Alive"] for node in ray.nodes())


def test_a_node_is_lost_and_one_comes_while_shards_are_encoded(cluster, tmp_path, vectors):
    key = "OPQ4,IVF8,PQ4x4,RFlat"
    build(vectors, index_key=key, output=tmp_path / "one", shards=5)
    assert nodes_alive() == 3
    cluster.wait.touch()
    reports = []
    work = threading.Thread(
        target=lambda: reports.append(
            build(vectors, index_key=key, output=tmp_path / "many", shards=5, engine="ray")
        )
    )
    work.start()
    until = time.monotonic() + 120
    while len(list(tmp_path.glob("wait.*"))) < 3 and time.monotonic() < until:
        time.sleep(0.2)
    assert len(list(tmp_path.glob("wait.*"))) == 3  # a step on each node
    cluster.made.remove_node(cluster.nodes[0], allow_graceful=False)
    cluster.made.add_node(**NODE)
    cluster.wait.unlink()
    work.join(240)
    assert [report.n for report in reports] == [2000]
    assert contents(tmp_path / "one") == contents(tmp_path / "many")
    assert manifest(tmp_path / "one") == manifest(tmp_path / "many")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_shards_of_a_lost_node_are_searched_on_another(cluster, tmp_path, vectors, queries):
    build(vectors, index_key="IVF8,SQ8,RFlat", output=tmp_path / "i", shards=3)
    one = cc.open_index(tmp_path / "i")
    with open_sharded(tmp_path / "i", engine="ray", shards=3) as many:
        same_hits(many, one, queries)
        cluster.made.remove_node(cluster.nodes[1], allow_graceful=False)
        same_hits(many, one, queries)
        same_hits(many, one, queries, filter=[1, 5, 1999])
