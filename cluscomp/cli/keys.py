"""`cluscomp keys`: how index keys are written, and what one stands for."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cluscomp.cli import common, output
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract
from cluscomp.vocabulary import MetricName


@exits_by_contract
def keys(
    key: Annotated[
        str | None, typer.Argument(metavar="[KEY]", help="A key to explain.", show_default=False)
    ] = None,
    dim: Annotated[
        int | None, flag("--dim", help="Dimension of the vectors, to count bytes for.", env=False, min=1)
    ] = None,
    metric: Annotated[
        MetricName, flag("--metric", help="Similarity to search by; a key may not fit every one.", env=False)
    ] = "ip",
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """List all parts that an index key may have, or explain one key.

    With --dim, the bytes that codes take are counted.

    Examples:
    cluscomp keys

    cluscomp keys OPQ48,IVF1024,PQ48,RFlat --dim 384

    """
    if key is None:
        _show_forms(dim, as_json)
    else:
        _show_key(key, dim, metric, as_json)


def _show_forms(dim: int | None, as_json: bool) -> None:
    from cluscomp.indexes.explain import known_forms
    from cluscomp.indexes.keys.table import ORDER

    forms = known_forms(dim)
    if as_json:
        output.result_json({"order": ORDER, "forms": forms})
        return
    output.result(f"a key reads {ORDER}")
    columns = ["part", "form", "example", "meaning"]
    rows = [[form["stage"], form["form"], form["example"], form["meaning"]] for form in forms]
    if dim is not None:
        columns.append("bytes / vector")
        for row, form in zip(rows, forms, strict=True):
            row.append("" if form["code_bytes"] is None else str(form["code_bytes"]))
    output.result_table(columns, rows)


def _show_key(key: str, dim: int | None, metric: str, as_json: bool) -> None:
    from cluscomp.indexes.explain import explain_key

    facts = explain_key(key, dim, metric)
    if as_json:
        output.result_json(facts)
        return
    output.result(facts["key"])
    columns = ["part", "stage", "meaning"]
    rows = [[part["part"], part["stage"], part["meaning"]] for part in facts["parts"]]
    if dim is not None:
        columns.append("dim behind it")
        for row, part in zip(rows, facts["parts"], strict=True):
            row.append(str(part["dim"]))
    output.result_table(columns, rows)
    if dim is not None:
        _show_bytes(facts)


def _show_bytes(facts: dict[str, Any]) -> None:
    of_vector = facts.get("vectors_per_document", 1) is None
    what = "vector" if of_vector else "document"
    parts = ", ".join(f"{name} {size:g}" for name, size in facts["bytes"].items())
    if "vectors_per_document" in facts and not of_vector:
        output.result(f"vectors / document: at most {facts['vectors_per_document']}")
    more = f" and {facts['not_counted']}" if "not_counted" in facts else ""
    output.result(f"bytes / {what}: {facts['bytes_per_document']:g} ({parts}), without ids{more}")
    output.result(f"trained arrays: {output.size_text(facts['trained_bytes'])}, however many documents")
