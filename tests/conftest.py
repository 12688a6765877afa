"""Fixtures shared by all rooms. Tests that need the shared collections skip with a reason when they are absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cluscomp import native

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the test collections (BEIR layout): $CLUSCOMP_SHARED_DATA or ../shared/data beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CLUSCOMP_SHARED_DATA", default))
    if not (folder / "scifact" / "corpus.jsonl").is_file():
        pytest.skip("the shared test collections are not here; set CLUSCOMP_SHARED_DATA to their folder")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)


@pytest.fixture
def threads() -> Iterator[None]:
    """Restores the thread budget after a test that changes it."""
    before = native.get_num_threads()
    yield
    native.set_num_threads(before)


@pytest.fixture(params=native.available_simd_levels())
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every instruction set that this machine has."""
    before = native.simd_level()
    native.set_simd_level(request.param)
    yield request.param
    native.set_simd_level(before)
