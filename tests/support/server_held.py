"""Searches of a server that begin, and end when a test lets them."""

from __future__ import annotations

import threading


class Held:
    """Lets searches of a server begin, and not end before `release`."""

    def __init__(self, server):
        self.searcher, self.original = server.core.searcher, server.core.searcher._answer
        self.begun, self.release = threading.Event(), threading.Event()
        self.searcher._answer = self._answer

    def _answer(self, batch):
        self.begun.set()
        self.release.wait(20)
        self.original(batch)
