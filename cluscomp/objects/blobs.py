"""Objects in the cache folder, by checksum: fetched once, compared, and then linked where they are needed."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from cluscomp.cache import cache_dir
from cluscomp.errors import CorruptIndexError
from cluscomp.objects.address import Address
from cluscomp.objects.store import Store

KEPT_SECONDS = 86_400.0
"""How long the cache keeps what nothing uses any more."""


def objects_folder(*parts: str) -> Path:
    """A folder of the cache that exists now."""
    folder = cache_dir().joinpath("objects", *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def blob_path(sha256: str) -> Path:
    """Where the cache has the bytes of this checksum, if it has them."""
    return objects_folder("files") / sha256


def fetch_blob(store: Store, address: Address, size: int, sha256: str) -> Path:
    """The file of the cache with these bytes, fetched from an address where it is not there.

    Raises FileNotFoundError, StoreError, CorruptIndexError (the object has other bytes).
    """
    blob = blob_path(sha256)
    with suppress(OSError):
        if blob.stat().st_size == size:
            return blob
    draft = blob.with_name(f".{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as file:
            hashing = _Hashing(file)
            store.download(address.key, hashing)  # type: ignore[arg-type]
        if (hashing.size, hashing.digest.hexdigest()) != (size, sha256):
            raise CorruptIndexError(
                f"{address} has {hashing.size} bytes with checksum {hashing.digest.hexdigest()}, but the "
                f"manifest says {size} bytes with {sha256}: it is truncated or altered; restore a copy or "
                "rebuild the index"
            )
        os.replace(draft, blob)
    finally:
        draft.unlink(missing_ok=True)
    return blob


def keep_blob(path: Path, sha256: str) -> None:
    """Let a file of these bytes be found in the cache, too, where the file system has links."""
    with suppress(OSError):
        os.link(path, blob_path(sha256))


def forget_blobs() -> None:
    """Remove files of the cache that nothing has linked for some time, and drafts of killed processes."""
    now = time.time()
    for file in objects_folder("files").iterdir():
        with suppress(OSError):
            status = file.stat()
            if status.st_nlink < 2 and now - max(status.st_mtime, status.st_ctime) > KEPT_SECONDS:
                file.unlink()


class _Hashing:
    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest, self.size = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.digest.update(data)
        self.size += len(memoryview(data))
