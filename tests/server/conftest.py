"""Servers on the loopback: in a thread of this process, or as the program for signals and exit codes."""

from __future__ import annotations

import numpy as np
import pytest
from server_running import Running

import cluscomp as cc

DIM = 24


@pytest.fixture(autouse=True, scope="session")
def _packages():
    for name in ("fastapi", "uvicorn", "prometheus_client", "httpx2"):
        pytest.importorskip(name)


@pytest.fixture
def serve():
    """serve(folders, **settings) is a running server as a context manager."""
    return Running


@pytest.fixture(scope="module")
def both(folder, late):
    """One server of "small" and "late" for all tests of a file that leave it as it is."""
    with Running({"small": folder, "late": late}) as server, server.http() as http:
        yield http


@pytest.fixture(scope="session")
def rows():
    return np.random.default_rng(5).standard_normal((3000, DIM)).astype(np.float32)


@pytest.fixture(scope="session")
def queries():
    return np.random.default_rng(6).standard_normal((300, DIM)).astype(np.float32)


def made(key, rows, folder, ids=None, metric="ip"):
    index = cc.index_factory(key, dim=rows.shape[1], metric=metric)
    index.train(rows)
    index.add(rows, ids)
    index.save(folder)
    return folder


@pytest.fixture(scope="session")
def folder(rows, tmp_path_factory):
    """An index of lists and product codes with integer ids."""
    return made("OPQ8,IVF16,PQ8", rows, tmp_path_factory.mktemp("served") / "small.index")


@pytest.fixture(scope="session")
def flat(rows, tmp_path_factory):
    """Flat index of the same rows with text ids."""
    names = [f"doc{number}" for number in range(len(rows))]
    return made("Flat", rows, tmp_path_factory.mktemp("served") / "flat.index", names)


@pytest.fixture(scope="session")
def late(tmp_path_factory):
    """200 documents of 3 to 8 vectors."""
    rng = np.random.default_rng(8)
    lengths = rng.integers(3, 9, 200)
    vectors = rng.standard_normal((int(lengths.sum()), DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = cc.index_factory("Pool4,IVF8,PQ8", dim=DIM)
    index.train(vectors, lengths=lengths)
    index.add(vectors, [f"d{number}" for number in range(200)], lengths=lengths)
    path = tmp_path_factory.mktemp("served") / "late.index"
    index.save(path)
    return path
