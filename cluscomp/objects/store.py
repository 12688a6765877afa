"""What is asked of an object store, and obstore's stores behind it (S3, Google, Azure, memory).

Credentials, region and endpoint are those that obstore finds in the environment: AWS_ACCESS_KEY_ID,
AWS_ENDPOINT_URL, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_NAME ...
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from cluscomp.errors import require
from cluscomp.objects.address import Address

_CHUNK_BYTES = 8 << 20
_DELETE_AT_ONCE = 500


class StoreError(OSError):
    """A store refuses, or does not answer. It is not known whether what was asked for has happened."""


class ConflictError(Exception):
    """A put with a condition was refused, since the object is not as the condition says."""


@dataclass(frozen=True)
class StoredObject:
    """What a store says of an object. key: its whole name. modified: seconds since 1970, by the clock of the
    store. tag: its ETag, another one for other contents.
    """

    key: str
    size: int
    modified: float
    tag: str


class Store(Protocol):
    """One bucket. Keys are whole names in it. Raises FileNotFoundError where there is no such object, and
    StoreError where the store refuses or does not answer.
    """

    def read(self, key: str) -> tuple[bytes, str]:
        """All bytes of an object, and its tag."""
        ...

    def download(self, key: str, file: BinaryIO) -> None:
        """Write an object into a file, in pieces."""
        ...

    def head(self, key: str) -> StoredObject:
        """What is known of an object."""
        ...

    def listed(self, prefix: str) -> Iterator[StoredObject]:
        """All objects whose keys begin with `prefix` and "/"; all of the bucket for ""."""
        ...

    def upload(self, key: str, path: Path) -> None:
        """Let an object have the bytes of a file."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Let an object have these bytes."""
        ...

    def put_if(self, key: str, data: bytes, tag: str | None) -> str:
        """As `put`, if the object still has this tag (None: if there is none); returns the new tag.

        Raises ConflictError.
        """
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are not there are no error."""
        ...


class ObStore:
    """A store of obstore. name: of the bucket, for messages."""

    def __init__(self, name: str, made: Any) -> None:
        self._obstore = require("obstore", extra="objects", why="object stores")
        self._store, self._name = made, name

    def read(self, key: str) -> tuple[bytes, str]:
        with self._errors(key):
            found = self._obstore.get(self._store, key)
            return bytes(found.bytes()), str(found.meta["e_tag"])

    def download(self, key: str, file: BinaryIO) -> None:
        with self._errors(key):
            found = self._obstore.get(self._store, key)
            for piece in found.stream(min_chunk_size=_CHUNK_BYTES):
                file.write(piece)

    def head(self, key: str) -> StoredObject:
        with self._errors(key):
            return _stored(self._obstore.head(self._store, key))

    def listed(self, prefix: str) -> Iterator[StoredObject]:
        with self._errors(prefix):
            for some in self._obstore.list(self._store, prefix or None):
                yield from map(_stored, some)

    def upload(self, key: str, path: Path) -> None:
        with self._errors(key):
            self._obstore.put(self._store, key, path)

    def put(self, key: str, data: bytes) -> None:
        with self._errors(key):
            self._obstore.put(self._store, key, data)

    def put_if(self, key: str, data: bytes, tag: str | None) -> str:
        known = self._obstore.exceptions
        mode: Any = "create" if tag is None else {"e_tag": tag}
        try:
            with self._errors(key):
                return str(self._obstore.put(self._store, key, data, mode=mode)["e_tag"])
        except (known.AlreadyExistsError, known.PreconditionError) as exc:
            raise ConflictError(f"{self._name}/{key}: {_first_line(exc)}") from exc

    def delete(self, keys: Sequence[str]) -> None:
        for first in range(0, len(keys), _DELETE_AT_ONCE):
            with self._errors(keys[first]):
                self._obstore.delete(self._store, list(keys[first : first + _DELETE_AT_ONCE]))

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """What obstore raises as StoreError; refused conditions and missing objects as they are."""
        known = self._obstore.exceptions
        try:
            yield
        except (known.AlreadyExistsError, known.PreconditionError):
            raise
        except known.BaseError as exc:
            raise StoreError(f"{self._name}/{key}: {_first_line(exc)}") from exc


def store_of(address: Address) -> Store:
    """The bucket that an address is in. Raises OptionalDependencyError without obstore, StoreError where its
    settings are wrong.
    """
    with _MAKING:  # one store a bucket, also for threads that ask at the same time
        return _bucket(address.scheme, address.bucket)


_MAKING = threading.Lock()


@cache
def _bucket(scheme: str, bucket: str) -> Store:
    name = f"{scheme}://{bucket}"
    obstore = require("obstore", extra="objects", why=f"the object store {name}")
    stores = require("obstore.store", extra="objects", why=f"the object store {name}")
    if scheme == "memory":
        return ObStore(name, stores.MemoryStore())
    try:
        return ObStore(name, stores.from_url(name))
    except (obstore.exceptions.BaseError, ValueError, TypeError) as exc:
        raise StoreError(f"{name} cannot be used: {_first_line(exc)}; look at the environment") from exc


def _stored(meta: Any) -> StoredObject:
    return StoredObject(meta["path"], meta["size"], meta["last_modified"].timestamp(), str(meta["e_tag"]))


def _first_line(exc: BaseException) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:500]
