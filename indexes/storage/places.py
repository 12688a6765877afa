"""Which place a path or an address means."""

from __future__ import annotations

import os

from cluscomp import checks
from cluscomp.indexes.storage.local_place import LocalPlace
from cluscomp.indexes.storage.object_place import ObjectPlace
from cluscomp.indexes.storage.place import Place
from cluscomp.objects.address import is_address, local_path, parse_address


def place_of(path: str | os.PathLike[str]) -> Place:
    """The folder or the prefix of an object store that `path` names. Raises UsageError."""
    given = checks.path("path", path)
    return ObjectPlace(parse_address(path)) if is_address(path) else LocalPlace(local_path(given))
