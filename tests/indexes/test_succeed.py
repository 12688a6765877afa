"""An index takes over the folder of another one, as its next generation."""

from __future__ import annotations

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import IndexChangedError, NotTrainedError, UsageError


@pytest.fixture
def old(tmp_path, rng):
    index = cc.index_factory("Flat", 8, "l2")
    index.add(rng.standard_normal((40, 8)), documents=[f"text {i}" for i in range(40)])
    index.save(tmp_path / "x")
    return cc.open_index(tmp_path / "x")


def other(old, key="IVF4,SQ8"):
    rows = old.vectors(old.ids)
    made = cc.index_factory(key, 8, "l2").train(rows)
    return made.add(rows, old.ids, documents=[record.text for record in old.get(old.ids)])


def test_it_is_the_next_generation(old, tmp_path):
    reader = cc.open_index(tmp_path / "x")
    made = other(old)
    made.succeed(old)
    opened = cc.open_index(tmp_path / "x")
    assert (opened.key, opened.generation, made.generation) == ("IVF4,SQ8", 2, 2)
    assert cc.verify_index(tmp_path / "x") == []
    np.testing.assert_array_equal(opened.vectors(opened.ids), made.vectors(made.ids))
    # a reader keeps its state, texts too, and learns that there is another index
    assert reader.search(reader.vectors([7]), 1)[1].item() == 7 and reader.get([7])[0].text == "text 7"
    with pytest.raises(UsageError, match="key 'IVF4,SQ8' now"):
        reader.refresh()
    assert cc.open_index(tmp_path / "x", generation=1).key == "Flat"
    made.add(np.ones((1, 8)), [99])
    made.save(tmp_path / "x")  # it is at home there
    assert made.generation == 3


def test_a_change_by_others_is_not_lost(old, tmp_path):
    made = other(old)
    with cc.open_index(tmp_path / "x").writer() as writer:
        writer.delete([3])
    with pytest.raises(IndexChangedError):
        made.succeed(old)
    assert made.generation is None
    assert len(cc.open_index(tmp_path / "x")) == 39
    old.refresh()
    made.delete([3])
    made.succeed(old)
    assert cc.open_index(tmp_path / "x").generation == 3


def test_wrong_calls(old):
    with pytest.raises(NotTrainedError):
        cc.index_factory("IVF4,SQ8", 8).succeed(old)
    made = other(old)
    with pytest.raises(UsageError, match="no folder"):
        made.succeed(cc.index_factory("Flat", 8))
    old.delete([1])
    with pytest.raises(UsageError, match="changes"):
        made.succeed(old)
