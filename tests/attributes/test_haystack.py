"""The filter tests of Haystack, through an adapter that only the tests know."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.attributes import make_attributes, matching_bits, parse_filter, require_fit
from cluscomp.errors import UsageError

suite = pytest.importorskip("haystack.testing.document_store")
from haystack.errors import FilterError  # noqa: E402

OPERATORS = {"==", "!=", ">", ">=", "<", "<=", "in", "not in"}
KINDS = {"meta.date": "timestamp", "meta.number": "int64"}


def translated(node):
    """A filter of Haystack as ours: its comparisons with None ask for missing values, or find nothing."""
    if not isinstance(node, dict):
        raise FilterError("a filter is a dict")
    if "field" not in node:
        if "operator" not in node or "conditions" not in node:
            raise FilterError("a logical filter has an operator and conditions")
        args = [translated(each) for each in node["conditions"]]
        op = node["operator"].lower()
        return (
            {"op": "not", "args": [{"op": "and", "args": args}]} if op == "not" else {"op": op, "args": args}
        )
    if "operator" not in node or "value" not in node or node["operator"] not in OPERATORS:
        raise FilterError("a comparison has a field, an operator and a value")
    op, field, value = node["operator"], node["field"], node["value"]
    if value is None:
        missing = {"op": "is null", "field": field}
        if op == "==":
            return missing
        return {"op": "not", "args": [missing]} if op == "!=" else {"op": "in", "field": field, "value": []}
    if op in ("in", "not in") and not isinstance(value, list):
        raise FilterError("in needs a list")
    return {"op": op, "field": field, "value": value}


class Store:
    def __init__(self):
        self.documents = []

    def write_documents(self, documents, policy=None):
        self.documents += documents
        return len(documents)

    def count_documents(self):
        return len(self.documents)

    def filter_documents(self, filters=None):
        if not filters:
            return list(self.documents)
        rows = [{"content": d.content, **{f"meta.{k}": v for k, v in d.meta.items()}} for d in self.documents]
        table = make_attributes(rows, len(rows), kinds=KINDS)
        try:
            expression = parse_filter(translated(filters))
            require_fit(expression, table.schema)
        except UsageError as exc:
            raise FilterError(str(exc)) from exc
        found = np.unpackbits(matching_bits(expression, table), count=len(rows), bitorder="little")
        return [self.documents[i] for i in np.flatnonzero(found)]


class TestFilters(suite.FilterDocumentsTest):
    @pytest.fixture
    def document_store(self):
        return Store()
