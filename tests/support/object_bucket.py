"""The bucket that tests of object stores use: one in memory, or that of a server (`.ci/run objects`)."""

from __future__ import annotations

import os
import secrets

from cluscomp.objects.address import parse_address
from cluscomp.objects.store import Store, store_of

BUCKET = os.environ.get("CLUSCOMP_TEST_BUCKET", "memory://cluscomp-tests")
IN_MEMORY = BUCKET.startswith("memory:")


def bucket() -> Store:
    return store_of(parse_address(BUCKET))


def fresh(name: str) -> str:
    """An address below which nothing is yet."""
    return f"{BUCKET}/{secrets.token_hex(4)}/{name}"
