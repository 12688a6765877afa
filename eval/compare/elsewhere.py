"""What a key finds whose lists, rotations and codebooks were trained on the documents of another collection.

Codes that were trained on the very rows that they hold keep these better than rows that come later, most of
all in small collections. These columns tell by how much, beside those of the same key trained as usual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluscomp.eval.compare.adapter import Opened
from cluscomp.eval.compare.collection import rows_of
from cluscomp.eval.compare.measure import EXACT_RECALL, Yardstick
from cluscomp.eval.compare.results import Row
from cluscomp.multivector import Ragged

QUALITIES = ("ndcg@10", EXACT_RECALL)
TRAINED_ON = "trained_on"
COLUMNS = {name: f"elsewhere_{name}" for name in QUALITIES}
"""Columns of a row by those that hold the same of a key that was trained as usual."""


def elsewhere_columns(
    trained_on: str | None, opened: Opened | None, exact: Yardstick, parameters: Mapping[str, int]
) -> Row:
    """Columns of a row. opened: the index that was trained on the collection `trained_on`; None where nothing
    is trained elsewhere, or nothing is trained at all.
    """
    values: Mapping[str, float] = {}
    if opened is not None:
        queries = exact.collection.queries
        lengths: dict[str, Any] = {"lengths": queries.lengths} if isinstance(queries, Ragged) else {}
        found = opened.search(rows_of(queries), exact.k, **parameters, **lengths)
        values = exact.measure(*found)
    return {TRAINED_ON: trained_on, **{column: values.get(name) for name, column in COLUMNS.items()}}
