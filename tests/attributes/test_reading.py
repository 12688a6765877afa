"""The two spellings of a condition: one tree, faults with their places, and no input that breaks them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cluscomp.attributes import parse_filter
from cluscomp.attributes.expressions import COMPARISONS, LISTED, canonical, fields
from cluscomp.attributes.spelling import spelled
from cluscomp.attributes.text_form import WORDS
from cluscomp.errors import CluscompError, UsageError


def test_the_example_of_both_spellings():
    text = "year >= 2020 and lang in ('en','de') and not tags contains 'draft' and author is null"
    tree = parse_filter(text)
    assert tree.to_json() == {
        "op": "and",
        "args": [
            {"op": ">=", "field": "year", "value": 2020},
            {"op": "in", "field": "lang", "value": ["en", "de"]},
            {"op": "not", "args": [{"op": "contains", "field": "tags", "value": "draft"}]},
            {"op": "is null", "field": "author"},
        ],
    }
    assert parse_filter(tree.to_json()) == parse_filter(json.dumps(tree.to_json())) == tree
    assert list(fields(tree)) == ["year", "lang", "tags", "author"]


def test_and_binds_before_or_and_not_before_both():
    tree = parse_filter("not a == 1 and b == 2 or c == 3").to_json()
    assert tree["op"] == "or"
    assert tree["args"][0]["args"][0]["op"] == "not"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x = -1.5e3", -1500.0), ("x == +7", 7), ("x == .5", 0.5), ("x == 'it''s'", "it's"), ('x == "a""b"', 'a"b'),
        ("x == TRUE", True), ("x BETWEEN 1 AND 2", (1, 2)), ("`a``b c` == 1", 1), ("x == 12345678901234567890123", 12345678901234567890123),
        ("x not in ()", ()), ("meta.x-1 == 3", 3), ("x==-1", -1),
    ],
)  # fmt: skip
def test_values_of_the_text(text, value):
    assert parse_filter(text).value == value
    assert type(parse_filter(text).value) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x", "comparison of 'x'"), ("x ==", "a value"), ("x == y", "texts need quotes"), ("x == null", "is null"),
        ("x in 1", "list in brackets"), ("x in (1 2)", "comma"), ("(x == 1", "closing bracket"), ("x == 'a", "not closed"),
        ("x == 1 y", "and, or"), ("x <> 1", "a value"), ("", "empty"), ("x == 1 or", "name of an attribute"),
        ("x == 1e999", "finite"), ("x == " + "9" * 500, "signs"), ("x == 3abc", "stands"), ("(" * 40 + "x == 1" + ")" * 40, "deeper than 32"),
        ("not " * 40 + "x == 1", "deeper than 32"), (" or ".join(["x == 1"] * 5000), "more than 4096"), ("x == '" + "y" * 70_000 + "'", "bytes"),
        ('{"op": "=="}', "needs 'field'"), ('{"op": "eq", "field": "x", "value": 1}', "did you mean '=='"), ('{"op": "==", "field": "x"}', "needs 'value'"),
        ('{"op": "==", "field": "x", "value": NaN}', "finite"), ('{"op": "and", "args": []}', "at least one"), ('{"op": "and"}', "needs 'args'"),
        ('{"op": "==", "op": "==", "field": "x", "value": 1}', "twice"), ('{"op": "==", "field": "x", "value": 1, "z": 2}', "known are"),
        ("{", "not JSON"), ('{"op": "in", "field": "x", "value": 3}', "list of values"), ('{"op": "==", "field": "x", "value": null}', "is null"),
        ('{"op": "==", "field": "x", "value": "\\ud800"}', "Unicode"), ('{"op": "between", "field": "x", "value": [1]}', "two values"),
        ('{"op": "not", "args": [{"op": "is null", "field": "x"}, 3]}', "no condition"),
    ],
)  # fmt: skip
def test_faults_say_what_is_wrong(text, words):
    with pytest.raises(UsageError, match=words):
        parse_filter(text)


def test_values_of_python():
    when = datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert parse_filter({"op": "==", "field": "x", "value": when}).value == "2024-05-01T10:00:00"
    assert parse_filter({"op": "==", "field": "x", "value": np.int64(3)}).value == 3
    for wrong in (3, None, [], object()):
        with pytest.raises(UsageError):
            parse_filter(wrong)


NAMES = st.sampled_from(["x", "year", "a b", "not", "Ünï", "`", "meta.n", "and", "9x"])
SCALARS = st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=6
)  # fmt: skip


@st.composite
def comparisons(draw):
    op = draw(st.sampled_from(COMPARISONS))
    size = {"min_size": 2, "max_size": 2} if op == "between" else {"max_size": 3}
    value = st.lists(SCALARS, **size) if op in (*LISTED, "between") else SCALARS
    return {"op": op, "field": draw(NAMES), **({} if op == "is null" else {"value": draw(value)})}


def joined(inner):
    several = st.fixed_dictionaries(
        {"op": st.sampled_from(["and", "or"]), "args": st.lists(inner, min_size=2, max_size=3)}
    )
    return several | st.fixed_dictionaries(
        {"op": st.just("not"), "args": st.lists(inner, min_size=1, max_size=1)}
    )


@settings(max_examples=300, deadline=None)
@given(tree=st.recursive(comparisons(), joined, max_leaves=10))
def test_what_is_spelled_reads_the_same(tree):
    expression = parse_filter(tree)
    assert parse_filter(spelled(expression)) == expression
    assert parse_filter(json.dumps(expression.to_json())) == expression
    assert canonical(parse_filter(json.loads(canonical(expression)))) == canonical(expression)


PIECES = st.sampled_from(
    [
        *sorted(WORDS),
        "x",
        "(",
        ")",
        ",",
        "==",
        "'",
        "`",
        '"',
        "1",
        "-",
        ".",
        "1e9",
        "\0",
        "é",
        "{",
        "]",
        "\ud800",
        " ",
    ]
)


@settings(max_examples=500, deadline=None)
@given(
    text=st.lists(PIECES, max_size=25).map(" ".join) | st.lists(PIECES, max_size=25).map("".join) | st.text()
)
@example("{" * 60_000)
@example('{"a":' * 10_000)
@example("[" * 60_000)
@example('{"op":"not","args":[' * 3_000)
@example('{"op":"==","field":"x","value":' + "9" * 60_000 + "}")
@example("'" * 60_000)
@example("not " * 16_000)
@example("x in (" + "1," * 30_000)
def test_no_text_breaks_the_readers(text):
    try:
        parse_filter(text)
    except CluscompError as exc:
        assert isinstance(exc, UsageError)
        assert len(str(exc)) < 1000


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([*COMPARISONS, "and", "or", "not"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["op", "args", "field", "value"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=500, deadline=None)
@given(value=st.dictionaries(st.sampled_from(["op", "args", "field", "value"]), JSON, max_size=4))
def test_no_json_breaks_the_reader(value):
    try:
        parse_filter(value)
    except CluscompError as exc:
        assert isinstance(exc, UsageError)
