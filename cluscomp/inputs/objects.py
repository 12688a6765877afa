"""Inputs in object stores: fetched into the cache folder as a whole, and read from there like other files."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from cluscomp import checks
from cluscomp.errors import InputError, MissingInputError
from cluscomp.folders import new_folder
from cluscomp.objects.address import Address, is_address, local_path, parse_address
from cluscomp.objects.blobs import KEPT_SECONDS, objects_folder
from cluscomp.objects.store import Store, StoredObject, StoreError, store_of

Wanted = Callable[[str], bool]


def local_input(name: str, path: str | os.PathLike[str], wanted: Wanted = lambda name: True) -> Path:
    """The path of an input on this machine: of an object of a store, or of all objects right below an
    address, the copy in the cache.

    name: of the argument, for messages. wanted: which names below an address are fetched. A copy is made anew
    when the object has changed. Paths are handed back as they are.

    Raises UsageError, MissingInputError, InputError (the store refuses, or does not answer),
    OptionalDependencyError.
    """
    given = checks.path(name, path)
    if not is_address(path):
        return local_path(given)
    address = parse_address(path)
    with _errors(address):
        store = store_of(address)
        found = _object(store, address)
        if found is not None:
            return _copy(store, address, [found]) / address.name
        return _copy(store, address, _right_below(store, address, wanted))


def _object(store: Store, address: Address) -> StoredObject | None:
    try:
        return store.head(address.key) if address.key else None
    except FileNotFoundError:
        return None


def _right_below(store: Store, address: Address, wanted: Wanted) -> list[StoredObject]:
    """Objects of the names that are wanted, without those of deeper folders."""
    start = len(address.key) + 1 if address.key else 0
    names = {found.key[start:]: found for found in store.listed(address.key)}
    some = [found for name, found in sorted(names.items()) if "/" not in name and wanted(name)]
    if not some:
        there = f"; below it are: {', '.join(sorted(names)[:8])}" if names else ""
        raise MissingInputError(f"{address} is no object, and none that can be read is below it{there}")
    return some


def _copy(store: Store, address: Address, objects: Sequence[StoredObject]) -> Path:
    """The folder of the cache with these objects, as they are now."""
    state = "".join(f"{found.key}\0{found.tag}\0{found.size}\0{found.modified}\0" for found in objects)
    marks = [hashlib.blake2b(text.encode(), digest_size=8).hexdigest() for text in (str(address), state)]
    base = objects_folder("inputs")
    target = base / "-".join(marks) / address.name
    with suppress(OSError):
        os.utime(target)
        return target
    _tidy(base)
    with new_folder(target, sum(found.size for found in objects)) as draft:
        for found in objects:
            file = draft / found.key.rpartition("/")[2]
            with file.open("xb") as stream:
                store.download(found.key, stream)
            os.utime(file, (found.modified, found.modified))
    return target


def _tidy(base: Path) -> None:
    """Remove copies that nobody has read for some time."""
    for folder in base.iterdir():
        with suppress(OSError):
            if time.time() - max(part.stat().st_mtime for part in folder.iterdir()) > KEPT_SECONDS:
                shutil.rmtree(folder)


@contextmanager
def _errors(address: Address) -> Iterator[None]:
    try:
        yield
    except StoreError as exc:
        raise InputError(f"cannot read {address}: {exc}") from exc
    except FileNotFoundError as exc:
        if isinstance(exc, MissingInputError):
            raise
        raise MissingInputError(f"{address} was removed while it was read") from exc
