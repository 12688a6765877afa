from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluscomp import native


@pytest.fixture()
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
