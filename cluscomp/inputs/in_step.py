"""Two inputs that describe the same documents in the same order: read side by side, and compared by id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from cluscomp.errors import DimensionError, InputError
from cluscomp.inputs.sources import Ids

Item = TypeVar("Item")


def in_step(
    items: Iterable[Item],
    names: Callable[[Item], Sequence[Any]],
    *,
    ids: Ids | None,
    n: int,
    what: str,
) -> Iterator[Item]:
    """Hand on items whose rows go with n vectors, comparing the ids on the way.

    names: ids of the rows of an item; None stands for one without. ids: of the vectors; None where these have
    none, so that only the counts are compared. what: of the rows, for messages, such as "texts".
    Raises InputError where an id differs, DimensionError where there are more or fewer rows than vectors;
    both messages have both counts and the first id that differs.
    """
    done = 0
    rest = iter(items)
    for item in rest:
        own = names(item)
        for place, name in enumerate(own[: max(0, n - done)]):
            if ids is not None and name is not None and str(name) != str(ids[done + place]):
                total = done + len(own) + sum(len(names(other)) for other in rest)
                raise _differ(ids[done + place], name, done + place, n, total, what)
        if done + len(own) > n:
            total = done + len(own) + sum(len(names(other)) for other in rest)
            raise _differ(None, own[n - done], n, n, total, what)
        done += len(own)
        yield item
    if done < n:
        raise _differ(None if ids is None else ids[done], None, done, n, done, what)


def _differ(vector: Any, row: Any, place: int, n: int, total: int, what: str) -> InputError:
    """What is wrong at a row, counted from 0: the ids there, None where there is none."""
    one = what.removesuffix("s")
    kind = InputError if n == total else DimensionError
    if place < min(n, total):
        first = f"at row {place} the vector has the id {vector!r}, and the {one} the id {row!r}"
    elif place < n:
        first = f"row {place} has a vector{_named(vector)} and no {one}"
    else:
        first = f"row {place} has a {one}{_named(row)} and no vector"
    return kind(
        f"there are {n} vectors and {total} {what}, and {first}; both must be of the same documents in the "
        "same order, rows counted from 0"
    )


def _named(name: Any) -> str:
    return "" if name is None else f" with the id {str(name)!r}"
