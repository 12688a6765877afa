"""A writer that ends at any moment of a commit leaves the old state or the new one, and the next writer goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from object_bucket import X, bucket, names
from object_doubles import PassingStore

import cluscomp as cc
from cluscomp.errors import IndexFolderError
from cluscomp.indexes.build import build_index
from cluscomp.objects.store import Store, StoreError

pytest.importorskip("obstore")


class Killed(BaseException):
    """The process has ended: nothing of it runs any more."""


class EndingStore(PassingStore):
    """A store whose user ends at the `at`-th call that changes it (from 0), before or after the change.

    Every later call fails in the same way, so that nothing is cleaned up. ends: what is raised.
    """

    def __init__(self, store: Store, at: int, done: bool, ends: Callable[[], BaseException]) -> None:
        super().__init__(store)
        self.at, self.done, self.ends, self.number = at, done, ends, 0
        self.is_over, self._turn = False, threading.Lock()

    def _change(self, change: Callable[[], Any]) -> Any:
        with self._turn:  # files are put by several threads
            if self.is_over:
                raise self.ends()
            self.number += 1
            if self.number <= self.at:
                return change()
            self.is_over = True
            if self.done:
                change()
            raise self.ends()

    def read(self, key: str) -> tuple[bytes, str]:
        if self.is_over:
            raise self.ends()
        return self.store.read(key)

    def upload(self, key, path):
        self._change(lambda: self.store.upload(key, path))

    def put(self, key, data):
        self._change(lambda: self.store.put(key, data))

    def put_if(self, key, data, tag):
        return self._change(lambda: self.store.put_if(key, data, tag))

    def delete(self, keys):
        self._change(lambda: self.store.delete(keys))


def append(index: Any, address: str) -> None:
    index.add(X[:5], np.arange(1000, 1005))
    index.delete([7, 8])
    index.save(address)


def compact(index: Any, address: str) -> None:
    index.delete([7])
    index.compact(segments=1, dead=0)
    index.save(address, grace=0)


def replace(index: Any, address: str) -> None:
    build_index(X[:100], index_key="SQ8", output=address, if_exists="replace")


def changes_of(work: Callable[[Any, str], None], address: str, through: Any) -> int:
    """How many calls of a commit change the store."""
    double = through(EndingStore(bucket(), 10**9, True, Killed))
    work(cc.open_index(address), address)
    return int(double.number)


def lost() -> StoreError:
    return StoreError("connection reset")


@pytest.mark.parametrize(
    ("work", "ends"), [(append, Killed), (append, lost), (compact, Killed), (replace, Killed)]
)
@pytest.mark.parametrize("done", [True, False])
def test_old_or_new_at_every_step(index, address, through, work, done, ends) -> None:
    through(bucket())
    index.save(f"{address}-counted")
    steps = changes_of(work, f"{address}-counted", through)
    assert steps >= 4
    new = cc.open_index(f"{address}-counted").ids.tolist()
    for at in range(steps):
        here = f"{address}-{at}"
        through(bucket())
        index.save(here)
        old = cc.open_index(here).ids.tolist()
        opened = cc.open_index(here)
        through(EndingStore(bucket(), at, done, ends))
        try:
            work(opened, here)
            said_done = True
        except (Killed, IndexFolderError):
            said_done = False
        through(bucket())
        found = cc.open_index(here, verify=True)
        assert found.ids.tolist() in (old, new)
        if said_done:
            assert found.ids.tolist() == new
        found.add(X[:1], [5000])  # the next writer goes on from what is there
        found.save(here)
        again = cc.open_index(here, verify=True)
        assert again.ids.tolist() == found.ids.tolist() and 5000 in again.ids
        assert cc.verify_index(here, "deep") == []
        listed = {name.partition(".")[2] for name in names(here)}
        assert again.origin.manifest.names - {"manifest.json"} <= listed
