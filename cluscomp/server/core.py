"""All that lives as long as the server: indexes, the threads, counters, the log."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from cluscomp.errors import IncompleteResultsWarning
from cluscomp.server.encoding import EncoderThread
from cluscomp.server.metrics import Metrics
from cluscomp.server.registry import Registry, Slot
from cluscomp.server.request_log import RequestLog
from cluscomp.server.room import Room
from cluscomp.server.searching import SearchThread
from cluscomp.server.served import Served
from cluscomp.server.settings import ServerSettings

Value = TypeVar("Value")
_log = logging.getLogger("cluscomp.server")


class Core:
    """Opens the indexes and starts the threads; `close` ends them.

    folders: name -> index folder. root: a folder of more of them. log: file of the log of requests, or None.
    Raises IndexFolderError, and what encoders raise.
    """

    def __init__(
        self,
        folders: dict[str, Path],
        settings: ServerSettings,
        *,
        root: Path | None = None,
        log: Path | None = None,
    ) -> None:
        warnings.simplefilter("ignore", IncompleteResultsWarning)  # answers say how many were found
        self.settings, self.metrics = settings, Metrics()
        self.draining = False
        observe = self.metrics.observe
        self.encoders = EncoderThread(queue=settings.queue, enabled=settings.encoder, observe=observe)
        self.registry = Registry(
            folders, root=root, max_open=settings.max_open, warm=self._warm, changed=self._changed
        )
        for served in self.registry.open_states():
            self.encoders.load(served)
            self._count(served, failed=False)
        self.searcher = SearchThread(
            batch_max=settings.batch_max, batch_wait=settings.batch_wait, observe=observe
        )
        # Searches wait for the thread that searches, or for the event loop to read and write them.
        self.room = Room("searches", settings.queue, begun=lambda: self.searcher.running)
        self.metrics.watch(lambda: self.searcher.depth, lambda: len(self.registry.open_states()))
        self.log = RequestLog(log)
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="read")
        self._ends, self._at_end = threading.Event(), list[Callable[[], None]]()
        self._watcher = threading.Thread(target=self._watch, name="refresh", daemon=True)
        if settings.refresh:
            self._watcher.start()

    async def served(self, name: str) -> Served:
        """The state of an index that is served now. Raises RequestRefusedError, IndexFolderError."""
        if self.registry.is_open(name):
            return self.registry.current(name)
        return await self.apart(self.registry.current, name)

    def count(self, facts: dict[str, Any], route: str, status: int, seconds: float) -> None:
        """Count and log a request that was answered. facts: what the log says of it besides."""
        self.metrics.request(route, status, seconds)
        if self.log.enabled:
            line = {"time": round(time.time(), 3), **facts, "route": route, "status": status}
            line.pop("admin", None)
            self.log.write(line | {"ms": round(seconds * 1000, 3)})

    async def apart(self, function: Callable[..., Value], *arguments: Any) -> Value:
        """What a function that blocks returns; it runs on the thread that reads."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, function, *arguments)

    def at_end(self, end: Callable[[], None]) -> None:
        """Let `close` call a function."""
        self._at_end.append(end)

    def close(self) -> None:
        """End all threads."""
        self._ends.set()
        if self.settings.refresh:
            self._watcher.join()
        for end in self._at_end:
            end()
        self.searcher.close()
        self.encoders.close()
        self._readers.shutdown(cancel_futures=True)
        self.log.close()

    # ---- newer states ----

    def _watch(self) -> None:
        while not self._ends.wait(self.settings.refresh):
            try:
                self.registry.rescan()
                for served in self.registry.open_states():
                    self.registry.refresh(served.name)
            except Exception:  # noqa: BLE001 - the next look may succeed
                _log.exception("looking for newer states of the indexes failed")

    def _changed(self, name: str, slot: Slot) -> None:
        served = slot.served
        if served is None:
            return
        self._count(served, failed=slot.failed is not None)
        if slot.failed is not None:
            _log.error("index %s: the newer state cannot be served, the old one stays: %s", name, slot.failed)

    def _warm(self, served: Served) -> None:
        if self.settings.warmup is not None:
            self.settings.warmup.warm(served, self.encoders.encoded)

    def _count(self, served: Served, *, failed: bool) -> None:
        self.metrics.state(served.name, served.generation, failed)
