"""Memory maps: how they are going to be read. Arrays that are not mapped are left alone."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def read_at_random(array: np.ndarray) -> None:
    """Tell the system not to read ahead in the file that an array is mapped from: single rows are wanted."""
    _advise(array, "MADV_RANDOM")


@contextmanager
def read_in_order(*arrays: np.ndarray) -> Iterator[None]:
    """Let the system read ahead in maps of which single rows are wanted otherwise."""
    for array in arrays:
        _advise(array, "MADV_SEQUENTIAL")
    try:
        yield
    finally:
        for array in arrays:
            _advise(array, "MADV_RANDOM")


def _advise(array: np.ndarray, advice: str) -> None:
    memory_map = getattr(array.base, "_mmap", None)
    if memory_map is not None and hasattr(mmap, advice):
        memory_map.madvise(getattr(mmap, advice))
