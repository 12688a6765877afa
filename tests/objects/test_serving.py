"""Indexes in an object store, served and followed."""

from __future__ import annotations

import numpy as np
import pytest
from object_bucket import fresh

import cluscomp as cc
from cluscomp.server.registry import Registry, parse_indexes

pytest.importorskip("obstore")
X = np.random.default_rng(3).standard_normal((60, 8)).astype(np.float32)


def test_a_served_index_follows_its_commits(tmp_path, monkeypatch):
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    address = fresh("my.index")
    index = cc.index_factory("SQ8", 8).train(X).add(X)
    index.save(address)
    folders = parse_indexes([f"named={address}", address])
    assert list(folders) == ["named", "my"]
    registry = Registry(folders)
    assert len(registry.current("named").index) == 60 and not registry.refresh("named")
    index.delete([3])
    index.save(address)
    assert registry.refresh("named") and not registry.refresh("named")
    assert len(registry.current("named").index) == 59 and registry.current("named").generation == 2
