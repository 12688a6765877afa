"""Rows that passed the conditions of the last searches, with what was made of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from cluscomp.indexes.filters.allowed import Allowed
from cluscomp.indexes.segments.together import Together

SOME_ANSWERS = 8
"""These are kept however large they are: an answer may hold 256 MB of codes that were put side by side."""
LIMIT_BYTES = 256 << 20


class AnswerCache:
    """Answers by condition, of one state of the segments; those of older states go. Copies and pickles are
    empty. So many small answers are kept, such as the rows of tenants, and few large ones.

    some: answers that are kept in any case. limit: bytes of all, beyond these.
    """

    def __init__(self, some: int = SOME_ANSWERS, limit: int = LIMIT_BYTES) -> None:
        self._some, self._limit, self._bytes, self._lock = some, limit, 0, threading.Lock()
        self._together: Together[Any] | None = None
        self._answers: OrderedDict[str, Allowed] = OrderedDict()

    def found(
        self, together: Together[Any], condition: str, make: Callable[[], Allowed], row_bytes: int
    ) -> Allowed:
        """The answer, made where it is not kept. condition: equal texts for equal conditions. row_bytes: of
        a code.
        """
        with self._lock:
            if self._together is together and condition in self._answers:
                self._answers.move_to_end(condition)
                return self._answers[condition]
        answer = make()
        with self._lock:
            if self._together is not together:
                self._together = together
                self._answers.clear()
                self._bytes = 0
            if condition not in self._answers:
                self._answers[condition] = answer
                self._bytes += answer.most_bytes(row_bytes)
            while len(self._answers) > self._some and self._bytes > self._limit:
                self._bytes -= self._answers.popitem(last=False)[1].most_bytes(row_bytes)
        return answer

    def __len__(self) -> int:
        return len(self._answers)

    def __reduce__(self) -> Any:
        return AnswerCache, (self._some, self._limit)
