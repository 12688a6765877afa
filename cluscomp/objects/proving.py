"""Whether a store keeps the conditions of a put: some say yes always, so that of two writers one is lost.

Two things are tried on an object of their own: to create it twice, and to replace it with a tag that it no
longer has. A store that allows either is refused.
"""

from __future__ import annotations

import os
import secrets
import weakref

from cluscomp.errors import UnsafeStoreError
from cluscomp.objects.store import ConflictError, Store

SINGLE_WRITER = "CLUSCOMP_SINGLE_WRITER"
"""Environment variable; 1: nobody else ever writes, so that a store without conditions may be used."""
_proven: weakref.WeakSet[Store] = weakref.WeakSet()


def prove_conditions(store: Store, prefix: str, name: str) -> None:
    """Raise UnsafeStoreError unless the store refuses puts whose conditions do not hold.

    prefix: where an object may be tried; it is removed again. name: of the place, for messages. A store is
    tried once in a process.
    """
    if store in _proven or os.environ.get(SINGLE_WRITER) == "1":
        return
    key = f"{prefix}/.probe-{secrets.token_hex(8)}" if prefix else f".probe-{secrets.token_hex(8)}"
    try:
        fault = _fault(store, key)
    finally:
        store.delete([key])
    if fault is not None:
        raise UnsafeStoreError(
            f"{name} cannot be written safely: its store {fault}, so that of two writers one would be lost; "
            f"use another store, or set {SINGLE_WRITER}=1 if nobody else ever writes there"
        )
    _proven.add(store)


def _fault(store: Store, key: str) -> str | None:
    old = store.put_if(key, b"1", None)
    if _allowed(store, key, b"2", None):
        return "ignores If-None-Match: it created an object that was there already"
    try:
        store.put_if(key, b"3", old)
    except ConflictError:
        return "refuses If-Match with the tag that the object has"
    if _allowed(store, key, b"4", old):
        return "ignores If-Match: it replaced an object that had changed"
    return None


def _allowed(store: Store, key: str, data: bytes, tag: str | None) -> bool:
    try:
        store.put_if(key, data, tag)
    except ConflictError:
        return False
    return True
