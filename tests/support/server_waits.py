"""Waiting for what threads of a server do, within bounds."""

from __future__ import annotations

import time


def wait_until(holds, seconds=20):
    """Return when holds() is true; fail when it is not in time."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.002)
