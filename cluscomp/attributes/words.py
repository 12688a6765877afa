"""Sorted dictionaries of different texts: a text column stores numbers of words, so that a range of texts
is a range of numbers.

Texts are ordered by their UTF-8 bytes, which is the order of their code points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cluscomp.errors import CorruptIndexError


@dataclass(frozen=True)
class Words:
    """Different texts, ascending: word i is blob[offsets[i]:offsets[i + 1]]. blob: uint8. offsets: int64."""

    blob: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, texts: Iterable[str]) -> Words:
        """`texts`, which are different and ascending, and have been checked to be Unicode."""
        encoded = [text.encode("utf-8") for text in texts]
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(word) for word in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def raw(self, number: int) -> bytes:
        """UTF-8 bytes of one word. Raises CorruptIndexError."""
        start, stop = int(self.offsets[number]), int(self.offsets[number + 1])
        if not 0 <= start <= stop <= len(self.blob):
            raise CorruptIndexError(
                f"word {number} of an attribute lies at bytes {start} to {stop} of {len(self.blob)}: the "
                "index is damaged; restore a copy or rebuild it"
            )
        return self.blob[start:stop].tobytes()

    def text(self, number: int) -> str:
        """One word. Raises CorruptIndexError where it is not UTF-8."""
        try:
            return self.raw(number).decode("utf-8")
        except UnicodeDecodeError as exc:
            raise CorruptIndexError(
                f"word {number} of an attribute is not UTF-8 ({exc}): the index is damaged; restore a copy "
                "or rebuild it"
            ) from exc

    def texts(self) -> list[str]:
        """All words."""
        return [self.text(number) for number in range(len(self))]

    def find(self, text: str) -> int:
        """Number of a word, -1 where it is none."""
        wanted = text.encode("utf-8")
        number = self.first_from(wanted)
        return number if number < len(self) and self.raw(number) == wanted else -1

    def first_from(self, wanted: bytes) -> int:
        """Number of the first word that is `wanted` or comes behind it."""
        return self._first(lambda word: word >= wanted)

    def first_behind(self, wanted: bytes) -> int:
        """Number of the first word that comes behind `wanted`."""
        return self._first(lambda word: word > wanted)

    def first_behind_prefix(self, prefix: bytes) -> int:
        """Number of the first word that comes behind all words with this prefix."""
        return self._first(lambda word: word[: len(prefix)] > prefix)

    def _first(self, is_there: Callable[[bytes], bool]) -> int:
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if is_there(self.raw(middle)):
                high = middle
            else:
                low = middle + 1
        return low

    def fault(self) -> str | None:
        """What is wrong with the words, or None: offsets, UTF-8, or an order that does not rise."""
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.blob):
            return f"offsets run from {self.offsets[0]} to {self.offsets[-1]}, not from 0 to {len(self.blob)}"
        before = None
        for number in range(len(self)):
            try:
                word = self.text(number).encode("utf-8")
            except CorruptIndexError as exc:
                return str(exc)
            if before is not None and word <= before:
                return f"word {number} does not come behind word {number - 1}"
            before = word
        return None


def sorted_words(texts: Sequence[str]) -> tuple[Words, np.ndarray]:
    """Dictionary of different texts in any order, and its number (len(texts),) int32 of each of them."""
    order = sorted(range(len(texts)), key=texts.__getitem__)
    numbers = np.empty(len(texts), dtype=np.int32)
    numbers[order] = np.arange(len(texts), dtype=np.int32)
    return Words.of(texts[i] for i in order), numbers


def used_words(words: Words, numbers: np.ndarray) -> tuple[Words, np.ndarray]:
    """The words that occur among `numbers`, and the numbers in that smaller dictionary."""
    used, inverse = np.unique(numbers, return_inverse=True)
    if used.size and not 0 <= used[0] <= used[-1] < len(words):
        raise CorruptIndexError(
            f"an attribute names word {int(used[-1])} of {len(words)}: the index is damaged; restore a copy "
            "or rebuild it"
        )
    if len(used) == len(words):
        return words, numbers
    smaller = Words.of(words.text(int(number)) for number in used)
    return smaller, inverse.reshape(numbers.shape).astype(np.int32)


def joined_words(dictionaries: Sequence[Words]) -> tuple[Words, list[np.ndarray]]:
    """One dictionary of the words of several, and for each the new numbers of its words."""
    texts = [words.texts() for words in dictionaries]
    joined = sorted(set().union(*texts))
    number_of = {text: number for number, text in enumerate(joined)}
    return Words.of(joined), [np.array([number_of[t] for t in part], dtype=np.int32) for part in texts]
