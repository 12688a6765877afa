"""Files of vectors, and what two index folders have in common."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

DIM = 16


@pytest.fixture(autouse=True)
def no_flushes(monkeypatch):
    """Processes that are killed need no disk to remember what they wrote."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(scope="session")
def vectors(tmp_path_factory) -> Path:
    """2000 rows of a mixture of Gaussians, the first ten of them twice."""
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((12, DIM)) * 2
    rows = centres[rng.integers(12, size=2000)] + rng.standard_normal((2000, DIM))
    rows[1000:1010] = rows[:10]
    path = tmp_path_factory.mktemp("vectors") / "x.npy"
    np.save(path, rows.astype(np.float32))
    return path


@pytest.fixture(scope="session")
def queries(vectors) -> np.ndarray:
    noise = np.random.default_rng(8).standard_normal((20, DIM)).astype(np.float32)
    return np.concatenate([np.load(vectors)[:20], np.load(vectors)[100:120] + noise])


def contents(folder: Path) -> dict[str, str]:
    """Files that belong to the arrays and texts of an index, with their checksums."""
    names = [path for path in folder.iterdir() if path.name[0] in "ps"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in names}


def manifest(folder: Path) -> dict:
    """The manifest, without what a build says of itself."""
    found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    del found["extra_files"]
    return found


def same_hits(one, two, queries, k=10, **options):
    """Assert that two indexes answer alike, bit for bit."""
    for a, b in zip(one.search(queries, k, **options), two.search(queries, k, **options), strict=True):
        np.testing.assert_array_equal(a, b)
