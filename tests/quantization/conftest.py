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
