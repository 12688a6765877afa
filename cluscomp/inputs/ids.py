"""Ids that come as texts, for an index whose ids may be integers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cluscomp.errors import InputError

_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)


def ids_of_kind(names: Sequence[str], kind: str | None) -> list[str] | list[int]:
    """Ids as an index has them: texts stand for integers where `kind`, that of its ids, is "int64".

    Raises InputError for a text that is no integer of 64 bits then.
    """
    if kind != "int64":
        return list(names)
    for name in names:
        if not _INTEGER.fullmatch(name) or not -(2**63) <= int(name) < 2**63:
            raise InputError(f"id {name!r} is no integer of 64 bits, but the ids of the index are integers")
    return [int(name) for name in names]
