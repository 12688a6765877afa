"""Garbage and open files of this process."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

import pytest

from cluscomp.process import kept_objects

resource = pytest.importorskip("resource")


class Ring:
    """An object that only the search for garbage finds."""

    def __init__(self):
        self.itself = self


def test_objects_are_kept_within_the_block_only():
    before, (old, new) = gc.get_threshold(), (Ring(), Ring())
    seen = weakref.ref(old), weakref.ref(new)
    del new
    with kept_objects():
        assert gc.get_freeze_count() > 0 and gc.get_threshold()[0] > before[0]
        del old
        young = weakref.ref(Ring())
        gc.collect()
        assert seen[0]() is not None and young() is None
    gc.collect()
    assert seen[0]() is None and seen[1]() is None
    assert gc.get_freeze_count() == 0 and gc.get_threshold() == before


def test_open_files():
    code = (
        "import resource as r; from cluscomp.process import raise_open_files as go; m = r.getrlimit(r.RLIMIT_NOFILE)[1];"
        "r.setrlimit(r.RLIMIT_NOFILE, (64, m)); go(); print(r.getrlimit(r.RLIMIT_NOFILE) == (m, m))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True\n"
