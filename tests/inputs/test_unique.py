from hypothesis import given
from hypothesis import strategies as st

from cluscomp.inputs.unique import SeenIds


@given(st.lists(st.text(max_size=3)))
def test_agrees_with_a_set(items):
    seen, truth = SeenIds(), set()
    for item in items:
        assert seen.add(item) == (item in truth)
        truth.add(item)
    assert len(seen) == len(truth)


def test_growth_keeps_what_was_seen():
    seen = SeenIds()
    assert not any(seen.add(str(i)) for i in range(20_000))
    assert all(seen.add(str(i)) for i in range(20_000))
    assert len(seen) == 20_000
