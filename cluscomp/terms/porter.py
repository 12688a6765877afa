"""Porter's stemmer: English words without the endings that inflection and derivation give them.

Source: Porter, "An algorithm for suffix stripping", Program 14(3), 1980. A word is [C](VC)^m[V] in runs of
consonants C and vowels V; most rules ask how large the measure m of what is left is.
"""

from __future__ import annotations

import re
from functools import lru_cache

_CACHED = 1 << 17
_VOWELS = "aeiou"
_ASCII = re.compile(r"[a-z]+")
_STEP2 = (
    ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"),
    ("abli", "able"), ("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous"),
    ("ization", "ize"), ("ation", "ate"), ("ator", "ate"), ("alism", "al"), ("iveness", "ive"),
    ("fulness", "ful"), ("ousness", "ous"), ("aliti", "al"), ("iviti", "ive"), ("biliti", "ble"),
)  # fmt: skip
_STEP3 = (
    ("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""),
    ("ness", ""),
)  # fmt: skip
_STEP4 = (
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou",
    "ism", "ate", "iti", "ous", "ive", "ize",
)  # fmt: skip


@lru_cache(maxsize=_CACHED)
def stem(word: str) -> str:
    """The stem of a word in lower case. Words of other letters than a to z, or of two, stay as they are."""
    if len(word) < 3 or _ASCII.fullmatch(word) is None:
        return word
    word = _past(_plural(word))
    if word.endswith("y") and _has_vowel(word[:-1]):
        word = word[:-1] + "i"
    word = _replaced(_replaced(word, _STEP2), _STEP3)
    return _tidy(_stripped(word))


def _plural(word: str) -> str:
    """Step 1a."""
    if word.endswith(("sses", "ies")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _past(word: str) -> str:
    """Step 1b."""
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    ending = next((end for end in ("ed", "ing") if word.endswith(end)), None)
    if ending is None or not _has_vowel(word[: -len(ending)]):
        return word
    word = word[: -len(ending)]
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if _ends_double(word) and word[-1] not in "lsz":
        return word[:-1]
    return word + "e" if _measure(word) == 1 and _is_short(word) else word


def _replaced(word: str, rules: tuple[tuple[str, str], ...]) -> str:
    """Steps 2 and 3: the longest ending that a rule names is replaced where m > 0 before it."""
    found = max(
        (rule for rule in rules if word.endswith(rule[0])), key=lambda rule: len(rule[0]), default=None
    )
    if found is None:
        return word
    left = word[: -len(found[0])]
    return left + found[1] if _measure(left) > 0 else word


def _stripped(word: str) -> str:
    """Step 4: the longest ending goes where m > 1 before it."""
    ending = max((end for end in _STEP4 if word.endswith(end)), key=len, default=None)
    if ending is None:
        return word
    left = word[: -len(ending)]
    goes = _measure(left) > 1 and (ending != "ion" or left.endswith(("s", "t")))
    return left if goes else word


def _tidy(word: str) -> str:
    """Step 5."""
    if word.endswith("e"):
        left = word[:-1]
        measure = _measure(left)
        if measure > 1 or (measure == 1 and not _is_short(left)):
            word = left
    return word[:-1] if word.endswith("ll") and _measure(word) > 1 else word


def _pattern(word: str) -> str:
    """A letter for each of the word: c for a consonant, v for a vowel; y is one behind a consonant."""
    shape = ""
    for letter in word:
        is_vowel = letter in _VOWELS or (letter == "y" and shape.endswith("c"))
        shape += "v" if is_vowel else "c"
    return shape


def _measure(word: str) -> int:
    return _pattern(word).count("vc")


def _has_vowel(word: str) -> bool:
    return "v" in _pattern(word)


def _ends_double(word: str) -> bool:
    return len(word) > 1 and word[-1] == word[-2] and _pattern(word)[-1] == "c"


def _is_short(word: str) -> bool:
    """Whether it ends with consonant, vowel, consonant, the last not w, x or y."""
    return _pattern(word).endswith("cvc") and word[-1] not in "wxy"
