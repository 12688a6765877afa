"""Parts are searched as one: bit for bit what a search of the same rows in one part finds."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import native
from cluscomp.bits import pack_mask

N, D, NLIST = 700, 12, 5
BOUNDS = {"two": [300], "many": [1, 2, 3, 40, 40, 299, 300, 699], "rows": list(range(1, 700, 3))}


class Stored:
    """Rows in one form, listed part by part."""

    def __init__(self, rng, form: str, metric: str) -> None:
        self.form, self.metric, self.interleaved = form, metric, form.startswith(("pq4", "rabitq"))
        self.labels = rng.integers(0, NLIST, N)
        self.coarse = None
        self.rows = rng.normal(size=(N, D)).astype("f4")
        self.scales = rng.random(N).astype("f4") + np.float32(0.5)
        if form.startswith("pq"):
            bits = int(form[2])
            books = rng.normal(size=(6, 2**bits, D // 6)).astype("f4")
            self.book = native.PqCodebook(books, bits)
            self.rows = native.pq_encode(self.rows, self.book, bits)
            if form.endswith("residual"):
                self.coarse = rng.normal(size=(NLIST, D)).astype("f4")
        elif form.startswith("rabitq"):
            self.book = native.Rabitq(rng.normal(size=D).astype("f4"), 3)
            self.rows = self.book.encode(self.rows, self.rows, metric)
            if form.endswith("residual"):
                self.coarse = rng.normal(size=(NLIST, D)).astype("f4")
        elif form.startswith("sq8"):
            self.rows = rng.integers(0, 256, size=(N, D)).astype("u1")
            self.range = rng.normal(size=D).astype("f4"), rng.random(D).astype("f4")

    def codes(self, rows, scales):
        if self.form.startswith("pq"):
            return native.Codes.pq(rows, self.book, self.interleaved)
        if self.form.startswith("rabitq"):
            return native.Codes.rabitq(rows, self.book, self.interleaved)
        if self.form.startswith("sq8"):
            return native.Codes.sq8(rows, *self.range, scales if self.form == "sq8 scaled" else None)
        return native.Codes.floats(rows)

    def part(self, start: int, stop: int):
        """Codes and lists of the rows [start, stop)."""
        labels = self.labels[start:stop]
        order = np.argsort(labels, kind="stable")
        offsets = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=NLIST))])
        rows = self.rows[start:stop][order]
        if self.interleaved:
            native.interleave_codes(rows, offsets)
        lists = native.Lists(offsets, order.astype("i4"), self.coarse)
        return self.codes(rows, self.scales[start:stop][order]), lists

    def parts(self, bounds: list[int]):
        made = [self.part(*ends) for ends in zip([0, *bounds], [*bounds, N], strict=True)]
        return native.Parts([codes for codes, _ in made], [lists for _, lists in made])


FORMS = (
    "floats",
    "sq8",
    "sq8 scaled",
    "pq8",
    "pq8 residual",
    "pq6 residual",
    "pq4",
    "pq4 residual",
    "rabitq residual",
)


def same(got, want) -> None:
    for found, expected in zip(got, want, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("form", FORMS)
def test_scans(rng, threads, form, metric, bounds):
    if form == "sq8 scaled" and metric == "l2":
        pytest.skip("rows with scales have inner products only")
    stored = Stored(rng, form, metric)
    whole, parts = stored.parts([]), stored.parts(BOUNDS[bounds])
    queries = rng.normal(size=(9, D)).astype("f4")
    probes = np.array([rng.permutation(NLIST)[:3] for _ in range(9)], "i4")
    probes[2, 1] = -1
    skip = rng.random(N) < 0.3
    of_parts = [pack_mask(part) if part.any() else None for part in np.split(skip, BOUNDS[bounds])]
    for count in (1, 3):
        native.set_num_threads(count)
        for k in (1, 10, 250):
            for rough in (False, True):
                for some in (slice(0, 1), slice(0, 2), slice(None)):
                    call = (queries[some], probes[some], k, metric)
                    same(parts.scan(*call, None, rough), whole.scan(*call, None, rough))
                    want = whole.scan(*call, [pack_mask(skip)], rough)
                    same(parts.scan(*call, of_parts, rough), want)


@pytest.mark.parametrize("form", ["floats", "sq8", "sq8 scaled", "pq8", "pq6"])
def test_rescored_rows(level, rng, form):
    stored = Stored(rng, form, "ip")
    whole = native.Parts([stored.codes(stored.rows, stored.scales)])
    cuts = np.split(np.arange(N), BOUNDS["many"])
    parts = native.Parts([stored.codes(stored.rows[part], stored.scales[part]) for part in cuts])
    queries = rng.normal(size=(33, D)).astype("f4")
    candidates = np.stack([rng.permutation(N)[:60] for _ in range(33)])
    candidates[:, ::7] = -1
    for k in (1, 7, 60):
        same(parts.rescore(queries, candidates, k, "ip"), whole.rescore(queries, candidates, k, "ip"))


@pytest.mark.parametrize("screened", [(True, True, True), (True, False, True), (False, True, False)])
@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_prescreens_of_parts(level, rng, threads, metric, screened):
    """Each part has a prescreen about a mean of its own, or none."""
    rows = rng.normal(size=(2000, D)).astype("f4") + np.repeat(rng.normal(size=(3, D)), [3, 1000, 997], 0)
    rows, queries = rows.astype("f4"), rng.normal(size=(70, D)).astype("f4")
    cuts, made = np.split(rows, [3, 1003]), []
    for part, has in zip(cuts, screened, strict=True):
        mean = part.mean(0)
        values, terms, longest = native.build_prescreen(part, mean, metric)
        frame = np.append(mean, longest).astype("f4")
        made.append(
            native.Codes.prescreened(part, values, terms, frame) if has else native.Codes.floats(part)
        )
    skip = [None, pack_mask(rng.random(1000) < 0.5), None]
    plain = native.Parts([native.Codes.floats(part) for part in cuts])
    for count in (1, 4):
        native.set_num_threads(count)
        for some, k in ((1, 1), (1, 700), (70, 5)):
            call = (queries[:some], None, k, metric, skip)
            same(native.Parts(made).scan(*call), plain.scan(*call))
    assert sum(codes.rows_scored for codes in made) > 0


def test_parts_must_be_of_one_form(rng):
    rows, book = rng.normal(size=(4, 8)).astype("f4"), native.PqCodebook(np.ones((2, 256, 4), "f4"), 8)
    floats, packed = native.Codes.floats(rows), native.Codes.pq(np.zeros((4, 2), "u1"), book)
    others = [
        native.Codes.floats(rows.astype("f2")),
        native.Codes.floats(np.ones((4, 7), "f4")),
        native.Codes.sq8(np.zeros((4, 8), "u1"), np.zeros(8, "f4"), np.ones(8, "f4")),
        packed,
    ]
    for other in others:
        with pytest.raises(ValueError, match="differ in form"):
            native.Parts([floats, other])
    again = native.PqCodebook(np.ones((2, 256, 4), "f4"), 8)
    with pytest.raises(ValueError, match="differ in form"):
        native.Parts([packed, native.Codes.pq(np.zeros((4, 2), "u1"), again)])
    with pytest.raises(ValueError, match="at least one part"):
        native.Parts([])
    with pytest.raises(ValueError, match="last offset"):
        native.Parts([floats], [native.Lists(np.array([0, 3]))])
    two, three = native.Lists(np.array([0, 2, 4])), native.Lists(np.array([0, 1, 2, 4]))
    with pytest.raises(ValueError, match="lists of a part"):
        native.Parts([floats, floats], [two, three])
    centroids = [native.Lists(np.array([0, 4]), None, np.ones((1, 8), "f4")) for _ in range(2)]
    with pytest.raises(ValueError, match="differ in their centroids"):
        native.Parts([packed, packed], centroids)


def test_a_position_that_a_part_does_not_have_is_refused(rng):
    rows = rng.normal(size=(4, 8)).astype("f4")
    for wrong in (-1, 4, 2**31 - 1):
        lists = [
            native.Lists(np.array([0, 4]), np.array(order, "i4"))
            for order in ([3, 2, 1, 0], [0, 1, wrong, 3])
        ]
        parts = native.Parts([native.Codes.floats(rows), native.Codes.floats(rows)], lists)
        with pytest.raises(IndexError, match=f"position {wrong}, but the segment has 4 rows"):
            parts.scan(rows, None, 8, "ip")


def test_wrong_bits_and_candidates_are_refused(rng):
    rows = rng.normal(size=(4, 8)).astype("f4")
    parts = native.Parts([native.Codes.floats(rows), native.Codes.floats(rows)])
    with pytest.raises(ValueError, match="parts of skip_bits"):
        parts.scan(rows, None, 1, "ip", [None])
    with pytest.raises(ValueError, match="length of skip_bits"):
        parts.scan(rows, None, 1, "ip", [None, np.zeros(2, "u1")])
    with pytest.raises(ValueError, match="candidate is not below"):
        parts.rescore(rows, np.full((4, 1), 8), 1, "ip")


def test_integer_ids(rng):
    ids = native.IntegerIds([100, np.array([5, -7], "i8"), 0], np.array([3, 2, 4]))
    want = [[-1, 100, 102], [5, -7, 0], [3, -1, 1]]
    np.testing.assert_array_equal(ids.take(np.array([[-1, 0, 2], [3, 4, 5], [8, -9, 6]])), want)
    with pytest.raises(ValueError, match="not below the number of rows"):
        ids.take(np.array([[9]]))
    with pytest.raises(ValueError, match="length of ids"):
        native.IntegerIds([np.array([5, -7], "i8")], np.array([3]))
