"""Answers on random columns with missing values: a plain loop, and DuckDB."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import filter_reference as reference
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluscomp.attributes import (
    columns,
    evaluating,
    make_attributes,
    matching_bits,
    parse_filter,
    require_fit,
)
from cluscomp.attributes.fitting import OPERATORS
from cluscomp.attributes.schema import Schema
from cluscomp.attributes.table import Attributes, joined_tables
from cluscomp.errors import UnknownKeyError, UsageError

KINDS = {
    "flag": "bool", "year": "int64", "price": "float64", "seen": "timestamp", "lang": "text", "tags": "texts",
}  # fmt: skip
DAYS = [datetime(2020, 1, 1, tzinfo=timezone.utc) + timedelta(days=d, microseconds=d % 3) for d in range(6)]
TEXTS = ["", "a", "ab", "abc", "b", "é", "日本", "\U0001f600", "z'q"]
NUMBERS = [-3, 0, 1, 2, 5, 2**53 + 1, -(2**63), 2**63 - 1]
FLOATS = [-1.5, -0.0, 0.0, 0.1, 2.0, 1e300, float("inf"), float("-inf"), 5e-324]
VALUES = {
    "bool": st.booleans(),
    "int64": st.sampled_from(NUMBERS),
    "float64": st.sampled_from(FLOATS),
    "timestamp": st.sampled_from(DAYS),
    "text": st.sampled_from(TEXTS),
    "texts": st.lists(st.sampled_from(TEXTS), max_size=3),
}
WANTED = {
    "bool": st.booleans(),
    "int64": st.sampled_from([*NUMBERS, 10**30, -(10**30), 1.5, 2.0, float(2**53), 1e300]),
    "float64": st.sampled_from([*FLOATS[:6], 2, 10**400, -(10**400), 2**53 + 1]),
    "timestamp": st.sampled_from([day.replace(tzinfo=None).isoformat() for day in DAYS]),
    "text": st.sampled_from([*TEXTS, "aa", "\x7f", "\U0010ffff"]),
    "texts": st.sampled_from([*TEXTS, "none"]),
}


@st.composite
def leaves(draw, wanted=WANTED):
    name = draw(st.sampled_from(list(KINDS)))
    op = draw(st.sampled_from(OPERATORS[KINDS[name]]))
    value = wanted[KINDS[name]]
    if op == "is null":
        return {"op": op, "field": name}
    if op in ("in", "not in", "any", "all"):
        value = st.lists(value, max_size=4)
    elif op == "between":
        value = st.lists(value, min_size=2, max_size=2)
    return {"op": op, "field": name, "value": draw(value)}


def trees(wanted=WANTED):
    def joined(inner):
        several = st.fixed_dictionaries(
            {"op": st.sampled_from(["and", "or"]), "args": st.lists(inner, min_size=1, max_size=3)}
        )
        return several | st.fixed_dictionaries(
            {"op": st.just("not"), "args": st.lists(inner, min_size=1, max_size=1)}
        )

    return st.recursive(leaves(wanted), joined, max_leaves=8)


def records(values=VALUES):
    return st.lists(
        st.fixed_dictionaries({name: st.none() | values[kind] for name, kind in KINDS.items()}), max_size=40
    )


def answered(tree, rows, table):
    expression = parse_filter(tree)
    require_fit(expression, {name: table.schema.get(name) or _schema()[name] for name in KINDS})
    return (
        np.unpackbits(matching_bits(expression, table), count=len(rows), bitorder="little")
        .astype(bool)
        .tolist()
    )


def rows_of(bits, n):
    return np.flatnonzero(np.unpackbits(bits, count=n, bitorder="little")).tolist()


def _schema():
    return make_attributes({name: [] for name in KINDS}, kinds=KINDS).schema


@settings(max_examples=200, deadline=None)
@given(rows=records(), tree=trees())
def test_answers_are_those_of_a_plain_loop(rows, tree):
    with pytest.MonkeyPatch.context() as patch:
        for module in (columns, evaluating):
            patch.setattr(module, "BLOCK", 8)  # several blocks, some of which are skipped
        table = make_attributes(rows, len(rows), kinds=KINDS)
        assert answered(tree, rows, table) == [reference.holds(tree, row) for row in rows]


@settings(max_examples=60, deadline=None)
@given(rows=records(), tree=trees())
def test_a_condition_and_its_not_divide_the_rows(rows, tree):
    table = make_attributes(rows, len(rows), kinds=KINDS)
    turned = answered({"op": "not", "args": [tree]}, rows, table)
    assert answered(tree, rows, table) == [not each for each in turned]


PLAIN = {
    **WANTED, "int64": st.sampled_from([-3, 0, 1, 1.5, 2, 2.0]), "float64": st.sampled_from([-1.5, 0.0, 0.1, 2, 2.0, 1e300]),
}  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(rows=records(), tree=trees(PLAIN))
def test_answers_are_those_of_duckdb(rows, tree):
    duckdb = pytest.importorskip("duckdb")
    arrow = pytest.importorskip("pyarrow")
    table = make_attributes(rows, len(rows), kinds=KINDS)
    types = [
        arrow.bool_(),
        arrow.int64(),
        arrow.float64(),
        arrow.timestamp("us"),
        arrow.string(),
        arrow.list_(arrow.string()),
    ]
    given_rows = arrow.table(
        {name: arrow.array([row[name] for row in rows], type=t) for name, t in zip(KINDS, types, strict=True)}
    )
    given_rows = given_rows.append_column("row", arrow.array(range(len(rows)), type=arrow.int64()))
    with duckdb.connect() as connection:
        connection.register("rows", given_rows)
        found = connection.execute(
            f'select "row" from rows where {reference.sql(tree, KINDS)} order by "row"'
        ).fetchall()
    assert np.flatnonzero(answered(tree, rows, table)).tolist() == [row for (row,) in found]


@settings(max_examples=60, deadline=None)
@given(rows=records(), tree=trees(), data=st.data())
def test_rows_that_are_taken_keep_their_answers(rows, tree, data):
    table = make_attributes(rows, len(rows), kinds=KINDS)
    chosen = data.draw(st.lists(st.integers(-1, len(rows) - 1), max_size=20)) if rows else []
    taken = [rows[i] if i >= 0 else dict.fromkeys(KINDS) for i in chosen]
    moved = table.take(np.array(chosen, dtype=np.int64))
    assert answered(tree, taken, moved) == [reference.holds(tree, row) for row in taken]
    if not taken:
        return
    again = make_attributes(taken, len(taken), kinds=KINDS)
    assert {name: a.tobytes() for name, a in moved.arrays().items()} == {
        name: a.tobytes() for name, a in again.arrays().items()
    }


@settings(max_examples=40, deadline=None)
@given(first=records(), second=records(), tree=trees())
def test_joined_tables_answer_as_one(first, second, tree):
    one = make_attributes(first, len(first), kinds=KINDS)
    two = make_attributes(second, len(second), kinds=KINDS)
    two.columns.pop("tags", None)
    rows = [*first, *({**row, "tags": None} for row in second)]
    joined = joined_tables([one, two], Schema.of(KINDS))
    assert answered(tree, rows, joined) == [reference.holds(tree, row) for row in rows]
    stored = Attributes.of_arrays(joined.schema, joined.arrays(), joined.n_rows)
    assert answered(tree, rows, stored) == answered(tree, rows, joined)
    assert not list(stored.faults())


def test_rules_for_missing_values_by_hand():
    table = make_attributes({"year": [2019, None, 2021], "tags": [["x"], [], None]})
    for text, wanted in (
        ("year > 2020", [2]), ("not year > 2020", [0, 1]), ("year <= 2020", [0]), ("year != 2019", [1, 2]),
        ("year not in (2019)", [1, 2]), ("year is null", [1]), ("year is not null", [0, 2]),
        ("tags contains 'x'", [0]), ("tags any ()", []), ("tags all ()", [0, 1]), ("year in ()", []),
        ("not tags contains 'x'", [1, 2]),
    ):  # fmt: skip
        assert rows_of(matching_bits(parse_filter(text), table), 3) == wanted, text


def test_a_column_that_a_table_lacks_has_no_values():
    table = make_attributes({"year": [1, 2]})
    assert rows_of(matching_bits(parse_filter("lang == 'en'"), table), 2) == []
    assert rows_of(matching_bits(parse_filter("lang != 'en' and lang is null"), table), 2) == [0, 1]


def test_blocks_outside_of_the_bounds_are_not_read():
    values = np.arange(3 * columns.BLOCK)
    table = make_attributes({"n": values})
    read = []

    class Watched(np.ndarray):
        def __getitem__(self, key):
            read.append(key)
            return np.asarray(self)[key]

    object.__setattr__(table["n"], "values", np.asarray(table["n"].values).view(Watched))
    found = matching_bits(parse_filter(f"n == {columns.BLOCK + 5} or n > 1e9 or n < -3"), table)
    assert rows_of(found, len(values)) == [columns.BLOCK + 5]
    assert read == [slice(columns.BLOCK, 2 * columns.BLOCK)]


def test_faults_of_a_condition_name_what_there_is():
    schema = _schema()
    for text, error, words in (
        ("yaer > 3", UnknownKeyError, "did you mean 'year'"),
        ("year prefix 'a'", UsageError, "does not go with 'year'"),
        ("year > '2020'", UsageError, "needs a number"),
        ("lang > 3", UsageError, "needs a text"),
        ("flag > true", UsageError, "its operators are"),
        ("flag == 1", UsageError, "needs a bool"),
        ("year == true", UsageError, "needs a number"),
        ("tags == 'x'", UsageError, "contains"),
        ("seen > '2020-13-01'", UsageError, "month"),
        ("seen > 'soon'", UsageError, "ISO 8601"),
    ):
        with pytest.raises(error, match=words):
            require_fit(parse_filter(text), schema)
    with pytest.raises(UsageError, match="no attributes"):
        require_fit(parse_filter("year > 3"), {})
