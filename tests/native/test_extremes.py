"""Values whose squares leave float32, subnormal ones, infinity and NaN: no kernel leaves its arrays or hangs.

Python gates refuse most of these values with typed errors; kernels are the last line of defence. What they choose
must exist: labels, positions and lists in range, each position once.
"""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import native

FLOAT_MAX = np.finfo(np.float32).max
KINDS = ("1e19", "1e25", "3e38", "largest", "subnormal", "mixed", "infinite", "nan")


def extreme(rng: np.random.Generator, kind: str, n: int, d: int) -> np.ndarray:
    """Rows (n, d) float32 of which many or all are of the kind; some repeat."""
    rows = rng.standard_normal((n, d))
    if kind == "mixed":
        rows *= np.float64(10.0) ** rng.integers(-40, 38, size=(n, 1))
    elif kind in ("infinite", "nan"):
        rows[rng.random((n, d)) < 0.2] = np.inf if kind == "infinite" else np.nan
        rows[::3] *= -1
    elif kind == "largest":
        rows = np.sign(rows) * FLOAT_MAX
    else:
        rows *= {"1e19": 1e19, "1e25": 1e25, "3e38": 1e38, "subnormal": 1e-42}[kind]
    rows[n // 2 :: 4] = rows[0]
    with np.errstate(over="ignore"):
        return (
            np.clip(rows, -FLOAT_MAX, FLOAT_MAX).astype(np.float32)
            if kind != "infinite"
            else rows.astype("f4")
        )


def check_positions(found: np.ndarray, n: int, k: int) -> None:
    """(nq, k) positions of n rows: all there are, each once."""
    assert found.shape[1] == k
    for row in found:
        there = row[row >= 0]
        assert (row >= -1).all() and there.size == min(k, n)
        assert (there < n).all() and np.unique(there).size == there.size


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize(("k", "d"), [(3, 5), (40, 16), (60, 40), (600, 24), (600, 72)])
def test_assignment(level, rng, kind, metric, k, d):
    centroids, x = extreme(rng, kind, k, d), extreme(rng, kind, 90, d)
    wanted = None
    for name in ("none", "f32", "i8", "i6", "i16"):
        assigner = native.Assigner(centroids, metric)
        assigner.filter = name
        labels, _ = assigner.assign(x)
        assert (labels >= 0).all() and (labels < k).all()
        if kind in ("1e19", "subnormal"):  # float64 decides, as for any other row
            wanted = labels if wanted is None else wanted
            np.testing.assert_array_equal(labels, wanted, err_msg=name)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize(
    ("k", "d", "length"), [(7, 5, 3), (7, 5, 7), (100, 40, 10), (600, 33, 20), (600, 33, 600)]
)
def test_candidates(level, rng, kind, metric, k, d, length):
    centroids, x = extreme(rng, kind, k, d), extreme(rng, kind, 70, d)
    ids, costs = native.Candidates(centroids, metric, np.zeros(k)).nearest(x, length)
    assert not np.isnan(costs).any()
    check_positions(ids, k, length)
    if kind == "subnormal":
        assert np.isfinite(costs).all()


def test_prices_must_be_finite():
    for price in (np.nan, np.inf):
        with pytest.raises(ValueError, match="price is not finite"):
            native.Candidates(np.ones((2, 3), "f4"), "l2", np.array([0, price]))


@pytest.mark.parametrize("cost", [np.inf, -np.inf, np.nan, 3e38, 1e-42])
def test_balancing(rng, cost):
    n, k = 200, 10
    costs = rng.random((n, k)).astype("f4")
    costs[rng.random((n, k)) < 0.7] = cost
    costs[:20] = cost
    ids = np.tile(np.arange(k, dtype=np.int32), (n, 1))
    problem = native.DualAscent(n, None, np.full(k, 20), np.full(k, 20))
    problem.set_lists(None, 0, ids, costs)
    problem.improve(20, 0.0)
    problem.settle(1000, 0)
    labels, units = problem.labels(), problem.units()
    assert (labels >= 0).all() and (labels < k).all()
    assert units.shape == (n,) and (units >= 0).all() and (units < k).all()


def test_balancing_needs_all_lists():
    problem = native.DualAscent(3, None, np.array([1, 1]), np.array([2, 2]))
    for action in (lambda: problem.improve(1, 0.0), lambda: problem.settle(1, 0), problem.count_escaped):
        with pytest.raises(RuntimeError, match="no list"):
            action()


def forms(rng: np.random.Generator, rows: np.ndarray) -> dict[str, native.Codes]:
    """Rows, and codes of every form with extreme parameters."""
    n, d = rows.shape
    bytes_ = rng.integers(0, 256, size=(n, d)).astype("u1")
    found = {
        "floats": native.Codes.floats(rows),
        "half": native.Codes.floats(np.clip(rows, -65504, 65504).astype("f2")),
        "sq8": native.Codes.sq8(bytes_, rows[0], rows[1]),
    }
    for nbits in (4, 6, 8):
        book = native.PqCodebook(np.resize(rows, (4, 2**nbits, d // 4)).astype("f4"), nbits)
        codes = rng.integers(0, 256, size=(n, book.code_size)).astype("u1")
        found[f"pq{nbits}"] = native.Codes.pq(codes, book)
        if nbits == 4:
            native.interleave_codes(codes, np.array([0, n]))
            found["interleaved"] = native.Codes.pq(codes, book, interleaved=True)
    for bits in (1, 5):
        form = native.Rabitq(np.ascontiguousarray(rows[2 % n]), bits)
        codes = form.encode(rows, rows, "ip")
        codes[::3, -10:] = bytes_[::3, :10]  # any factors
        found[f"rabitq{bits}"] = native.Codes.rabitq(codes, form)
        shuffled = codes.copy()
        native.interleave_codes(shuffled, np.array([0, n]))
        found[f"rabitq{bits} interleaved"] = native.Codes.rabitq(shuffled, form, interleaved=True)
    return found


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize(("n", "k"), [(5, 3), (300, 20), (700, 1), (700, 700)])
def test_scans(level, rng, threads, kind, metric, n, k):
    rows, queries = extreme(rng, kind, n, 24), extreme(rng, kind, 9, 24)
    lists = native.Lists(np.array([0, n]))
    for name, codes in forms(rng, rows).items():
        for count in (1, 4):
            native.set_num_threads(count)
            for rough in (False, True):
                scores, found = native.scan(codes, lists, queries, None, k, metric, None, rough)
                check_positions(found, n, k)
                assert not np.isnan(scores).any()
                best = scores.astype("f8")
                assert (best[:, 1:] <= best[:, :-1]).all(), name
        if not name.endswith("interleaved"):
            everything = np.tile(np.arange(n), (9, 1))
            check_positions(native.rescore(codes, queries, everything, k, metric)[1], n, k)
            by_row = native.score_rows(codes, lists, queries, np.arange(n)[None], metric)
            found = native.scan(codes, lists, queries, None, k, metric)
            np.testing.assert_array_equal(np.take_along_axis(by_row, found[1], axis=1), found[0])


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize(("n", "k"), [(5, 3), (1500, 20)])
def test_prescreen(level, rng, kind, metric, n, k):
    rows, queries = extreme(rng, kind, n, 40), extreme(rng, kind, 6, 40)
    lists = native.Lists(np.array([0, n]))
    with np.errstate(all="ignore"):
        mean = rows.astype("f8").mean(0).astype("f4")
    values, terms, longest = native.build_prescreen(rows, mean, metric)
    codes = native.Codes.prescreened(rows, values, terms, np.append(mean, np.float32(longest)).astype("f4"))
    check_positions(native.scan(codes, lists, queries, None, k, metric)[1], n, k)


def test_codes(level, rng, kind):
    x = extreme(rng, kind, 80, 16)
    for nbits, m in ((4, 16), (8, 4)):
        book = native.PqCodebook(np.resize(x, (m, 2**nbits, 16 // m)).astype("f4"), nbits)
        assert book.encode(x).shape == (80, book.code_size)
        assert book.encode_score_aware(x, x, 4.0, 3).shape == (80, book.code_size)


@pytest.mark.parametrize("bits", [4, 8])
def test_documents(level, rng, kind, bits):
    rows, queries = extreme(rng, kind, 300, 16), extreme(rng, kind, 12, 16)
    book = native.PqCodebook(np.resize(rows, (8, 2**bits, 2)).astype("f4"), bits)
    codes = native.Codes.pq(rng.integers(0, 256, size=(300, book.code_size)).astype("u1"), book)
    offsets = np.arange(0, 301, 3)
    stored = native.Documents(
        codes, offsets, lists=rng.integers(0, 9, 300).astype("u2"), coarse=rows[:9].copy(), residual=True
    )
    together = native.DocumentSet([stored])
    for candidates, nprobe in ((100, 9), (30, 2), (5, 1)):
        scores, found = together.search(queries, np.array([0, 5, 12]), 5, candidates, nprobe)
        check_positions(found, 100, 5)
        assert not np.isnan(scores).any()
    native.maxsim(queries, np.array([0, 5, 12]), rows, offsets)


def test_sparse_rows(level, rng, kind):
    x, centroids = extreme(rng, kind, 50, 30), extreme(rng, kind, 70, 30)
    start = np.arange(0, 50 * 30 + 1, 30)
    columns = np.tile(np.arange(30, dtype=np.int32), 50)
    labels, scores, others = np.zeros(50, "i4"), np.zeros(50, "f4"), np.zeros(50, "f4")
    with np.errstate(all="ignore"):
        norms = np.linalg.norm(x.astype("f8"), axis=1)
    assigner = native.SparseAssigner(centroids)
    for moved in (None, np.zeros(70)):
        assigner.assign(start, columns, x.reshape(-1), norms, moved, labels, scores, others)
        assert (labels >= 0).all() and (labels < 70).all()


def test_term_blocks(level, rng, kind):
    weights = np.abs(extreme(rng, kind, 90, 20))
    starts, terms = np.arange(0, 90 * 20 + 1, 20), np.tile(np.arange(20, dtype="u2"), 90)
    forward = native.ForwardRows(starts, terms, weights.reshape(-1), 20)
    lists, rows = np.arange(0, 20 * 90 + 1, 90), np.tile(np.arange(90, dtype="i4"), 20)
    if not np.isfinite(weights).all():
        with pytest.raises(IndexError, match="damaged"):
            forward.divide(lists, rows, 0.1, 0.4, 0, 2, 15, 0)
        return
    blocks, sizes, places, entries, entry_terms, entry_blocks, codes, scales = forward.divide(
        lists, rows, 0.1, 0.4, 0, 2, 15, 0
    )
    assert blocks.min() >= 1 and sizes.sum() == len(places) == 1800 and np.isfinite(scales).all()
    first = [np.concatenate([[0], np.cumsum(counts)]) for counts in (blocks, sizes, entries)]
    stored = native.TermBlocks(
        forward, first[0], first[1], places, first[2], entry_terms.astype("u2"), entry_blocks, codes, scales
    )
    query = np.array([0, 20]), np.arange(20), np.abs(extreme(rng, kind, 1, 20))[0]
    scores, found, _ = stored.search(*query, 5, 3, 0.9, False, None)
    assert not np.isnan(scores).any()
    if scores.max() > -np.inf:  # products of subnormal weights are 0, which is no hit
        check_positions(found, 90, 5)


def test_medoids(level, rng, kind):
    x = extreme(rng, kind, 60, 8)
    matrix = np.zeros((60, 60), "f4")
    native.squared_distances(x, 0, 60, matrix)
    search = native.MedoidSearch(matrix, np.arange(5))
    search.run(1000, 100)
    assert np.unique(search.medoids).size == 5


@pytest.mark.parametrize("linkage_input", ["euclidean", "cosine_square", "cosine_condensed"])
def test_ward(level, rng, kind, linkage_input):
    x = extreme(rng, kind, 50, 20)
    runs = np.array([0, 20, 20]), np.array([20, 20, 50])
    if kind in ("infinite", "nan"):
        with pytest.raises(ValueError, match="NaN or infinity"):
            native.ward_merges(x, *runs, linkage_input)
        return
    merges, heights, _ = native.ward_merges(x, *runs, linkage_input)
    assert (merges[:19] >= 0).all() and (merges[:19] < 20).all() and np.isfinite(heights[:19]).all()
    assert (merges[20:49] >= 0).all() and (merges[20:49] < 30).all() and np.isfinite(heights[20:49]).all()


def test_transport(level, rng, kind):
    x, points = extreme(rng, kind, 50, 8), extreme(rng, kind, 20, 8)
    costs = native.Transport(x, points, np.zeros(8, "f4"), "l2")
    labels = costs.labels(0, 50, 1.0, np.zeros(20))
    assert (labels >= 0).all() and (labels < 20).all()
    stable, weight = np.zeros(50), np.zeros(50)
    costs.sweep(0, 50, 1.0, np.zeros(20), np.full(50, 0.02), 1.0, stable, weight, np.zeros(50), np.zeros(20))


def test_support(level, rng, kind):
    x, offsets = extreme(rng, kind, 60, 24), np.array([0, 20, 20, 60])
    sample = native.SupportSample(extreme(rng, kind, 40, 24))
    values, _ = sample.values(x, offsets)
    sample.fit(x, offsets, np.zeros(3, "i8"), values, np.zeros(3), 0.25, 0.1, 3, 5)


def test_products_and_lengths(level, rng, kind):
    x = extreme(rng, kind, 50, 24)
    rotated, unit = native.packed_matrix(np.eye(24)[:, :9]).multiply(x), native.unit_rows(x)
    assert rotated.shape == (50, 9) and unit.shape == x.shape
    if kind not in ("infinite", "nan"):
        np.testing.assert_array_equal(rotated, x[:, :9])
        lengths = np.linalg.norm(unit.astype("f8"), axis=1)
        assert ((np.abs(lengths - 1) < 1e-6) | ~x.any(axis=1)).all()
