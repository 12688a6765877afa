"""Which arrays of attributes a segment may have in a folder, and the table that they make."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cluscomp.attributes import Attributes, Field
from cluscomp.attributes.columns import part_shapes
from cluscomp.attributes.runs import ROWS, STARTS
from cluscomp.attributes.table import array_name
from cluscomp.indexes.stages.parameters import ArraySpec

NULLS, RUNS = "nulls", (ROWS, STARTS)


def attribute_specs(
    schema: Mapping[str, Field], n_rows: int, listed: Mapping[str, tuple[int, ...]]
) -> dict[str, ArraySpec]:
    """Dtype and shape of the arrays of the columns that a segment of n_rows rows has: one that lacks a column
    lists none of its arrays, a column without missing values lists no nulls, and one whose rows are not kept
    by text lists no runs.

    listed: shape of each array of the segment, for lengths that only the manifest knows.
    """
    found: dict[str, ArraySpec] = {}
    for name, field in schema.items():
        shapes = {array_name(name, part): spec for part, spec in part_shapes(field.kind, n_rows).items()}
        if not any(array in listed for array in shapes):
            continue
        lacks = set() if array_name(name, NULLS) in listed else {array_name(name, NULLS)}
        if not any(array_name(name, part) in listed for part in RUNS):
            lacks |= {array_name(name, part) for part in RUNS}
        for array, (dtype, shape) in shapes.items():
            if array not in lacks:
                known = listed.get(array, ())
                wanted = known[:1] if shape == (None,) and len(known) == 1 else (shape[0] or 0,)
                found[array] = ArraySpec(dtype.str, wanted)
    return found


def stored_table(
    schema: Mapping[str, Field], n_rows: int, arrays: Mapping[str, np.ndarray]
) -> Attributes | None:
    """The attributes of a segment, None where it has none. arrays: those that it has, by name."""
    table = Attributes.of_arrays(schema, arrays, n_rows)
    return table if len(table) else None
