"""Texts into words: NFKC, lower case, runs of at least two letters or digits, without stop words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Literal

from cluscomp.terms.porter import stem

FORM: Literal["NFKC"] = "NFKC"
PATTERN = r"\w\w+"
_ENGLISH = """a an and are as at be but by for if in into is it no not of on or such that the their then there
these they this to was will with"""
STOP_WORDS: Mapping[str, frozenset[str]] = {
    "english33": frozenset(re.findall(r"\w+", _ENGLISH)),
    "none": frozenset(),
}
"""Lists of stop words by name; "english33" is that of Lucene."""
STEMS: Mapping[str, Callable[[str], str] | None] = {"none": None, "porter": stem}
"""What makes one word of its forms, by name."""
_WORD = re.compile(PATTERN)


def split_words(text: str, stop_words: frozenset[str] = STOP_WORDS["english33"]) -> list[str]:
    """The words of a text in order, repetitions included."""
    found = _WORD.findall(unicodedata.normalize(FORM, text).lower())
    return [word for word in found if word not in stop_words]
