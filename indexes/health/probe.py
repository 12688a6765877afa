"""How much of what a search of all lists finds the default effort finds, with stored rows as queries."""

from __future__ import annotations

import warnings
from typing import Any, Protocol

import numpy as np

from cluscomp.errors import IncompleteResultsWarning, UsageError
from cluscomp.indexes.health.report import HealthItem, judged, unknown
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.kind import kind_of

PROBED_ROWS, K = 256, 10


class Searched(Protocol):
    """What is read of an index."""

    spec: IndexSpec

    def __len__(self) -> int: ...

    @property
    def ids(self) -> np.ndarray: ...

    def search_defaults(self) -> dict[str, float]: ...

    def vectors(self, ids: Any, *, tenant: Any) -> Any: ...

    def search(self, queries: Any, k: int, **options: Any) -> tuple[np.ndarray, np.ndarray]: ...


def probe_item(index: Searched) -> HealthItem | None:
    """1 - recall@10 of a search by default against one of all lists; None where they are the same."""
    defaults, n = index.search_defaults(), len(index)
    everything = {"nprobe": index.spec.nlist, "candidates": n}
    everything = {name: value for name, value in everything.items() if name in defaults}
    if not any(defaults[name] < value for name, value in everything.items()):
        return None
    ids = index.ids[np.unique(np.linspace(0, n - 1, PROBED_ROWS).astype(np.int64))]
    try:
        found = index.vectors(ids, tenant=None)
    except UsageError as exc:
        return unknown("probe", f"not recorded: {exc}")
    queries, options = (found[0], {"lengths": found[1]}) if kind_of(index.spec).ragged else (found, {})
    options["tenant"] = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IncompleteResultsWarning)
        k = min(K, n)
        by_default = index.search(queries, k, **options)[1]
        by_all = index.search(queries, k, **options, **everything)[1]
    shared = sum(len(set(a) & set(b)) for a, b in zip(by_default.tolist(), by_all.tolist(), strict=True))
    recall = shared / by_all.size
    effort = ", ".join(f"{name} {defaults[name]} of {value}" for name, value in everything.items())
    sentence = f"recall@{k} of {recall:.3f} at the default effort ({effort}), by {len(ids)} stored rows"
    return judged("probe", 1 - recall, sentence, "raise the default, or convert the index into a new one")
