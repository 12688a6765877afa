"""Which of many texts say something of their own: near copies are found by MinHash and compared exactly.

Source: Broder, "On the resemblance and containment of documents", 1997; bands as in Leskovec, Rajaraman and
Ullman, "Mining of massive datasets", chapter 3.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

N_BANDS, ROWS_PER_BAND = 16, 4
"""Texts of the resemblance .7 share a band with a probability of .99, of .5 with .64, of .3 with .12."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def first_of_each(texts: Iterable[str], *, resemblance: float) -> list[int]:
    """Positions of the texts that resemble no earlier one that was kept, in their order.

    resemblance: in (0, 1], shared pairs of successive words over all pairs of the two texts (Jaccard). Words
    are the parts of identifiers, without case. Texts without words are kept once.
    """
    kept: list[int] = []
    pairs: dict[int, np.ndarray] = {}
    buckets: dict[bytes, list[int]] = defaultdict(list)
    for position, text in enumerate(texts):
        mine = _pairs(text)
        keys = _bands(mine)
        rivals = dict.fromkeys(other for key in keys for other in buckets.get(key, ()))
        if any(_resemblance(mine, pairs[other]) >= resemblance for other in rivals):
            continue
        kept.append(position)
        pairs[position] = mine
        for key in keys:
            buckets[key].append(position)
    return kept


def words(text: str) -> list[str]:
    """Parts of identifiers and words, in small letters."""
    return [word.lower() for word in _WORD.findall(text)]


def _pairs(text: str) -> np.ndarray:
    """Numbers of the different pairs of successive words: sorted uint32."""
    found = words(text)
    numbers = [zlib.crc32(f"{a} {b}".encode()) for a, b in zip(["", *found], found, strict=False)]
    return np.unique(np.array(numbers, np.uint32))


def _resemblance(a: np.ndarray, b: np.ndarray) -> float:
    shared = np.intersect1d(a, b, assume_unique=True).size
    return float(shared / max(1, a.size + b.size - shared)) if a.size + b.size else 1.0


_RNG = np.random.default_rng(0)
_FACTORS = _RNG.integers(1 << 63, size=N_BANDS * ROWS_PER_BAND, dtype=np.uint64) | np.uint64(1)
_OFFSETS = _RNG.integers(1 << 63, size=N_BANDS * ROWS_PER_BAND, dtype=np.uint64)


def _bands(pairs: np.ndarray) -> list[bytes]:
    """Keys of the bands: the number of each and its least hashes."""
    if not pairs.size:
        return [b"no words"]
    hashes = (pairs.astype(np.uint64)[:, None] * _FACTORS + _OFFSETS) >> np.uint64(32)
    least = hashes.min(axis=0).astype(np.uint32).reshape(N_BANDS, ROWS_PER_BAND)
    return [bytes([band]) + least[band].tobytes() for band in range(N_BANDS)]
