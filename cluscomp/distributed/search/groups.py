"""The shards of a search as the driver asks them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from cluscomp.distributed.search.reader import ShardReader
from cluscomp.errors import ShardUnavailableError


@dataclass(frozen=True)
class ShardPart:
    """Which part of an index a shard has: segments `first` to `last`, and how many rows."""

    number: int
    first: int
    last: int
    rows: int


Arguments = Sequence[Any] | None


class Group(Protocol):
    """Shards in processes of some kind. is_open: until they are closed."""

    parts: Sequence[ShardPart]
    is_open: bool

    def ask(self, method: str, arguments: Sequence[Arguments]) -> list[Any]:
        """What each shard answers (`ShardReader.answer`) to its own arguments; a `Lost` where it does not,
        and None where it has no arguments, and is not asked.
        """
        ...

    def close(self) -> None:
        """End the processes; may be called twice."""
        ...


@dataclass(frozen=True)
class Lost:
    """A shard that does not answer, and why."""

    reason: str


class LocalGroup:
    """Shards in this process, asked one after the other."""

    def __init__(self, path: str, generation: int | None, parts: Sequence[ShardPart]) -> None:
        self.parts, self.is_open = parts, True
        self._readers = [ShardReader(path, generation, part.first, part.last) for part in parts]

    def ask(self, method: str, arguments: Sequence[Arguments]) -> list[Any]:
        """See Group."""
        answers: list[Any] = []
        for reader, own in zip(self._readers, arguments, strict=True):
            try:
                answers.append(None if own is None else reader.answer(method, *own))
            except OSError as exc:
                answers.append(Lost(str(exc)))
        return answers

    def close(self) -> None:
        """See Group."""
        self.is_open, self._readers = False, []


class Asking:
    """One search of a group. partial: whether shards may be missing. missing: numbers of those that are;
    later answers of theirs do not count, so that all are about the same rows.
    """

    def __init__(self, group: Group, *, partial: bool) -> None:
        self._group, self._partial = group, partial
        self.missing: set[int] = set()

    @property
    def parts(self) -> Sequence[ShardPart]:
        """What the shards have."""
        return self._group.parts

    def each(self, method: str, arguments: Sequence[Arguments]) -> list[Any]:
        """Answers of the shards, each to its own arguments; None where there are none or no answer. Raises
        ShardUnavailableError unless some may be missing.
        """
        answers = self._group.ask(method, arguments)
        for number, (part, answer) in enumerate(zip(self._group.parts, answers, strict=True)):
            if isinstance(answer, Lost):
                if not self._partial:
                    raise ShardUnavailableError(
                        f"shard {part.number} (segments {part.first} to {part.last - 1}, {part.rows} rows) "
                        f"does not answer: {answer.reason}; pass partial='allow' to find what the others have"
                    )
                self.missing.add(part.number)
            if part.number in self.missing:
                answers[number] = None
        return answers


_ASKING: ContextVar[Asking] = ContextVar("asking")


@contextmanager
def asking(group: Group, *, partial: bool) -> Iterator[Asking]:
    """One search: within the block, `ask` asks this group."""
    one = Asking(group, partial=partial)
    token = _ASKING.set(one)
    try:
        yield one
    finally:
        _ASKING.reset(token)


def ask(method: str, *arguments: Any) -> list[Any]:
    """What the shards of the search under way answer, all to the same arguments; see `Asking`."""
    asked = _ASKING.get()
    answers = asked.each(method, [arguments] * len(asked.parts))
    return [answer for answer in answers if answer is not None]


def ask_each(method: str, arguments: Sequence[Arguments]) -> list[Any]:
    """`Asking.each` of the search under way."""
    return _ASKING.get().each(method, arguments)


def asked_parts() -> Sequence[ShardPart]:
    """The shards of the search under way."""
    return _ASKING.get().parts


def lost_shards() -> tuple[int, ...]:
    """Numbers of the shards that have not answered in the search under way."""
    return tuple(sorted(_ASKING.get().missing))


def parts_of(rows: Sequence[int], shards: int) -> list[ShardPart]:
    """Segments of so many rows, cut into at most so many shards of at least one segment and similar size."""
    shards = max(1, min(shards, len(rows)))
    ends = np.cumsum(rows)
    wanted = np.arange(1, shards) * (ends[-1] / shards if len(rows) else 0)
    cuts = [0, *(np.searchsorted(ends, wanted) + 1).tolist(), len(rows)]
    for number in range(1, shards):  # each gets one at least
        cuts[number] = min(max(cuts[number], cuts[number - 1] + 1), len(rows) - shards + number)
    return [
        ShardPart(number, first, last, int(sum(rows[first:last])))
        for number, (first, last) in enumerate(pairwise(cuts))
    ]
