"""Balanced lists: the bound after every add, the order of preference, and that rows are found again."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluscomp import native
from cluscomp.errors import NotTrainedError, TooFewRowsError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.build.writer import IndexWriter
from cluscomp.indexes.segments.segment import list_sizes
from cluscomp.indexes.stages.balanced_ivf import BIVF, BalancedIvf

CAPS = (1, 1.1, 1.5, 3)


def quota(cap: float, rows: int, nlist: int) -> int:
    return ceil(Fraction(str(cap)) * rows / nlist)


def sizes_of(index) -> np.ndarray:
    return list_sizes(index.segments, index.spec.nlist)


def partition_of(metric: str, rows: np.ndarray, nlist: int = 12, cap: float = 1.5) -> BalancedIvf:
    partition = BalancedIvf(BIVF(nlist, cap), rows.shape[1], metric)
    partition.train(rows, seed=1)
    return partition


def values(partition: BalancedIvf, x: np.ndarray) -> np.ndarray:
    """Cost + price (n, nlist) in float64, as the module states them."""
    x, c = x.astype(np.float64), partition.centroids.astype(np.float64)
    if partition.metric == "l2":
        return ((x[:, None] - c[None]) ** 2).sum(2) / 2 + partition.prices
    return -(x / np.linalg.norm(x, axis=1, keepdims=True)) @ c.T + partition.prices


def placed_one_by_one(wanted: np.ndarray, cap: float, sizes: np.ndarray, announced: int) -> list[int]:
    """The rule, row by row. wanted: lists of each row, best first."""
    sizes, labels = sizes.copy(), []
    for row in wanted:
        limit = quota(cap, max(int(sizes.sum()) + 1, announced), len(sizes))
        labels.append(next(int(j) for j in row if sizes[j] < limit))
        sizes[labels[-1]] += 1
    return labels


@pytest.mark.parametrize("cap", CAPS)
def test_bound_after_every_add(rows, any_metric: str, cap: float) -> None:
    """Adds of many rows, one row, equal rows, rows of one list, and rows unlike those of the training."""
    index = index_factory(f"BIVF8(cap={cap}),Flat", 16, any_metric).train(rows)
    near = rows[index.pipeline.partition.assign(rows) == 3] if any_metric != "cosine" else rows[:50]
    for part in (rows, rows[:1], np.repeat(rows[:1], 90, axis=0), near, rows + 9, rows[:7]):
        index.add(part)
        assert sizes_of(index).max() <= quota(cap, len(index), 8)
    assert sizes_of(index).sum() == len(index)


def test_one_row_at_a_time(rows) -> None:
    index = index_factory("BIVF8(cap=1),SQ8", 16).train(rows)
    for n, row in enumerate(rows[:50], 1):
        index.add(row[None])
        assert sizes_of(index).max() <= quota(1, n, 8)


@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("announced", [True, False])
def test_rows_are_placed_in_their_order(rows, any_metric: str, cap: float, announced: bool) -> None:
    metric = "l2" if any_metric == "l2" else "ip"
    partition = partition_of(metric, rows, cap=cap)
    x = np.concatenate([rows[:300], np.repeat(rows[:2], 60, axis=0)])
    before = np.arange(12) % 3
    labels = partition.list_assigner(before, len(x) if announced else None).assign(x)
    wanted = np.argsort(values(partition, x), axis=1, kind="stable")
    total = int(before.sum()) + len(x) if announced else 0
    assert labels.tolist() == placed_one_by_one(wanted, cap, before, total)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_blocks_do_not_matter(data) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    n, nlist = data.draw(st.integers(1, 200)), data.draw(st.integers(1, 40))
    partition = BalancedIvf(BIVF(nlist, data.draw(st.sampled_from(CAPS))), 4, "l2")
    centroids = rng.standard_normal((nlist, 4)).astype("f4")
    partition.load({"centroids": centroids, "prices": rng.random(nlist).astype("f4")})
    x = np.round(rng.standard_normal((n, 4)) * data.draw(st.sampled_from([0, 1, 5]))).astype("f4")
    sizes = np.zeros(nlist, dtype=np.int64)
    n_new = data.draw(st.sampled_from([n, None]))
    whole = partition.list_assigner(sizes, n_new).assign(x)
    list_assigner = partition.list_assigner(sizes, n_new)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=4)))
    np.testing.assert_array_equal(np.concatenate([list_assigner.assign(p) for p in np.split(x, cuts)]), whole)
    assert np.bincount(whole, minlength=nlist).max() <= quota(partition.spec.cap, n, nlist)


def test_preferences_by_hand() -> None:
    """Lists at 0 and 10, the first at a price of 9: at 5.9 the costs are 17.405 + 9 and 8.405."""
    partition = BalancedIvf(BIVF(2, 1.0), 1, "l2")
    partition.load({"centroids": np.array([[0], [10]], "f4"), "prices": np.array([9, 0], "f4")})
    x = np.array([[4.0], [4.2], [9], [9.5]], "f4")  # (x^2 + 18) / 2 < (10 - x)^2 / 2 up to 4.1
    assert partition.assign(x).tolist() == [0, 1, 1, 1]
    np.testing.assert_array_equal(partition.probe(x, 2).lists[:, 0], [0, 1, 1, 1])
    assert partition.list_assigner(np.zeros(2, int), 4).assign(x).tolist() == [0, 1, 1, 0]
    assert partition.list_assigner(np.array([0, 3]), 4).assign(x).tolist() == [0, 1, 0, 0]


def test_probing_follows_cost_and_price(rows, queries, any_metric: str) -> None:
    metric = "l2" if any_metric == "l2" else "ip"
    partition = partition_of(metric, rows)
    wanted = np.argsort(values(partition, queries), axis=1, kind="stable")
    for nprobe in (1, 2, 5, 12):
        np.testing.assert_array_equal(partition.probe(queries, nprobe).lists, wanted[:, :nprobe])


def test_rows_are_found_again(rows, any_metric: str) -> None:
    """With one probe all that got their first choice; with a third of the lists nearly all."""
    normal = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    index = index_factory("BIVF16(cap=1),Flat", 16, any_metric).train(normal).add(normal)
    first = index.pipeline.partition.assign(index.pipeline.base_rows(normal))
    lists = np.empty(len(rows), dtype=int)
    segment = index.segments[0]
    lists[segment.positions] = np.repeat(np.arange(16), np.diff(segment.offsets))
    found = index.search(normal, 1, nprobe=1)[1][:, 0] == np.arange(len(rows))
    np.testing.assert_array_equal(found, first == lists)
    assert found.mean() > 0.98
    more = index.search(normal, 1, nprobe=5)[1][:, 0] == np.arange(len(rows))
    assert more.mean() > 0.995


def test_deleted_rows_count_until_they_are_gone(rows) -> None:
    index = index_factory("BIVF8(cap=1),Flat", 16).train(rows).add(rows[:80])
    index.delete(index.ids[:40])
    index.add(rows[80:160])
    assert sizes_of(index).sum() == 160 and sizes_of(index).max() == 20


def test_streamed_and_reopened_indexes_place_alike(rows, tmp_path: Path) -> None:
    index = index_factory("OPQ4,BIVF8(cap=1),PQ4", 16, "cosine").train(rows)
    index.save(tmp_path / "trained")
    with IndexWriter(open_index(tmp_path / "trained"), tmp_path / "streamed", n_rows=400) as writer:
        for start in range(0, 400, 90):
            writer.add(rows[start : min(400, start + 90)])
        writer.finish()
    streamed = open_index(tmp_path / "streamed").add(rows[400:])
    np.testing.assert_array_equal(sizes_of(streamed), sizes_of(index.add(rows[:400]).add(rows[400:])))
    for a, b in zip(streamed.segments, index.segments, strict=True):
        np.testing.assert_array_equal(a.positions, b.positions)
        np.testing.assert_array_equal(a.codes["codes"], b.codes["codes"])


def test_unannounced_rows_keep_the_bound_too(rows, tmp_path: Path) -> None:
    index = index_factory("BIVF8(cap=1),SQ8", 16).train(rows)
    with IndexWriter(index, tmp_path / "i") as writer:
        writer.add(rows[:1])
        writer.add(rows[1:])
        writer.finish()
    assert sizes_of(open_index(tmp_path / "i")).max() == 75


def test_training_balances_and_common_scale_is_kept(rows) -> None:
    for metric in ("l2", "ip"):
        partition = partition_of(metric, rows, cap=1)
        assert np.bincount(partition.list_assigner(np.zeros(12, int), 600).assign(rows)).max() == 50
        assert np.bincount(partition.assign(rows), minlength=12).max() <= 54  # prices alone, but for ties
    lengths = np.linalg.norm(partition.centroids, axis=1)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-5)
    one, other = partition.assign(rows), partition.assign(rows * 3)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    values = partition.prices - unit @ partition.centroids.T  # equal for rows that lie between two lists
    np.testing.assert_allclose(
        values[np.arange(600), one], values[np.arange(600), other], rtol=1e-5, atol=1e-5
    )
    assert (one != other).sum() <= 12


def test_quota_is_exact() -> None:
    for milli, rows, k in ((1100, 10, 11), (1000, 7, 7), (1000, 8, 7), (1500, 1, 1024), (999999, 10**10, 3)):
        assert native.list_quota(milli, rows, k) == ceil(Fraction(milli * rows, 1000 * k))


def test_errors(rows) -> None:
    with pytest.raises(NotTrainedError, match=r"BIVF4\(cap=2\)"):
        _ = BalancedIvf(BIVF(4, 2), 8, "l2").prices
    with pytest.raises(TooFewRowsError, match=r"BIVF64 needs at least 64 training rows, but got 63"):
        index_factory("BIVF64,Flat", 16).train(rows[:63])
