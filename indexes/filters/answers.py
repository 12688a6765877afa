"""Rows that passed the conditions of the last searches, with what was made of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from cluscomp.indexes.filters.allowed import Allowed
from cluscomp.indexes.segments.together import Together

MOST_ANSWERS = 8


class AnswerCache:
    """Answers by condition, of one state of the segments; those of older states go. Copies and pickles are
    empty.

    most: answers that are kept. An answer may hold 256 MB of codes that were put side by side.
    """

    def __init__(self, most: int = MOST_ANSWERS) -> None:
        self._most, self._lock = most, threading.Lock()
        self._together: Together[Any] | None = None
        self._answers: OrderedDict[str, Allowed] = OrderedDict()

    def found(self, together: Together[Any], condition: str, make: Callable[[], Allowed]) -> Allowed:
        """The answer, made where it is not kept. condition: equal texts for equal conditions."""
        with self._lock:
            if self._together is together and condition in self._answers:
                self._answers.move_to_end(condition)
                return self._answers[condition]
        answer = make()
        with self._lock:
            if self._together is not together:
                self._together = together
                self._answers.clear()
            self._answers[condition] = answer
            while len(self._answers) > self._most:
                self._answers.popitem(last=False)
        return answer

    def __len__(self) -> int:
        return len(self._answers)

    def __reduce__(self) -> Any:
        return AnswerCache, (self._most,)
