"""Rows by id: what `Index.vectors` decodes is what searches score."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import errors
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.stages.code_layout import plain_codes, plain_rows

LOSSLESS = ("Flat", "IVF8,Flat", "BIVF8,Flat", "SQ8,RFlat", "OPQ4,BIVF8(cap=1.2),PQ4x4,RFlat", "RR,Flat")


def filled(key, rows, metric="ip", ids=None):
    """An index of two segments, of which some rows are deleted."""
    index = index_factory(key, rows.shape[1], metric).train(rows)
    ids = np.arange(1000, 1000 + len(rows)) if ids is None else ids
    index.add(rows[:350], ids[:350]).add(rows[350:], ids[350:])
    index.delete([ids[7], ids[400]])
    return index


@pytest.mark.parametrize("key", LOSSLESS)
def test_float_rows_come_back(rows, key):
    index = filled(key, rows)
    wanted = np.array([599, 0, 350, 349, 17])  # in any order, from both segments
    found = index.vectors(wanted + 1000)
    assert found.dtype == np.float32 and found.shape == (5, rows.shape[1])
    if key == "RR,Flat":
        np.testing.assert_allclose(found, rows[wanted], atol=1e-5)
    else:
        np.testing.assert_array_equal(found, rows[wanted])


def test_products_with_them_are_the_scores(rows, queries, any_key, any_metric, with_folders):
    index = filled(with_folders(any_key, any_metric), rows, any_metric)
    index.nprobe = index.spec.nlist
    if (index.pipeline.refine or index.pipeline.codec).has_bars:
        return  # scores are estimates with a term of their own, and vectors are as near to the rows as they can be
    try:
        found = index.vectors(index.ids)
    except errors.UsageError as exc:
        assert "do not come back through" in str(exc) and ("RepCONC" in any_key or "MRL" in any_key)
        return
    scores, ids = index.search(queries, 20)
    order = np.argsort(index.ids)
    vectors = found[order[np.searchsorted(index.ids, ids, sorter=order)]].astype(np.float64)
    asked = queries.astype(np.float64)
    if index.pipeline.normalizes:
        asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    if any_metric == "l2":
        if any(step.dim_out < step.dim_in for step in index.pipeline.steps):
            return  # distances there leave out what the transform drops
        want = -((asked[:, None] - vectors) ** 2).sum(axis=2)
    else:
        want = np.einsum("qd,qkd->qk", asked, vectors)
    np.testing.assert_allclose(scores, want, rtol=1e-4, atol=2e-4 * np.abs(want).max())


def test_text_ids_and_unknown_ones(rows):
    names = [f"row {number}" for number in range(600)]
    index = filled("SQ8,RFlat", rows, ids=names)
    np.testing.assert_array_equal(index.vectors(["row 500", "row 2"]), rows[[500, 2]])
    assert index.vectors([]).shape == (0, rows.shape[1])
    with pytest.raises(errors.InputError, match=r"'row 7' is not in the index \(1 of 2 ids"):
        index.vectors(["row 2", "row 7"])  # deleted
    with pytest.raises(errors.DuplicateIdError, match="row 2"):
        index.vectors(["row 2", "row 2"])
    with pytest.raises(errors.DTypeError, match="str ids"):
        index.vectors([3])


def test_the_rerank_is_finer_than_the_codes(rows):
    wanted = np.arange(1000, 1005)
    rough, finer = (filled(key, rows).vectors(wanted) for key in ("PQ4", "PQ4,Refine(SQfp16)"))
    assert np.abs(finer - rows[:5]).max() < 0.01 < np.abs(rough - rows[:5]).max()


def test_before_training_and_after_opening(rows, tmp_path):
    with pytest.raises(errors.NotTrainedError):
        index_factory("PQ4", rows.shape[1]).vectors([1])
    index = filled("OPQ4,IVF8,PQ4x4", rows)
    index.save(tmp_path / "i")
    some = index.ids[[5, 300, 2]]
    np.testing.assert_array_equal(open_index(tmp_path / "i").vectors(some), index.vectors(some))


@pytest.mark.parametrize("sizes", [(0, 1, 31, 32), (33, 64, 100), (7,), (96, 5)])
def test_rows_of_interleaved_codes(sizes):
    """Picking some rows equals undoing the layout of all of them."""
    from cluscomp import native

    codec = index_factory("PQ4x4", 8).pipeline.codec
    rng = np.random.default_rng(3)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    stored = rng.integers(256, size=(int(offsets[-1]), 2), dtype=np.uint8)
    native.interleave_codes(stored, offsets)
    picked = rng.permutation(int(offsets[-1]))
    want = plain_codes(codec, {"codes": stored}, offsets)["codes"][picked]
    np.testing.assert_array_equal(plain_rows(codec, {"codes": stored}, offsets, picked)["codes"], want)


def test_they_are_what_encoding_and_decoding_leaves_of_the_rows(rows, any_key, any_metric, with_folders):
    index = index_factory(with_folders(any_key, any_metric), rows.shape[1], any_metric).train(rows).add(rows)
    pipeline, sizes = index.pipeline, np.zeros(index.spec.nlist, np.int64)
    encoded = pipeline.encode(rows, pipeline.list_assigner(sizes, len(rows)))
    try:
        found = index.vectors(np.arange(len(rows)))
    except errors.UsageError as exc:
        assert "do not come back through" in str(exc) and ("RepCONC" in any_key or "MRL" in any_key)
        return
    if pipeline.refine is not None:
        want = pipeline.refine.decode(encoded.finer)
    else:
        decoded = pipeline.codec.decode(encoded.codes)
        centroids = pipeline.residual_centroids
        want = pipeline.take_back(decoded if centroids is None else decoded + centroids[encoded.labels])
    np.testing.assert_array_equal(found, want)
