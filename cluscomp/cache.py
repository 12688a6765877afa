"""The cache folder: what can be made or fetched again, and is kept so that it need not be."""

from __future__ import annotations

import os
from pathlib import Path

from cluscomp.errors import InputError


def cache_dir() -> Path:
    """$CLUSCOMP_CACHE, else $XDG_CACHE_HOME/cluscomp, else ~/.cache/cluscomp. The folder is not made here.

    Raises InputError where none is set and the home folder is not known.
    """
    own = os.environ.get("CLUSCOMP_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME")
    try:
        if own:
            return Path(own).expanduser()
        return (Path(shared).expanduser() if shared else Path.home() / ".cache") / "cluscomp"
    except RuntimeError as exc:
        raise InputError(f"there is no cache folder ({exc}); set CLUSCOMP_CACHE or HOME to a folder") from exc
