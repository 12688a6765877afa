"""How documents are cut into segments changes no bit of a result: ids, scores and order, for every key."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cluscomp.indexes.multivector.fde_candidates import byte_codes, scaled_bytes
from cluscomp.indexes.multivector.index import MultiVectorIndex
from cluscomp.indexes.segments.ids import make_ids

SEGMENTS = (1, 4, 9)
SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "few candidates": {"candidates": 12},
    "few candidates and lists": {"candidates": 12, "nprobe": 2, "refine_factor": 1},
    "candidates of the rerank": {"candidates": 20, "refine_factor": 2},
    "candidates by encodings": {"candidates_by": "fde", "candidates": 15},
    "softmax": {"softmax": 0.1, "candidates": 30, "refine_factor": 2},
    "pruned queries": {"keep": 0.5, "salience": np.random.default_rng(5).random(49)},
    "all": {"candidates": 150, "refine_factor": 150},
}


def cut_into(index: MultiVectorIndex, n: int) -> MultiVectorIndex:
    """The documents of the one segment of the index, as they are encoded, in n segments of unequal sizes."""
    (whole,) = index.segments
    bounds = np.unique(np.linspace(0, 1, n + 1) ** 1.5 * whole.n_rows).astype(int)
    parts = []
    for a, b in itertools.pairwise(bounds):
        first, last = whole.doc_offsets[[a, b]]
        finer = None if whole.refine is None else {k: v[first:last] for k, v in whole.refine.items()}
        parts.append(
            replace(
                whole,
                codes={name: codes[first:last] for name, codes in whole.codes.items()},
                doc_offsets=whole.doc_offsets[a : b + 1] - first,
                lists=None if whole.lists is None else whole.lists[first:last],
                refine=finer,
                ids=make_ids(whole.ids.take(np.arange(a, b)), b - a),
                kernels={},
            )
        )
    assert len(parts) == n
    index._segments = tuple(parts)
    return index


def added_in(index: MultiVectorIndex, x: np.ndarray, lengths: np.ndarray, n: int) -> MultiVectorIndex:
    """The same documents in n adds."""
    index._segments, index._next_id = (), 0
    ends = np.cumsum(lengths)
    for numbers in np.array_split(np.arange(len(lengths)), n):
        first = ends[numbers[0]] - lengths[numbers[0]]
        index.add(x[first : ends[numbers[-1]]], lengths=lengths[numbers], ids=numbers)
    return index


def answers(index: MultiVectorIndex, questions: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    q, lengths = questions
    found = {}
    for name, settings in SETTINGS.items():
        found[name] = index.search(q, 7, lengths=lengths, **settings)
    ids = index.ids[[3, 77, 20, 0, 139]]
    return {**found, "score": (index.score(q, ids, lengths=lengths), ids), "vectors": index.vectors(ids)}


def require_same(got: dict[str, Any], want: dict[str, Any]) -> None:
    assert got.keys() == want.keys()
    for name, expected in want.items():
        for part, wanted in zip(got[name], expected, strict=True):
            np.testing.assert_array_equal(part, wanted, err_msg=name)


def before_and_after_deletion(index: MultiVectorIndex, questions: Any) -> list[dict[str, Any]]:
    before = answers(index, questions)
    assert index.delete([0, 1, 2, 50, 51, 80, 111, 112, 149]) == 9
    return [before, answers(index, questions)]


def test_segments_of_the_same_codes_answer_as_one(key, make_documents, questions):
    want = before_and_after_deletion(make_documents(key), questions)
    for n in SEGMENTS[1:]:
        got = before_and_after_deletion(cut_into(make_documents(key), n), questions)
        for found, expected in zip(got, want, strict=True):
            require_same(found, expected)


def test_documents_added_in_parts_answer_as_one(key, make_documents, documents, questions):
    if "BIVF" in key:
        pytest.skip("where a row goes depends on how full its lists were")
    index = make_documents(key)
    want = answers(index, questions)
    for n in SEGMENTS[1:]:
        require_same(answers(added_in(index, *documents, n), questions), want)


def test_equal_documents_of_several_segments_are_ordered_by_position(make_documents, documents, questions):
    x, lengths = documents
    q, query_lengths = questions
    index = make_documents("Pool4,IVF8,PQ12")
    added_in(index, np.tile(x, (3, 1)), np.tile(lengths, 3), 5)
    for settings in ({"candidates": 30}, {"candidates": 30, "candidates_by": "fde"}, {"candidates": 450}):
        scores, ids = index.search(q, 30, lengths=query_lengths, **settings)
        for row in range(len(query_lengths)):
            order = np.lexsort((ids[row], -scores[row]))
            np.testing.assert_array_equal(order, np.arange(30))
    np.testing.assert_array_equal(ids.reshape(-1, 3), ids[:, ::3].reshape(-1, 1) + np.array([0, 150, 300]))


def test_scaled_bytes_by_hand():
    rows = np.array([[127, -127, 0, 63.4], [0, 0, 0, 0], [1e-3, 0, 0, -5e-4]], dtype=np.float32)
    codes, scales = scaled_bytes(rows)
    np.testing.assert_array_equal(codes, [[255, 1, 128, 191], [128] * 4, [255, 128, 128, 64]])
    np.testing.assert_allclose(scales, [1, 1, 1e-3 / 127], rtol=1e-6)


def test_scaled_bytes_stay_near_the_values(rng):
    rows = (rng.standard_normal((50, 33)) * 10.0 ** rng.integers(-9, 9, size=(50, 1))).astype(np.float32)
    codes, scales = scaled_bytes(rows)
    off = np.abs(scales[:, None] * (codes.astype(np.float64) - 128) - rows)
    assert (off <= 0.50001 * scales[:, None]).all()
    assert byte_codes(codes, scales).n_rows == 50
