"""Conditions on all rows of a table, block by block, to packed bits.

A comparison is false for a row without a value, "!=" and "not in" are true for it, and "not" turns round:
each condition and its "not" divide the rows among themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cluscomp import bits
from cluscomp.attributes.columns import BLOCK, Column, Lists, Scalars
from cluscomp.attributes.expressions import Comparison, Expression
from cluscomp.attributes.numbers import NOTHING, Interval, Members, stored_range
from cluscomp.attributes.table import Attributes
from cluscomp.attributes.words import Words

Answer = bool | np.ndarray
"""Of the rows of a block: one bool for all, or a mask."""
Test = Callable[[int, int], Answer]
"""Answers for the rows from start to stop, which lie in one block."""


def matching_bits(expression: Expression, table: Attributes) -> np.ndarray:
    """Find the rows for which a condition holds.

    Args:
        expression: a tree that fits the columns (`require_fit`); a column that the table lacks has no values.
        table: the columns.

    Returns:
        Packed bits (ceil(n / 8),) uint8: row i is bit i % 8 of byte i // 8.

    Raises:
        CorruptIndexError: columns that were read from a folder are inconsistent.
    """
    test = _test(expression, table)
    found = np.zeros(bits.bit_bytes(table.n_rows), dtype=np.uint8)
    for start in range(0, table.n_rows, BLOCK):
        stop = min(start + BLOCK, table.n_rows)
        answer = test(start, stop)
        if isinstance(answer, bool):
            answer = np.full(stop - start, answer)
        found[start // 8 : bits.bit_bytes(stop)] = bits.pack_mask(answer)
    return found


def _test(expression: Expression, table: Attributes) -> Test:
    if isinstance(expression, Comparison):
        return _comparison(expression, table.columns.get(expression.field))
    tests = [_test(arg, table) for arg in expression.args]
    if expression.op == "not":
        return _negated(tests[0])
    return _joined(tests, stops_at=expression.op == "or")


def _negated(test: Test) -> Test:
    def turned(start: int, stop: int) -> Answer:
        answer = test(start, stop)
        return not answer if isinstance(answer, bool) else ~answer

    return turned


def _joined(tests: list[Test], *, stops_at: bool) -> Test:
    """All of "and", any of "or": the answer `stops_at` of one test is that of all."""

    def joined(start: int, stop: int) -> Answer:
        found: Answer = not stops_at
        for test in tests:
            answer = test(start, stop)
            if isinstance(answer, bool):
                if answer == stops_at:
                    return stops_at
            elif isinstance(found, bool):
                found = answer
            else:
                found = found | answer if stops_at else found & answer
        return found

    return joined


def _comparison(node: Comparison, column: Column | None) -> Test:
    if node.op == "is null":
        return lambda start, stop: True if column is None else _is_null(column, start, stop)
    if node.op in ("!=", "not in"):
        return _negated(_holds(node, column))
    return _holds(node, column)


def _holds(node: Comparison, column: Column | None) -> Test:
    if column is None:
        return lambda start, stop: False
    if isinstance(column, Lists):
        return _on_lists(node, column)
    found = stored_range(node, column.kind, column.words)
    if isinstance(found, Interval):
        return lambda start, stop: _within(column, found, start, stop)
    return lambda start, stop: _among(column, found, start, stop)


def _is_null(column: Column, start: int, stop: int) -> Answer:
    missing = column.missing(start, stop)
    return False if missing is None else missing


def _within(column: Scalars, wanted: Interval, start: int, stop: int) -> Answer:
    low, high = column.low[start // BLOCK], column.high[start // BLOCK]
    if wanted is NOTHING or low > high or wanted.high < low or high < wanted.low:
        return False
    missing = column.missing(start, stop)
    if wanted.low <= low and high <= wanted.high:
        return True if missing is None else ~missing
    values = column.values[start:stop]
    if wanted.low == wanted.high:
        answer = values == wanted.low
    else:
        answer = (values >= wanted.low) & (values <= wanted.high)
    return _without(answer, missing)


def _among(column: Scalars, wanted: Members, start: int, stop: int) -> Answer:
    low, high = column.low[start // BLOCK], column.high[start // BLOCK]
    inside = wanted.values[(wanted.values >= low) & (wanted.values <= high)]
    if not inside.size:
        return False
    answer = np.isin(column.values[start:stop], inside.astype(column.values.dtype))
    return _without(answer, column.missing(start, stop))


def _without(answer: np.ndarray, missing: np.ndarray | None) -> np.ndarray:
    return np.asarray(answer) if missing is None else answer & ~missing


def _on_lists(node: Comparison, column: Lists) -> Test:
    """contains, any and all of lists of words."""
    wanted = (node.value,) if node.op == "contains" else node.value
    numbers = _numbers_of(wanted, column.words)
    if node.op == "any":
        return lambda start, stop: _has_any(column, numbers[numbers >= 0], start, stop)

    def has_all(start: int, stop: int) -> Answer:
        if (numbers < 0).any():
            return False
        answer = _without(np.ones(stop - start, dtype=bool), column.missing(start, stop))
        for number in numbers.tolist():
            answer = answer & _has_any(column, np.array([number]), start, stop)
        return answer

    return has_all


def _numbers_of(texts: tuple[Any, ...], words: Words) -> np.ndarray:
    return np.array(sorted({words.find(text) for text in texts}), dtype=np.int64)


def _has_any(column: Lists, wanted: np.ndarray, start: int, stop: int) -> Answer:
    if not wanted.size:
        return False
    numbers, rows = column.span(start, stop)
    answer = np.zeros(stop - start, dtype=bool)
    answer[rows[np.isin(numbers, wanted)]] = True
    return answer
