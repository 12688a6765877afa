"""Arrays on their way between processes as files of a folder that all of them see.

The object store of Ray is kept for small answers; centroids of many lists and their sums are hundreds of MB.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SMALL = 1 << 16
"""Bytes up to which an array is sent as it is."""


class Parcel(NamedTuple):
    """An array that lies in a .npy file."""

    path: str


def packed(values: Sequence[Any], folder: Path) -> tuple[Any, ...]:
    """The values, large arrays among them as parcels."""
    return tuple(_stored(value, folder) if _is_large(value) else value for value in values)


def unpacked(values: Sequence[Any]) -> tuple[Any, ...]:
    """The values that were packed."""
    return tuple(np.load(value.path) if isinstance(value, Parcel) else value for value in values)


def discard(values: Sequence[Any]) -> None:
    """Delete the files of parcels among the values."""
    for value in values:
        if isinstance(value, Parcel):
            os.unlink(value.path)


def _is_large(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.nbytes > SMALL


def _stored(array: np.ndarray, folder: Path) -> Parcel:
    path = folder / f"{secrets.token_hex(8)}.npy"
    np.save(path, array)
    return Parcel(str(path))
