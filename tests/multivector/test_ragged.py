"""Ragged arrays at the border."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.errors import DimensionError, DTypeError, InputError, NonFiniteError
from cluscomp.multivector.ragged import as_ragged, document_blocks


def test_offsets_and_parts():
    ragged = as_ragged(np.arange(12.0).reshape(6, 2), [2, 0, 3, 1])
    np.testing.assert_array_equal(ragged.offsets, [0, 2, 2, 5, 6])
    np.testing.assert_array_equal(ragged.lengths, [2, 0, 3, 1])
    assert len(ragged) == 4 and ragged.dim == 2 and ragged.rows.dtype == np.float32
    part = ragged.part(slice(1, 3))
    np.testing.assert_array_equal(part.offsets, [0, 0, 3])
    np.testing.assert_array_equal(part.rows, ragged.rows[2:5])


def test_nothing_at_all_is_allowed():
    for lengths in ([], [0, 0], np.zeros(2, np.uint8)):
        assert as_ragged(np.zeros((0, 3), "f4"), lengths).rows.shape == (0, 3)


def test_half_precision_and_memory_maps_are_not_copied(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((4, 3), "f2"))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.shares_memory(as_ragged(mapped, [4]).rows, mapped)
    torch = pytest.importorskip("torch")
    assert as_ragged(torch.ones(4, 3, dtype=torch.bfloat16), torch.tensor([1, 3])).rows.dtype == np.uint16


@pytest.mark.parametrize(
    ("lengths", "error", "text"),
    [
        ([2, 3], DimensionError, "add up to 5, but vectors has 4 rows"),
        ([5, -1], InputError, r"lengths\[1\] is -1"),
        ([2.0, 2.0], DTypeError, "integers"),
        ([[4]], DimensionError, "shape"),
        (4, DimensionError, "shape"),
    ],
)
def test_wrong_lengths(lengths, error, text):
    with pytest.raises(error, match=text):
        as_ragged(np.ones((4, 2)), lengths)


def test_wrong_vectors():
    with pytest.raises(DimensionError, match="dim 2, but dim 3"):
        as_ragged(np.ones((4, 2)), [4], dim=3)
    with pytest.raises(NonFiniteError, match="row 1"):
        as_ragged(np.array([[1.0], [np.inf]]), [2])


def test_blocks_cover_all_documents_and_keep_to_the_limit():
    costs = np.array([3, 0, 4, 10, 0, 0, 2, 5])
    blocks = list(document_blocks(costs, 7))
    assert [i for b in blocks for i in range(b.start, b.stop)] == list(range(8))
    assert all(costs[b].sum() <= 7 or b.stop - b.start == 1 for b in blocks)
    assert list(document_blocks(np.array([]), 7)) == []
