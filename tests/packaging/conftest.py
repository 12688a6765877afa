"""Tests of the source tree itself; they skip where the suite runs without one, against an installed wheel."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the source tree."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file():
        pytest.skip("the suite runs without the source tree")
    return root
