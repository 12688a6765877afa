"""The bucket that tests of object stores use: one in memory, or that of a server (`.ci/run objects`)."""

from __future__ import annotations

import os
import secrets
from typing import Any

import numpy as np

from cluscomp.indexes.storage import object_commit
from cluscomp.objects.address import parse_address
from cluscomp.objects.store import Store, store_of

BUCKET = os.environ.get("CLUSCOMP_TEST_BUCKET", "memory://cluscomp-tests")
IN_MEMORY = BUCKET.startswith("memory:")
X = np.random.default_rng(3).standard_normal((300, 8)).astype(np.float32)


def bucket() -> Store:
    return store_of(parse_address(BUCKET))


def fresh(name: str) -> str:
    """An address below which nothing is yet."""
    return f"{BUCKET}/{secrets.token_hex(4)}/{name}"


def names(address: str) -> set[str]:
    """Names of all objects below an address."""
    key = parse_address(address).key
    return {found.key[len(key) + 1 :] for found in bucket().listed(key)}


def in_the_last_moment(monkeypatch: Any, work: Any) -> None:
    """Do something when the next commit has put its files, and not its manifest."""
    put_files = object_commit.ObjectCommit._put_files

    def slow(commit: Any, *arguments: Any) -> None:
        put_files(commit, *arguments)
        monkeypatch.setattr(object_commit.ObjectCommit, "_put_files", put_files)
        work()

    monkeypatch.setattr(object_commit.ObjectCommit, "_put_files", slow)
