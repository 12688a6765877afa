"""Ids of rows to score, of all queries or of each, as positions."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from cluscomp.array_forms import as_numpy, id_values
from cluscomp.errors import DimensionError, DTypeError, DuplicateIdError
from cluscomp.indexes.segments.id_lookup import positions_of, require_found, require_kind
from cluscomp.indexes.segments.ids import make_ids
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.vocabulary import Missing


def asked_positions(
    segments: Sequence[StoredSegment], kind: str | None, ids: Any, n_queries: int, missing: Missing
) -> np.ndarray:
    """Positions (1, m) of ids (m,) of all queries, or (nq, m) of ids of each; -1 where no live row has it.

    kind: of the ids in the index. missing: "fail" with InputError, or "ignore".
    Raises DimensionError (sets of unequal length, or not one a query), DuplicateIdError (twice in a set),
    DTypeError.
    """
    sets = _sets(ids, n_queries)
    known = list(dict.fromkeys(value for values in sets for value in values))
    if not known:
        return np.empty((len(sets), 0), dtype=np.int64)
    wanted = make_ids(known, len(known))
    require_kind(kind, wanted)
    found = positions_of(segments, wanted)
    if missing == "fail":
        require_found(
            wanted, found < 0, "take ids of `index.ids`, or pass missing='ignore' for scores of -inf"
        )
    place = dict(zip(known, found.tolist(), strict=True))
    return np.array([[place[value] for value in values] for values in sets], dtype=np.int64)


def _sets(ids: Any, n_queries: int) -> list[list[Any]]:
    """The ids of each query, or those of all in one list."""
    if not _is_nested(ids):
        return [_different(id_values(ids))]
    rows = as_numpy(ids, "ids") if hasattr(ids, "ndim") else ids
    sets = [_different(id_values(values)) for values in rows]
    if len(sets) != n_queries:
        raise DimensionError(
            f"there are {n_queries} queries, but ids of {len(sets)}; pass one row of ids a query"
        )
    lengths = {len(values) for values in sets}
    if len(lengths) > 1:
        raise DimensionError(
            f"queries have {min(lengths)} to {max(lengths)} ids; pass as many of each, the shorter ones "
            "filled up by ids that are not in the index, and missing='ignore'"
        )
    return sets


def _is_nested(ids: Any) -> bool:
    if hasattr(ids, "ndim"):
        return bool(ids.ndim == 2)
    first = ids[0] if isinstance(ids, (list, tuple)) and ids else None
    return isinstance(first, (list, tuple)) or getattr(first, "ndim", 0) == 1


def _different(values: np.ndarray | list[Any]) -> list[Any]:
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    seen = set()
    for value in listed:
        if not isinstance(value, Hashable):
            raise DTypeError(f"ids must be integers or texts, but one is {value!r}")
        if value in seen:
            raise DuplicateIdError(
                f"id {value!r} occurs twice among the ids of a query; ids must be different"
            )
        seen.add(value)
    return listed
