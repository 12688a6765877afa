"""Addresses of object stores, such as s3://bucket/folder/name."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from cluscomp.errors import UsageError

SCHEMES = ("s3", "gs", "az", "memory")
"""memory: a store in this process, for tests and trials."""
# As a path, an address has lost one of its slashes.
_ADDRESS = re.compile(rf"({'|'.join(SCHEMES)}):/{{1,2}}(.*)", re.DOTALL)
_FILE = re.compile(r"file:(?://(?:localhost)?)?(/.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Address:
    """A place in a store. bucket: container of Azure. key: names joined by "/", without one at the ends."""

    scheme: str
    bucket: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}" + (f"/{self.key}" if self.key else "")

    def __truediv__(self, name: str) -> Address:
        return replace(self, key=f"{self.key}/{name}" if self.key else name)

    @property
    def name(self) -> str:
        """Last part of the key, or the bucket."""
        return self.key.rpartition("/")[2] or self.bucket


def is_address(path: Any) -> bool:
    """Whether a path is meant as an address of a store."""
    return isinstance(path, (str, os.PathLike)) and _ADDRESS.fullmatch(str(path)) is not None


def parse_address(path: Any) -> Address:
    """The address that a text or path spells. Raises UsageError."""
    found = _ADDRESS.fullmatch(str(path))
    bucket, _, key = ("", "", "") if found is None else found[2].partition("/")
    parts = [part for part in key.split("/") if part]
    if found is None or not _BUCKET.fullmatch(bucket) or {".", ".."} & set(parts):
        raise UsageError(
            f"{str(path)!r} is no address of an object store; write SCHEME://BUCKET/FOLDER, where SCHEME is "
            f"one of {', '.join(SCHEMES)}"
        )
    return Address(found[1], bucket, "/".join(parts))


def local_path(path: Path) -> Path:
    """A path of this machine: file:///a/b is /a/b, others stay as they are."""
    found = _FILE.fullmatch(str(path))
    return path if found is None else Path(unquote(found[1]))
