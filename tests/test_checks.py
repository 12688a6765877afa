"""Checks of single arguments: what they take, and what their errors say."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from cluscomp import checks, vocabulary
from cluscomp.errors import UnknownKeyError, UsageError


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.int64(3)])
def test_integers_of_all_kinds_become_int(value):
    number = checks.integer("k", value, 1)
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize("value", [True, np.True_, 3.0, np.float32(3), "3", None, [3], np.array([3]), 1j])
def test_what_is_no_integer_is_refused(value):
    with pytest.raises(UsageError, match="k must be an integer of at least 1, but is"):
        checks.integer("k", value, 1)


@pytest.mark.parametrize("value", [0, 11, -(2**70), 2**70])
def test_integers_beyond_the_range_are_refused(value):
    with pytest.raises(UsageError, match=f"k must be an integer from 1 to 10, but is {value}"):
        checks.integer("k", value, 1, 10)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float64(0.5), np.float16(0.5), np.array(0.5)])
def test_numbers_of_all_kinds_become_float(value):
    number = checks.number("share", value, above=0, high=1)
    assert number == 0.5
    assert type(number) is float


def test_integers_are_numbers():
    assert checks.number("scale", np.int64(2)) == 2.0
    assert checks.number("scale", 2) == 2.0


@pytest.mark.parametrize(
    "value", [True, np.True_, "0.5", b"1", None, float("nan"), float("inf"), 10**400, [1.0], np.ones(1), 1j]
)
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(UsageError, match="x must be a finite number, but is"):
        checks.number("x", value)


@pytest.mark.parametrize(
    ("limits", "value", "wanted"),
    [
        ({"above": 0}, 0, "above 0"),
        ({"low": 0}, -1e-9, "at least 0"),
        ({"above": 0, "high": 1}, 1.5, "above 0 and at most 1"),
        ({"low": 0, "below": 1}, 1.0, "at least 0 and below 1"),
    ],
)
def test_limits_of_numbers(limits, value, wanted):
    with pytest.raises(UsageError, match=f"x must be a finite number {wanted}, but is {value}"):
        checks.number("x", value, **limits)


def test_limits_that_are_part_of_the_range():
    assert checks.number("x", 0, low=0) == 0
    assert checks.number("x", 1, above=0, high=1) == 1


def test_known_names_pass():
    assert checks.one_of("metric", "l2", ("ip", "l2")) == "l2"


def test_an_unknown_name_gives_the_nearest_and_all():
    with pytest.raises(UnknownKeyError) as caught:
        checks.one_of("if_exists", "reusme", vocabulary.IF_EXISTS)
    assert str(caught.value) == (
        "if_exists 'reusme' is unknown; known are: fail, replace, resume; did you mean 'resume'?"
    )


@pytest.mark.parametrize("value", [None, 3, ["l2"], np.array(["l2"]), b"l2"])
def test_what_is_no_name_is_unknown(value):
    with pytest.raises(UnknownKeyError, match="is unknown; known are: ip, l2, cosine$"):
        checks.metric(value)


@pytest.mark.parametrize(
    ("given", "meant"), [("L2", "l2"), ("dot", "ip"), ("Euclidean", "l2"), ("cos", "cosine"), ("l3", "l2")]
)
def test_metrics_by_the_names_of_others(given, meant):
    with pytest.raises(UnknownKeyError, match=f"did you mean '{meant}'"):
        checks.metric(given)


def test_far_names_get_no_suggestion():
    assert checks.did_you_mean("xyzzy", ("ip", "l2", "cosine")) == ""


def test_synonyms_suggest_only_what_is_valid():
    assert checks.did_you_mean("dot", ("euclidean", "l2"), vocabulary.METRIC_SYNONYMS) == ""


@pytest.mark.parametrize("value", ["a/b", Path("a/b")])
def test_paths(value):
    assert checks.path("output", value) == Path("a/b")


@pytest.mark.parametrize("value", [None, 3, "", "a\0b", b"a"])
def test_what_is_no_path_is_refused(value):
    with pytest.raises(UsageError, match="output must be a path, but is"):
        checks.path("output", value)


def test_each_tuple_has_the_values_of_its_literal():
    """Names in capitals are tuples, each made from one Literal; one of a single name needs none."""
    literals = {get_args(value) for value in vars(vocabulary).values() if len(get_args(value)) > 1}
    tuples = {
        value for name, value in vars(vocabulary).items() if name.isupper() and isinstance(value, tuple)
    }
    assert tuples
    assert tuples == literals


def test_synonyms_are_no_metrics_themselves():
    assert not set(vocabulary.METRIC_SYNONYMS) & set(vocabulary.METRICS)
    assert set(vocabulary.METRIC_SYNONYMS.values()) <= set(vocabulary.METRICS)


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (7, 7),
        (np.int64(8), 8),
        ("800M", 800_000_000),
        ("8G", 8 * 10**9),
        ("1.5GB", 1_500_000_000),
        (" 8 GiB ", 8 << 30),
        ("12", 12),
    ],
)
def test_sizes_are_numbers_or_texts(value, size):
    found = checks.byte_size("max_memory", value)
    assert found == size and type(found) is int


@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "lots", "0", "0.1", "8X", "-8G", ""])
def test_other_sizes_are_refused(value):
    with pytest.raises(UsageError, match="max_memory"):
        checks.byte_size("max_memory", value)


def test_euclidean_is_l2():
    assert checks.metric("euclidean") == checks.metric("l2") == "l2"
