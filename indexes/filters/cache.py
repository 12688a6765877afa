"""Bits of conditions that were asked before."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from cluscomp.attributes import Attributes, Expression, matching_bits
from cluscomp.attributes.expressions import canonical

LIMIT_BYTES = 256 << 20


class BitsCache:
    """Packed bits by table and condition; the longest unused ones go first. Copies and pickles are empty.

    limit: bytes of all bits together.
    """

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self._limit, self._bytes, self._lock = limit, 0, threading.Lock()
        self._bits: OrderedDict[tuple[int, str], np.ndarray] = OrderedDict()

    def matching(self, expression: Expression, table: Attributes, text: str | None = None) -> np.ndarray:
        """`matching_bits`, which nobody may change. text: `canonical(expression)`, if known."""
        key = table.token, canonical(expression) if text is None else text
        with self._lock:
            known = self._bits.get(key)
            if known is not None:
                self._bits.move_to_end(key)
                return known
        found = matching_bits(expression, table)
        found.flags.writeable = False
        self._keep(key, found)
        return found

    def __len__(self) -> int:
        return len(self._bits)

    def __reduce__(self) -> Any:
        return BitsCache, (self._limit,)

    def _keep(self, key: tuple[int, str], found: np.ndarray) -> None:
        with self._lock:
            if key not in self._bits and found.nbytes <= self._limit:
                self._bits[key] = found
                self._bytes += found.nbytes
            while self._bytes > self._limit:
                self._bytes -= self._bits.popitem(last=False)[1].nbytes
