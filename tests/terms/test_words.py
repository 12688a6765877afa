"""Splitting texts into words."""

from __future__ import annotations

import bm25_reference

from cluscomp.terms import STOP_WORDS, split_words


def test_by_hand():
    assert split_words("The Cat's 2 cats, a CAT-scan (x) and naïve_ones!") == [
        "cat", "cats", "cat", "scan", "naïve_ones",
    ]  # fmt: skip
    assert split_words("\ufb01ne \uff26\uff55\uff4c\uff4c") == [
        "fine",
        "full",
    ]  # NFKC takes ligatures and wide letters apart
    assert split_words("to be or not", STOP_WORDS["none"]) == ["to", "be", "or", "not"]
    assert split_words("") == []


def test_stop_words_are_lucenes_33():
    assert len(STOP_WORDS["english33"]) == 33
    assert STOP_WORDS["english33"] == bm25_reference.STOP_WORDS
