"""Search: against exact float64 search, order of results, arguments, determinism."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cluscomp import errors, native
from cluscomp.indexes import index_factory
from cluscomp.indexes.stages.code_layout import plain_codes

EXACT_KEYS = (
    "Flat",
    "SQfp16",
    "SQ8",
    "RR,SQ8",
    "L2norm,Flat",
    "IVF8,Flat",
    "IVF8,SQ8",
    "IVF8,SQfp16",
    "SQ8,RFlat",
)


def test_two_dimensions_by_hand() -> None:
    index = index_factory("Flat", 2, "ip")
    index.add(np.array([[1, 0], [0, 2], [3, 4], [-1, -1]], np.float32), ids=[10, 20, 30, 40])
    scores, ids = index.search(np.array([[1, 1]], np.float32), 4)
    assert ids.tolist() == [[30, 20, 10, 40]]
    assert scores.tolist() == [[7, 2, 1, -2]]


def test_l2_scores_are_negative_squared_distances_by_hand() -> None:
    index = index_factory("Flat", 2, "l2")
    index.add(np.array([[0, 0], [3, 4]], np.float32))
    scores, ids = index.search([[0, 1]], 2)
    assert ids.tolist() == [[0, 1]]
    assert scores.tolist() == [[-1, -18]]


def test_cosine_by_hand_and_zero_rows_score_zero() -> None:
    index = index_factory("Flat", 2, "cosine")
    index.add(np.array([[0, 0], [5, 0], [1, 1], [0, -9]], np.float32))
    scores, ids = index.search(np.array([[0, 2]], np.float32), 4)
    assert ids.tolist() == [[2, 0, 1, 3]]
    np.testing.assert_allclose(scores, [[np.sqrt(0.5), 0, 0, -1]], rtol=1e-6)


def test_flat_equals_exact_search(rows, queries, any_metric: str, exact: Callable) -> None:
    index = index_factory("Flat", rows.shape[1], any_metric).add(rows)
    scores, ids = index.search(queries, 20)
    wanted = exact(queries, rows, any_metric)
    order = np.argsort(-wanted, axis=1, kind="stable")[:, :20]
    np.testing.assert_array_equal(ids, order)
    np.testing.assert_allclose(scores, np.take_along_axis(wanted, order, 1), rtol=1e-5, atol=1e-5)


def test_found_rows_are_near_and_exact_codecs_score_truly(
    make_index, any_key: str, any_metric: str, rows, queries, exact
) -> None:
    index = make_index(any_key, any_metric)
    scores, ids = index.search(queries, 5, nprobe=index.spec.nlist, refine_factor=2)
    normal = any_key.startswith("L2norm")
    x, q = (a / np.linalg.norm(a, axis=1, keepdims=True) if normal else a for a in (rows, queries))
    truth = exact(q, x, any_metric)
    found = np.take_along_axis(truth, ids, 1)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert (np.median(found, axis=1) >= np.quantile(truth, 0.9, axis=1)).mean() > 0.7
    if any_key in EXACT_KEYS:
        np.testing.assert_allclose(scores, found, rtol=0.02, atol=0.05)


def test_all_lists_probed_equals_no_partition(trained, rows, queries, any_metric: str) -> None:
    for codec in ("Flat", "SQfp16", "SQ8"):
        plain = trained(codec, any_metric).add(rows)
        lists = trained(f"IVF8,{codec}", any_metric).add(rows)
        for got, wanted in zip(lists.search(queries, 30, nprobe=8), plain.search(queries, 30), strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_ivf_pq_scores_come_from_centroid_plus_residual(make_index, queries, rows) -> None:
    """Oracle: decode list centroid + residual code in NumPy and score in float64."""
    index = make_index("IVF8,PQ4x4", "l2")
    segment, partition, codec = index.segments[0], index.pipeline.partition, index.pipeline.codec
    decoded = np.empty_like(rows)
    lists = np.repeat(np.arange(8), np.diff(segment.offsets))
    residuals = native.pq_decode(
        plain_codes(codec, segment.codes, segment.offsets)["codes"], codec.codebooks, 4
    )
    decoded[segment.positions] = partition.centroids[lists] + residuals
    wanted = -((queries[:, None, :].astype(np.float64) - decoded[None]) ** 2).sum(2)
    scores, ids = index.search(queries, 10, nprobe=8)
    np.testing.assert_allclose(scores, np.take_along_axis(wanted, ids, 1), rtol=1e-4)
    np.testing.assert_allclose(scores, -np.sort(-wanted, axis=1)[:, :10], rtol=1e-4)


def test_equal_scores_are_ordered_by_time_of_adding() -> None:
    index = index_factory("Flat", 2, "ip")
    row = np.ones((3, 2), np.float32)
    index.add(row, ids=[9, 5, 7]).add(row, ids=[1, 8, 2])
    _, ids = index.search(np.ones((1, 2), np.float32), 5)
    assert ids.tolist() == [[9, 5, 7, 1, 8]]


def test_every_row_finds_itself_with_one_probe(trained, rows, any_metric: str) -> None:
    """A row's list is the first list probed for it (apache/paimon-vector-index#82 shows what happens otherwise)."""
    normal = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    index = trained("IVF8,Flat", any_metric).add(normal)
    _, ids = index.search(normal, 1, nprobe=1)
    np.testing.assert_array_equal(ids[:, 0], np.arange(len(normal)))


def test_more_probes_find_more(make_index, queries, rows, exact) -> None:
    index = make_index("IVF8,Flat", "ip")
    wanted = np.argsort(-exact(queries, rows, "ip"), axis=1)[:, :10]
    found = []
    for nprobe in (1, 2, 4, 8):
        _, ids = index.search(queries, 10, nprobe=nprobe)
        found.append(np.mean([len(set(a) & set(b)) for a, b in zip(ids, wanted, strict=True)]))
    assert found == sorted(found)
    assert found[-1] == 10
    assert found[0] < 10


def test_refine_reorders_by_finer_codes(make_index, queries, rows, exact) -> None:
    wanted = -np.sort(-exact(queries, rows, "ip"), axis=1)[:, :5]
    index = make_index("PQ4x4,RFlat", "ip")
    scores, _ = index.search(queries, 5, refine_factor=len(rows))
    np.testing.assert_allclose(scores, wanted, rtol=1e-5)
    coarse, _ = make_index("PQ4x4", "ip").search(queries, 5)
    assert not np.allclose(coarse, wanted, rtol=1e-3)


def test_refine_scores_exactly_k_times_factor_candidates(make_index, queries, rows) -> None:
    _, candidates = make_index("PQ4", "ip").search(queries, 15)
    scores, ids = make_index("PQ4,RFlat", "ip").search(queries, 5, refine_factor=3)
    true = np.take_along_axis(queries @ rows.T, candidates, 1)
    np.testing.assert_array_equal(ids, np.take_along_axis(candidates, np.argsort(-true, 1), 1)[:, :5])
    np.testing.assert_allclose(scores, -np.sort(-true, 1)[:, :5], rtol=1e-5)


@pytest.mark.parametrize("key", ["Flat", "SQ8", "IVF8,PQ4", "OPQ4,IVF8,PQ4x6", "PCA8,IVF8,SQ8,RFlat"])
def test_same_bits_for_any_threads_batches_and_segments(trained, rows, queries, key: str) -> None:
    index = trained(key, "cosine").add(rows)
    wanted = index.search(queries, 12)
    threads = native.get_num_threads()
    try:
        for n in (1, 3):
            native.set_num_threads(n)
            again = trained(key, "cosine").add(rows).search(queries, 12)
            np.testing.assert_array_equal(again[0], wanted[0])
            np.testing.assert_array_equal(again[1], wanted[1])
    finally:
        native.set_num_threads(threads)
    one_by_one = [index.search(query, 12) for query in queries]
    np.testing.assert_array_equal(np.concatenate([s for s, _ in one_by_one]), wanted[0])
    np.testing.assert_array_equal(np.concatenate([i for _, i in one_by_one]), wanted[1])
    parts = trained(key, "cosine")
    for start in (0, 7, 300, 599):
        stop = {0: 7, 7: 300, 300: 599, 599: 600}[start]
        parts.add(rows[start:stop])
    split = parts.search(queries, 12)
    np.testing.assert_array_equal(split[0], wanted[0])
    np.testing.assert_array_equal(split[1], wanted[1])


def test_training_twice_gives_the_same_bits(rows) -> None:
    first, second = (index_factory("OPQ4,IVF8,PQ4x4", 16, "ip", seed=5).train(rows) for _ in range(2))
    other = index_factory("OPQ4,IVF8,PQ4x4", 16, "ip", seed=6).train(rows)
    for name, stage in first.pipeline.stages().items():
        for part, array in stage.parameters().items():
            np.testing.assert_array_equal(array, second.pipeline.stages()[name].parameters()[part])
            assert not np.array_equal(array, other.pipeline.stages()[name].parameters()[part])


def test_many_threads_may_search_one_index(make_index, queries) -> None:
    index = make_index("IVF8,PQ4,RFlat", "ip")
    wanted = index.search(queries, 7)
    with ThreadPoolExecutor(8) as pool:
        for scores, ids in pool.map(lambda _: index.search(queries, 7), range(32)):
            np.testing.assert_array_equal(scores, wanted[0])
            np.testing.assert_array_equal(ids, wanted[1])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32])
def test_other_dtypes_of_rows_and_queries(dtype) -> None:
    rows = np.random.default_rng(0).integers(-8, 8, (50, 4)).astype(dtype)
    scores, ids = index_factory("Flat", 4, "ip").add(rows).search(rows[:3], 5)
    wanted = (
        index_factory("Flat", 4, "ip").add(rows.astype(np.float32)).search(rows[:3].astype(np.float32), 5)
    )
    np.testing.assert_array_equal(scores, wanted[0])
    np.testing.assert_array_equal(ids, wanted[1])


def test_torch_rows_and_queries(rows, queries) -> None:
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, torch.bfloat16):
        x, q = torch.from_numpy(rows).to(dtype), torch.from_numpy(queries).to(dtype)
        scores, ids = index_factory("Flat", 16, "l2").add(x).search(q, 5)
        wanted = index_factory("Flat", 16, "l2").add(x.float().numpy()).search(q.float().numpy(), 5)
        np.testing.assert_array_equal(ids, wanted[1])
        np.testing.assert_array_equal(scores, wanted[0])


def test_one_query_as_vector_or_list(make_index, queries) -> None:
    index = make_index("Flat", "ip")
    wanted = index.search(queries[:1], 3)
    for query in (queries[0], queries[0].tolist(), [queries[0].tolist()]):
        scores, ids = index.search(query, 3)
        assert scores.shape == ids.shape == (1, 3)
        np.testing.assert_array_equal(ids, wanted[1])


def test_train_reports_progress_by_key_part(rows) -> None:
    calls: list[tuple[str, int, int]] = []
    index_factory("OPQ4,IVF8,PQ4x4,RFlat", 16).train(rows, progress=lambda *call: calls.append(call))
    assert {stage for stage, _, _ in calls} == {"OPQ4", "IVF8", "PQ4x4 for scores"}
    assert all(0 <= done <= total for _, done, total in calls)


def test_long_searches_and_adds_come_up_for_air(monkeypatch, rows) -> None:
    """Ctrl-C is answered between native calls: few queries a call where many rows are read, same results."""
    from cluscomp.indexes.segments import search, segment, whole_search

    whole = index_factory("IVF8,PQ4x4,RFlat", 16, "ip", seed=1).train(rows).add(rows)
    expected = whole.search(rows[:100], 5, nprobe=3)
    calls: list[int] = []
    run = whole_search.Prepared.run

    def counted(prepared, queries, *rest):
        calls.append(len(queries))
        return run(prepared, queries, *rest)

    monkeypatch.setattr(whole_search.Prepared, "run", counted)
    monkeypatch.setattr(search, "_PRODUCTS_PER_BLOCK", 1)
    monkeypatch.setattr(segment, "BLOCK_ROWS", 100)
    found = whole.search(rows[:100], 5, nprobe=3)
    assert max(calls) == 16 and sum(calls) == 100
    for mine, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, want)

    def stop(stage: str, done: int, total: int) -> None:
        assert total == 600
        if done == 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        whole.add(rows, progress=stop)
    assert len(whole) == 600


def test_euclidean_is_another_name_of_l2(rows):
    named, plain = (index_factory("SQ8", 16, metric).train(rows).add(rows) for metric in ("euclidean", "l2"))
    assert named.metric == plain.metric == "l2"
    for found, wanted in zip(named.search(rows[:5], 3), plain.search(rows[:5], 3), strict=True):
        np.testing.assert_array_equal(found, wanted)
    with pytest.raises(errors.UsageError, match="MaxSim"):
        index_factory("Pool4,SQ8", 16, "euclidean")
