"""An index for a place in a bucket, and a cache folder of its own for each test."""

from __future__ import annotations

from typing import Any

import pytest
from object_bucket import X, fresh

import cluscomp as cc
from cluscomp.indexes.storage import object_place
from cluscomp.objects.proving import SINGLE_WRITER


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(SINGLE_WRITER, raising=False)


@pytest.fixture
def address() -> str:
    return fresh("my.index")


@pytest.fixture
def index() -> Any:
    return cc.index_factory("IVF4,SQ8", 8, "l2").train(X).add(X)


@pytest.fixture
def through(monkeypatch):
    """Let all places use a double of the store."""

    def use(double: Any) -> Any:
        monkeypatch.setattr(object_place, "store_of", lambda address: double)
        return double

    return use
