"""Search through the 8-bit shadow gives what search without it gives, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.errors import UsageError
from cluscomp.indexes import index_factory, open_index


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize("key", ["Flat", "SQfp16", "PCA8,Flat"])
def test_same_results_also_after_adding_and_deleting(rng, tmp_path, key, metric):
    rows, queries = rng.normal(size=(700, 20)).astype("f4"), rng.normal(size=(30, 20)).astype("f4")
    plain = index_factory(key, 20, metric).train(rows).add(rows[:400])
    plain.save(tmp_path / "i")
    fast = open_index(tmp_path / "i").build_shadow()
    for index in (plain, fast):
        index.add(rows[400:])
        index.delete([3, 500, 699])
    assert plain.shadow_nbytes == 0
    assert fast.shadow_nbytes >= 700 * (index.pipeline.codec.dim + 16)
    for got, want in zip(fast.search(queries, 50), plain.search(queries, 50), strict=True):
        np.testing.assert_array_equal(got, want)
    for got, want in zip(fast.search(queries[0], 5), plain.search(queries[0], 5), strict=True):
        np.testing.assert_array_equal(got, want)
    fast.save(tmp_path / "j")  # the shadow is not saved
    assert open_index(tmp_path / "j").shadow_nbytes == 0


@pytest.mark.parametrize("key", ["SQ8", "IVF2,Flat", "PQ4x4"])
def test_other_keys_have_none(key):
    with pytest.raises(UsageError, match="no shadow"):
        index_factory(key, 8).build_shadow()
