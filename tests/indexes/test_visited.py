"""What a search without a condition tells of itself is what one tells whose condition all rows pass."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import cluscomp as cc


@pytest.mark.parametrize("key", ["IVF8,SQ8", "Flat", "IVF8,PQ4x4,RFlat", "PQ4"])
@pytest.mark.parametrize("nprobe", [1, 3, 7, 8])
@pytest.mark.parametrize("deleted", [0, 90])
def test_facts_are_those_of_a_condition_that_all_rows_pass(key, nprobe, deleted):
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((300, 16)).astype(np.float32)
    index = cc.index_factory(key, dim=16)
    index.train(rows)
    index.add(rows[:200])
    index.add(rows[200:])
    index.delete(list(range(deleted)))
    options = {"nprobe": nprobe} if key.startswith("IVF") else {}
    plain = index.search(rows[:9], 4, return_info=True, **options)
    passed = index.search(rows[:9], 4, return_info=True, filter=np.arange(deleted, 300), **options)
    bare = index.search(rows[:9], 4, **options)
    for found in (passed, bare):
        assert plain[0].tobytes() == found[0].tobytes() and plain[1].tolist() == found[1].tolist()
    for field in dataclasses.fields(plain[2]):
        one, other = getattr(plain[2], field.name), getattr(passed[2], field.name)
        assert np.array_equal(one, other), field.name
    if key.startswith("IVF") and nprobe < 8:
        assert (plain[2].rows_scored < len(index)).all() and (plain[2].path == "lists").all()


def test_an_empty_index_and_too_many_hits():
    rows = np.eye(4, dtype=np.float32)
    index = cc.index_factory("IVF2,Flat", dim=4)
    index.train(rows)
    scores, ids, info = index.search(rows, 3, k_beyond="clip", return_info=True)
    assert scores.shape == ids.shape == (4, 0) and info.path.tolist() == ["empty"] * 4
    index.add(rows)
    assert (
        index.search(rows, 9, k_beyond="clip", nprobe=2, return_info=True)[2].rows_scored.tolist() == [4] * 4
    )
