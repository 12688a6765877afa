"""The one thread that changes indexes: a change is a commit of the folder, and served when answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from cluscomp.server.registry import Registry
from cluscomp.server.room import Room

if TYPE_CHECKING:
    from cluscomp.indexes.any_index import AnyIndex

MOST_WAITING = 16
LOCK_SECONDS = 5.0
Change = Callable[["AnyIndex"], tuple[int, int]]
"""Changes an index; returns how many documents it put or deleted, and how many of them it replaced."""


class WriterThread:
    """Changes folders one after the other, each from its newest state."""

    def __init__(self, registry: Registry) -> None:
        self._registry, self._room = registry, Room("changes", MOST_WAITING)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write")

    async def change(self, name: str, change: Change) -> dict[str, Any]:
        """Apply a change, save it and serve it; what is saved is kept also when nobody waits for the answer.

        Raises RequestRefusedError (too many wait), IndexLockedError, and what the change raises.
        """
        with self._room.entered():
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._apply, name, change)

    def close(self) -> None:
        """End after the change that is under way."""
        self._thread.shutdown(cancel_futures=True)

    def _apply(self, name: str, change: Change) -> dict[str, Any]:
        from cluscomp.indexes.index import open_index

        served = self._registry.current(name)
        index = open_index(served.folder)
        with index.writer(wait=LOCK_SECONDS):
            documents, replaced = change(index)
        self._registry.refresh(name)
        now = self._registry.current(name)
        return {
            "index": name,
            "generation": now.generation,
            "rows": len(now.index),
            "documents": documents,
            "replaced": replaced,
        }
