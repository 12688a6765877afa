"""The engine of Ray: the same index as in one process, also when workers are killed; markers are all that is sent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.distributed import build
from cluscomp.errors import InfeasibleError, NonFiniteError, UsageError
from tests.distributed.conftest import contents, manifest

ray = pytest.importorskip("ray", reason="needs the extra 'ray'")
KILL_AT = "CLUSCOMP_TEST_KILL_AT"
WRITES = {"open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir"}


def kill_at_writes():
    """In a worker: end it as SIGKILL does at the write of a plan that the file named by KILL_AT asks for.

    The file holds the number of the trial and that of the write; the worker that dies takes it away.
    """
    order, seen, busy = os.environ[KILL_AT], {"trial": "", "writes": 0}, []

    def watch(event, arguments):
        if busy or event not in WRITES or ".shards" not in str(arguments[0]):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        busy.append(event)
        try:
            with open(order, encoding="utf-8") as file:
                trial, at = file.read().split()
            if seen["trial"] != trial:
                seen.update(trial=trial, writes=0)
            seen["writes"] += 1
            if seen["writes"] >= int(at):
                os.rename(order, f"{order}.{trial}")
                os.kill(os.getpid(), signal.SIGKILL)
        except FileNotFoundError:
            pass
        finally:
            busy.clear()

    sys.addaudithook(watch)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two logical processors and the smallest object store; yields where to order a kill."""
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")
    order = tmp_path_factory.mktemp("kill") / "order"
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file
    os.environ[KILL_AT] = str(order)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        num_cpus=2, object_store_memory=78_643_200, include_dashboard=False, _temp_dir=folder,
        log_to_driver=False, logging_level="ERROR", _node_ip_address="127.0.0.1",
        runtime_env={"worker_process_setup_hook": kill_at_writes},
    )  # fmt: skip
    yield SimpleNamespace(order=order, folder=Path(folder))
    ray.shutdown()
    del os.environ[KILL_AT]
    shutil.rmtree(folder, ignore_errors=True)


def spilled(folder: Path) -> int:
    """Bytes that the object store has written to disk."""
    found = [path for path in folder.rglob("*spill*/*") if path.is_file()]
    return sum(path.stat().st_size for path in found)


@pytest.mark.parametrize(
    ("key", "cuts"), [("OPQ4,IVF8,PQ4x4,RFlat", (1, 2, 7)), ("BIVF8(cap=1.1),SQ8", (3,))]
)
def test_the_index_is_that_of_one_process(cluster, tmp_path, vectors, key, cuts):
    for shards in cuts:
        one, two = tmp_path / f"local{shards}", tmp_path / f"ray{shards}"
        build(vectors, index_key=key, output=one, shards=shards)
        report = build(vectors, index_key=key, output=two, shards=shards, engine="ray")
        assert contents(one) == contents(two) and manifest(one) == manifest(two)
        assert len(report.stages) == shards
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert spilled(cluster.folder) == 0


def test_a_command_starts_a_cluster_of_its_own(tmp_path, vectors):
    """It starts while the process trains, also beside another cluster; nothing is said of it."""
    build(vectors, index_key="OPQ4,IVF8,PQ4x4", output=tmp_path / "one", shards=2)
    flags = ["--embeddings", vectors, "--index-key", "OPQ4,IVF8,PQ4x4", "--shards", "2", "--threads", "2"]
    command = [sys.executable, "-m", "cluscomp", "build-index", *flags, "--output", tmp_path / "ray"]
    ours = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [*map(str, command), "--engine", "ray", "--quiet"], env=ours, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert contents(tmp_path / "one") == contents(tmp_path / "ray")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "ray"]


def test_documents_and_attributes(cluster, tmp_path):
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 20, size=61)
    x = rng.standard_normal((int(lengths.sum()), 16)).astype(np.float32)
    np.savez(tmp_path / "x.npz", embeddings=x, lengths=lengths)
    for engine in ("local", "ray"):
        build(
            tmp_path / "x.npz",
            index_key="Pool4(ward),IVF4,SQ8",
            output=tmp_path / engine,
            shards=3,
            engine=engine,
        )
    assert contents(tmp_path / "local") == contents(tmp_path / "ray")


def test_errors_come_as_they_are(cluster, tmp_path, vectors):
    x = np.load(vectors)
    x[1999, 3] = np.nan
    np.save(tmp_path / "nan.npy", x)
    with pytest.raises(NonFiniteError, match=r"shard 2: .*1999"):
        build(
            tmp_path / "nan.npy",
            index_key="SQ8",
            output=tmp_path / "i",
            shards=3,
            max_train_rows=20,
            engine="ray",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["nan.npy"]


@pytest.mark.slow
def test_a_worker_that_is_killed_at_any_write_changes_nothing(cluster, tmp_path, vectors):
    key, rng = "BIVF8(cap=1.1),PQ4x4", np.random.default_rng(5)
    build(vectors, index_key=key, output=tmp_path / "undisturbed", shards=3)
    killed = 0
    for trial, at in enumerate(rng.integers(1, 45, size=20).tolist()):
        cluster.order.write_text(f"{trial} {at}")
        build(vectors, index_key=key, output=tmp_path / "i", shards=3, engine="ray")
        killed += not cluster.order.exists()
        cluster.order.unlink(missing_ok=True)
        assert contents(tmp_path / "i") == contents(tmp_path / "undisturbed")
        found = {path.name for path in (tmp_path / "i").iterdir()}
        index = cc.open_index(tmp_path / "i", verify=True)
        assert found == {"manifest.json", *index.origin.manifest.names}
        assert sorted(path.name for path in tmp_path.iterdir()) == ["i", "undisturbed"]
        shutil.rmtree(tmp_path / "i")
    assert killed >= 15
    assert spilled(cluster.folder) == 0


def test_a_step_that_fits_no_node_is_refused(cluster, tmp_path, vectors, monkeypatch):
    from cluscomp.distributed import ray_engine

    monkeypatch.setattr(ray_engine, "_memory", lambda job, step: 1 << 50)
    with pytest.raises(InfeasibleError, match="largest node"):
        build(vectors, index_key="SQ8", output=tmp_path / "i", engine="ray")


def test_no_cluster_at_an_address(tmp_path, vectors):
    if ray.is_initialized():
        pytest.skip("this process is connected to a cluster")
    with pytest.raises(UsageError, match="there is no Ray cluster"):
        build(vectors, index_key="SQ8", output=tmp_path / "i", engine="ray", address="127.0.0.1:1")


def test_lists_are_trained_by_actors(cluster, tmp_path):
    rng = np.random.default_rng(3)
    np.save(tmp_path / "x.npy", rng.standard_normal((6000, 128)).astype(np.float32))
    for engine, train in (("local", "single"), ("ray", "distributed")):
        build(
            tmp_path / "x.npy",
            index_key="PCA96,IVF200,SQ8",  # centroids of 77 kB travel as files
            output=tmp_path / engine,
            shards=2,
            engine=engine,
            train=train,
        )
    assert contents(tmp_path / "local") == contents(tmp_path / "ray")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert spilled(cluster.folder) == 0
