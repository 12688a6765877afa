"""Ids of several segments are compared in a stream: the same answer as a set, in classes of any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluscomp.distributed.unique_ids import SortedIds, require_unique
from cluscomp.errors import DTypeError, DuplicateIdError
from cluscomp.indexes.segments.ids import TextIds, make_ids


def sorted_ids(owner, values):
    """As a commit finds them in the files of a segment."""
    column = make_ids(values, len(values))
    if not column.arrays():
        return SortedIds(owner, len(column), column.start)
    keys = column.keys
    texts = column if isinstance(column, TextIds) else None
    return SortedIds(owner, len(column), 0, keys.ordered, keys.rows, texts)


segments = st.lists(
    st.lists(st.integers(-60, 60).filter(lambda value: value != -1), min_size=1, max_size=12, unique=True),
    min_size=1,
    max_size=5,
)


@given(segments, st.sampled_from([1, 3, 100]), st.booleans())
def test_the_answer_of_a_set(parts, class_keys, are_texts):
    values = [[str(v) for v in part] if are_texts else part for part in parts]
    columns = [sorted_ids(f"shard {number}", part) for number, part in enumerate(values)]
    everything = [v for part in values for v in part]
    if len(set(everything)) == len(everything):
        require_unique(columns, class_keys)
        return
    with pytest.raises(DuplicateIdError) as caught:
        require_unique(columns, class_keys)
    twice = {v for v in everything if everything.count(v) > 1}
    assert any(f"id {v!r} is in shard " in str(caught.value) for v in twice)


def test_ranges_of_any_length_cost_nothing():
    require_unique([SortedIds("a", 10**12, 0), SortedIds("b", 10**12, 10**12)])


def test_texts_and_integers_do_not_mix():
    with pytest.raises(DTypeError, match="a has str ids, b has int64"):
        require_unique([sorted_ids("a", ["x"]), sorted_ids("b", [1])])


def test_texts_that_share_a_hash_are_compared():
    texts = make_ids(["x", "y"], 2)
    same = np.array([7, 7], dtype=np.uint64)
    one = SortedIds("a", 2, 0, same, np.array([0, 1]), texts)
    two = SortedIds("b", 2, 0, same, np.array([0, 1]), make_ids(["z", "y"], 2))
    with pytest.raises(DuplicateIdError, match="'y' is in a and in b"):
        require_unique([one, two])
