"""Stores that fail as real ones do: without conditions, with answers that are lost, with objects that change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from cluscomp.objects.store import ConflictError, Store, StoredObject, StoreError


class PassingStore:
    """A store that passes everything on to another one, and counts calls by name."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.calls: dict[str, list[str]] = {}

    def _count(self, call: str, key: str) -> None:
        self.calls.setdefault(call, []).append(key)

    def read(self, key: str) -> tuple[bytes, str]:
        return self.store.read(key)

    def download(self, key: str, file: BinaryIO) -> None:
        self._count("download", key)
        self.store.download(key, file)

    def head(self, key: str) -> StoredObject:
        return self.store.head(key)

    def listed(self, prefix: str) -> Iterator[StoredObject]:
        return self.store.listed(prefix)

    def upload(self, key: str, path: Path) -> None:
        self._count("upload", key)
        self.store.upload(key, path)

    def put(self, key: str, data: bytes) -> None:
        self.store.put(key, data)

    def put_if(self, key: str, data: bytes, tag: str | None) -> str:
        self._count("put_if", key)
        return self.store.put_if(key, data, tag)

    def delete(self, keys: Sequence[str]) -> None:
        self.store.delete(keys)


class IgnoringStore(PassingStore):
    """A store that says yes to every put. ignores: "create", "replace" or "both"."""

    def __init__(self, store: Store, ignores: str) -> None:
        super().__init__(store)
        self.ignores = ignores

    def put_if(self, key: str, data: bytes, tag: str | None) -> str:
        if self.ignores in ("both", "create" if tag is None else "replace"):
            self.store.put(key, data)
            return self.store.head(key).tag
        return self.store.put_if(key, data, tag)


class LosingStore(PassingStore):
    """A store whose answers to puts of the manifest are lost; the client then may try again by itself.

    lose: what becomes of such a put: "answer" (it is done), "retried" (done, and the second try is refused),
    "request" (it is not done). meanwhile: called before.
    """

    def __init__(self, store: Store, lose: str, meanwhile: Callable[[], Any] = lambda: None) -> None:
        super().__init__(store)
        self.lose, self.meanwhile = lose, meanwhile

    def put_if(self, key: str, data: bytes, tag: str | None) -> str:
        if not key.endswith("manifest.json"):
            return self.store.put_if(key, data, tag)
        self.meanwhile()
        if self.lose != "request":
            with suppress(ConflictError):
                self.store.put_if(key, data, tag)
        if self.lose == "retried":
            return self.store.put_if(key, data, tag)
        raise StoreError(f"{key}: connection reset")
