"""Rows that go with vectors: handed on in order, or refused with both counts and the first id that differs."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cluscomp.errors import DimensionError, InputError
from cluscomp.inputs.in_step import in_step


def handed_on(blocks, ids, n):
    return list(in_step(blocks, lambda block: block, ids=ids, n=n, what="texts"))


@pytest.mark.parametrize("ids", [["a", "b", "c"], None])
def test_blocks_are_handed_on(ids):
    blocks = [["a"], [], ["b", "c"]]
    assert handed_on(iter(blocks), ids, 3) == blocks
    assert handed_on([[None, None], ["c"]], ids, 3) == [[None, None], ["c"]]


def test_numbers_are_equal_to_their_texts():
    assert handed_on([["7"], [8]], np.array([7, 8]), 2)
    with pytest.raises(InputError, match="id np.int64|id 8"):
        handed_on([["7"], ["08"]], np.array([7, 8]), 2)


@pytest.mark.parametrize(
    ("blocks", "kind", "message"),
    [
        (
            [["a", "x", "c"]],
            InputError,
            "3 vectors and 3 texts, and at row 1 the vector has the id 'b', and the text",
        ),
        ([["a"], ["c", "b"]], InputError, "and at row 1 the vector has the id 'b', and the text the id 'c'"),
        ([["a", "x"], ["c", "d"]], DimensionError, "3 vectors and 4 texts, and at row 1"),
        (
            [["a", "b"]],
            DimensionError,
            "3 vectors and 2 texts, and row 2 has a vector with the id 'c' and no text",
        ),
        (
            [["a", "b", "c", "d"], ["e"]],
            DimensionError,
            "3 vectors and 5 texts, and row 3 has a text with the id 'd'",
        ),
        ([], DimensionError, "3 vectors and 0 texts, and row 0 has a vector"),
    ],
)
def test_what_differs_first(blocks, kind, message):
    with pytest.raises(kind, match=re.escape(message)) as caught:
        handed_on(blocks, ["a", "b", "c"], 3)
    assert type(caught.value) is kind and "in the same order" in str(caught.value)


def test_counts_alone():
    with pytest.raises(DimensionError, match="2 vectors and 3 texts, and row 2 has a text with the id 'c'"):
        handed_on([["a"], ["b", "c"]], None, 2)
    with pytest.raises(DimensionError, match="2 vectors and 1 texts, and row 1 has a vector and no text"):
        handed_on([["a"]], None, 2)
