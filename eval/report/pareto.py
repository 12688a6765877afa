"""The points that no other point beats."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(points: Sequence[tuple[float, ...]], larger_is_better: Sequence[bool]) -> list[int]:
    """Numbers of the points to which no other is at least as good in all values and better in one.

    points: values by dimension. larger_is_better: for each dimension. Of equal points the first stays. Sorted
    by the first value.
    """
    signed = [
        tuple(value if larger else -value for value, larger in zip(point, larger_is_better, strict=True))
        for point in points
    ]
    front = [
        i
        for i, mine in enumerate(signed)
        if not any(_beats(other, mine, j < i) for j, other in enumerate(signed) if j != i)
    ]
    return sorted(front, key=lambda i: points[i])


def _beats(other: tuple[float, ...], mine: tuple[float, ...], earlier: bool) -> bool:
    at_least = all(a >= b for a, b in zip(other, mine, strict=True))
    return at_least and (other != mine or earlier)
