"""Every test that asks for `level` runs at every instruction set that this machine has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluscomp import native

LEVELS = native.available_simd_levels()


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    before = native.simd_level()
    native.set_simd_level(request.param)
    yield request.param
    native.set_simd_level(before)


@pytest.fixture()
def threads() -> Iterator[None]:
    """Restores the thread budget after a test that changes it."""
    before = native.get_num_threads()
    yield
    native.set_num_threads(before)
