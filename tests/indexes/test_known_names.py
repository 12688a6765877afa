"""Numbers of names of terms, remembered between searches."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluscomp.errors import InputError
from cluscomp.indexes.segments.ids import TextIds
from cluscomp.indexes.sparse import known_names
from cluscomp.indexes.sparse.known_names import KnownNames

NAMES = ["a", "bb", "", "ä", "cat"]


@given(
    st.lists(st.lists(st.sampled_from([*NAMES, "x", "y", "cats"]), max_size=9), max_size=6), st.integers(1, 9)
)
def test_numbers_are_those_of_a_list(asked: list[list[str]], most: int) -> None:
    """Whatever was asked before, and however little may be remembered."""
    known = KnownNames(TextIds.from_texts(NAMES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known_names, "MOST_REMEMBERED", most)
        for names in asked:
            expected = [NAMES.index(name) if name in NAMES else -1 for name in names]
            found = known.find(names)
            assert found.tolist() == expected and found.dtype == np.int64
            assert len(known._found) <= most


def test_what_was_asked_is_looked_up_once(monkeypatch) -> None:
    known = KnownNames(TextIds.from_texts(NAMES))
    assert known.find(["cat", "x"]).tolist() == [4, -1]
    monkeypatch.setattr(TextIds, "find", None)
    assert known.find(["x", "cat"]).tolist() == [-1, 4]
    with pytest.raises(TypeError):
        known.find(["bb"])


def test_a_copy_has_the_names_alone() -> None:
    known = KnownNames(TextIds.from_texts(NAMES))
    known.find(["cat", "x"])
    again = copy.copy(known)
    assert not again._found and again.find(["x", "bb"]).tolist() == [-1, 1]


def test_names_that_are_no_texts() -> None:
    with pytest.raises(InputError):
        KnownNames(TextIds.from_texts(NAMES)).find(["\ud800"])
