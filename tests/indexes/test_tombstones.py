"""Deleted rows as bits: sets of positions, both forms on disk, what a deletion costs, and what a search leaves out."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from cluscomp import bits, index_factory, native
from cluscomp.indexes.segments.tombstones import Tombstones, stored_fault


@pytest.mark.parametrize("n", [1, 7, 8, 9, 64, 3000, 2**21 + 3])
def test_sets_of_bits_equal_masks(rng, n):
    mask = rng.random(n) < 0.3
    held = bits.pack_mask(mask)
    assert len(held) == bits.bit_bytes(n) and bits.count_bits(held) == mask.sum()
    np.testing.assert_array_equal(bits.unpack_bits(held, n), mask)
    np.testing.assert_array_equal(bits.positions_in(held), np.flatnonzero(mask))
    np.testing.assert_array_equal(bits.inverted(held, n), bits.pack_mask(~mask))
    some = rng.integers(0, n, 50)
    np.testing.assert_array_equal(bits.has_positions(held, some), mask[some])
    more = np.unique(some)
    mask[more] = True
    np.testing.assert_array_equal(bits.with_positions(held, more), bits.pack_mask(mask))


def test_the_bit_of_a_position_is_where_kernels_look():
    held = bits.with_positions(np.zeros(2, dtype=np.uint8), np.array([0, 3, 9]))
    assert held.tolist() == [0b1001, 0b10]


@pytest.mark.parametrize("n", [1, 31, 32, 33, 1000])
def test_deletions_add_up_and_leave_the_old_ones_alone(rng, n):
    deleted, stones = np.zeros(n, dtype=bool), Tombstones.none(n)
    for _ in range(4):
        before = stones.bits.copy()
        more = rng.integers(0, n, max(1, n // 40))
        after = stones.with_deleted(more)
        np.testing.assert_array_equal(stones.bits, before)
        deleted[more] = True
        stones = after
        assert stones.count == deleted.sum()
        np.testing.assert_array_equal(stones.positions(), np.flatnonzero(deleted))
        np.testing.assert_array_equal(stones.live_positions(), np.flatnonzero(~deleted))
        np.testing.assert_array_equal(stones.live_mask(), ~deleted)
        np.testing.assert_array_equal(stones.holds(np.arange(n)), deleted)


@pytest.mark.parametrize(("n", "d", "dtype"), [(320, 9, "i4"), (320, 10, "u1"), (3, 3, "u1"), (33, 1, "i4")])
def test_both_forms_on_disk_come_back(n, d, dtype):
    stones = Tombstones.none(n).with_deleted(np.arange(n - d, n))
    stored = stones.stored()
    assert stored.dtype == np.dtype(dtype) and stored_fault(n, stored) is None
    back = Tombstones.from_stored(n, stored)
    assert (back.n, back.count) == (n, d)
    np.testing.assert_array_equal(back.bits, stones.bits)


@pytest.mark.parametrize(
    ("stored", "fault"),
    [
        (np.array([0, 0]), "rise"),
        (np.array([3, 2]), "rise"),
        (np.array([-1]), "within 0 to 10"),
        (np.array([11]), "within 0 to 10"),
        (np.zeros(1, "u1"), "1 bytes of bits, but 11 rows have 2"),
        (np.zeros(3, "u1"), "3 bytes"),
        (np.array([0, 8], "u1"), "behind the last row"),
    ],
    ids=str,
)
def test_faults_of_stored_deletions(stored, fault):
    assert fault in str(stored_fault(11, stored))


def test_deleting_ten_of_ten_million_rows_takes_little_memory():
    index = index_factory("SQ8", 1, metric="l2")
    index.train(np.linspace(0, 1, 100, dtype=np.float32)[:, None])
    n = 10_000_000
    index.add(np.zeros((n, 1), dtype=np.float32))
    ids = np.arange(0, n, n // 10)
    tracemalloc.start()
    try:
        index.delete(ids)
        query = np.zeros((1, 1), dtype=np.float32)
        assert len(index) == n - 10 and index.search(query, 1)[1][0, 0] == 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


def test_a_search_leaves_out_what_is_deleted_and_nothing_else(any_key, trained, rows, queries, threads):
    """Hits are those of a search before, without the deleted rows. Every list is probed and a rerank scores all
    rows, so that deletions cannot change the choice of candidates.
    """
    index = trained(any_key).add(rows[:257]).add(rows[257:])
    n, everything = len(rows), {"nprobe": index.spec.nlist, "refine_factor": len(rows)}
    scores, ids = index.search(queries, n, **everything)
    gone = np.flatnonzero(np.arange(n) % 3 == 1)
    index.delete(gone)
    live = ~np.isin(ids, gone)
    for count in (1, 3):
        native.set_num_threads(count)
        found = index.search(queries, n - len(gone), **everything)
        np.testing.assert_array_equal(found[1], ids[live].reshape(len(queries), -1))
        np.testing.assert_array_equal(found[0], scores[live].reshape(len(queries), -1))
        few = index.search(queries[:2], 5, **everything)
        np.testing.assert_array_equal(few[1], found[1][:2, :5])
        np.testing.assert_array_equal(few[0], found[0][:2, :5])


def test_a_saved_deletion_of_ten_rows_writes_little(tmp_path):
    """Beside the manifest, 10 positions behind a header, however many rows there are."""
    index = index_factory("SQ8", 1, metric="l2").train(np.linspace(0, 1, 100, dtype=np.float32)[:, None])
    index.add(np.zeros((200_000, 1), dtype=np.float32)).save(tmp_path / "index")
    before = {path.name for path in (tmp_path / "index").iterdir()}
    index.delete(np.arange(0, 200_000, 20_000))
    index.save(tmp_path / "index")
    new = [path for path in (tmp_path / "index").iterdir() if path.name not in before]
    new = [path for path in new if path.suffix == ".npy"]
    assert len(new) == 1 and new[0].stat().st_size == 128 + 4 * 10
