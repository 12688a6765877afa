"""More hits requested than there are rows: an error, or as many as there are."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import errors
from cluscomp.indexes import index_factory

LENGTHS = np.full(6, 4)


@pytest.fixture(params=["Flat", "IVF2,SQ8", "Pool(f=1),SQ8"])
def index(request, rows):
    """Five of six rows, or of six documents of four vectors each."""
    made = index_factory(request.param, 16, "ip")
    given = {"lengths": LENGTHS} if "Pool" in request.param else {}
    x = rows[:24] if given else rows[:6]
    made.train(x, **given).add(x, **given)
    made.delete([2])
    return made


def test_clip_returns_what_there_is(index, rows):
    index.nprobe = index.spec.nlist
    scores, ids = index.search(rows[:1], 99, k_beyond="clip")
    assert scores.shape == ids.shape == (1, 5)
    assert sorted(ids[0].tolist()) == [0, 1, 3, 4, 5]
    for found, wanted in zip(
        index.search(rows[:1], 3, k_beyond="clip"), index.search(rows[:1], 3), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


def test_fail_names_both_numbers_and_the_remedy(index, rows):
    with pytest.raises(errors.UsageError, match=r"k=6 hits.*holds 5 rows.*k_beyond='clip'"):
        index.search(rows[:1], 6)
    with pytest.raises(errors.UnknownKeyError, match="k_beyond 'cut' is unknown; known are: fail, clip"):
        index.search(rows[:1], 6, k_beyond="cut")


def test_an_empty_index_has_no_hits(index, rows):
    index.delete(index.ids)
    scores, ids = index.search(rows[:3] if index.key[0] != "P" else rows[:3, None], 4, k_beyond="clip")
    assert scores.shape == ids.shape == (3, 0)
    assert (scores.dtype, ids.dtype) == (np.float32, np.int64)
