"""Indexes of documents: scores against MaxSim in float64, ids, deletion, folders, wrong calls."""

from __future__ import annotations

import numpy as np
import pytest
from stored_files import file_of

import cluscomp as cc
from cluscomp.errors import (
    CorruptIndexError,
    DimensionError,
    DuplicateIdError,
    InputError,
    NonFiniteError,
    NotTrainedError,
    SubsampleWarning,
    UsageError,
)
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.multivector import search as search_module
from cluscomp.indexes.multivector.index import MultiVectorIndex


def decoded(index: MultiVectorIndex) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and lengths that the codes of all segments stand for, behind the transforms."""
    parts = [s.searchable(index.pipeline).vectors(0, s.n_vectors) for s in index.segments]
    return np.concatenate(parts), np.concatenate([np.diff(s.doc_offsets) for s in index.segments])


def plain_maxsim(queries, query_lengths, x, lengths) -> np.ndarray:
    """float64 scores (nq, n) by two loops."""
    starts, query_starts = np.cumsum(lengths) - lengths, np.cumsum(query_lengths) - query_lengths
    x, queries = x.astype(np.float64), queries.astype(np.float64)
    return np.array(
        [
            [
                (queries[qs : qs + qn] @ x[s : s + n].T).max(axis=1).sum()
                for s, n in zip(starts, lengths, strict=True)
            ]
            for qs, qn in zip(query_starts, query_lengths, strict=True)
        ]
    )


def everything(index) -> dict[str, int]:
    """Search settings with which nothing is left out."""
    return {"refine_factor": len(index), "candidates": len(index)}


def test_scores_are_those_of_the_decoded_vectors(key, make_documents, questions):
    index = make_documents(key)
    q, lengths = questions
    scores, ids = index.search(q, len(index), lengths=lengths, **everything(index))
    x, kept = decoded(index)
    queries = index.pipeline.project(index.pipeline.base_rows(q))
    if index.pipeline.refine is not None:
        x = index.pipeline.refine.decode(index.segments[0].refine)
        queries = index.pipeline.base_rows(q)
    want = plain_maxsim(queries, lengths, x, kept)
    np.testing.assert_allclose(scores, np.take_along_axis(want, ids, axis=1), atol=2e-5)
    np.testing.assert_allclose(scores, -np.sort(-want, axis=1), atol=2e-5)


def test_exact_keys_are_maxsim_of_the_pooled_vectors(documents, questions):
    x, lengths = documents
    q, query_lengths = questions
    for key, (vectors, kept) in {
        "Pool(f=1),Flat": (x, lengths),
        "Pool4(ward),Flat": cc.pool_tokens(x, lengths, max_vectors=4),
        "Pool(f=3,method=ward),Flat": cc.pool_tokens(x, lengths, factor=3),
    }.items():
        index = index_factory(key, x.shape[1]).add(x, lengths=lengths)
        scores, ids = index.search(q, 150, lengths=query_lengths)
        want = cc.maxsim(q, query_lengths, vectors, kept)
        np.testing.assert_allclose(scores, np.take_along_axis(want, ids, axis=1), atol=2e-6)


def test_a_document_finds_itself(key, make_documents, documents):
    x, lengths = documents
    index = make_documents(key)
    ends = np.cumsum(lengths)
    hits = 0
    for document in np.flatnonzero(lengths >= 4):
        own = x[ends[document] - lengths[document] : ends[document]]
        hits += index.search(own, 1)[1][0, 0] == document
    assert hits >= 0.9 * np.sum(lengths >= 4)


def test_segments_and_deletion_change_no_other_document(key, make_documents, documents, questions):
    if "BIVF" in key:
        pytest.skip("where a row goes depends on how full its lists were")
    x, lengths = documents
    q, query_lengths = questions
    names = [f"doc {i}" for i in range(150)]
    whole = make_documents(key, names)
    parts = make_documents(key, names)
    parts._segments, parts._id_kind = (), None
    cut = int(lengths[:60].sum())
    parts.add(x[:cut], lengths=lengths[:60], ids=names[:60]).add(
        x[cut:], lengths=lengths[60:], ids=names[60:]
    )
    k = 150
    for index in (whole, parts):
        settings = everything(index)
    expected = whole.search(q, k, lengths=query_lengths, **settings)
    for got, want in zip(parts.search(q, k, lengths=query_lengths, **settings), expected, strict=True):
        np.testing.assert_array_equal(got, want)
    searched = [segment.searchable(parts.pipeline) for segment in parts.segments]
    assert parts.delete(["doc 3", "doc 149"]) == 2
    assert [
        segment.searchable(parts.pipeline) for segment in parts.segments
    ] == searched  # nothing is rebuilt
    scores, ids = parts.search(q, 148, lengths=query_lengths, **settings)
    for row in range(len(query_lengths)):
        keep = ~np.isin(expected[1][row], ["doc 3", "doc 149"])
        np.testing.assert_array_equal(ids[row], expected[1][row][keep])
        np.testing.assert_array_equal(scores[row], expected[0][row][keep])
    assert len(parts) == 148 and parts.n_deleted == 2
    parts.add(x[: lengths[0]], lengths=lengths[:1], ids=["doc 3"])
    assert parts.search(x[: lengths[0]], 149)[1].shape == (1, 149)


def test_folder(key, make_documents, questions, tmp_path):
    q, lengths = questions
    index = make_documents(key, [f"d{i}" for i in range(150)])
    index.delete(["d7"])
    index.save(tmp_path / "index")
    opened = open_index(tmp_path / "index", verify=True)
    assert isinstance(opened, MultiVectorIndex) and opened.key == index.key
    for got, want in zip(
        opened.search(q, 20, lengths=lengths), index.search(q, 20, lengths=lengths), strict=True
    ):
        np.testing.assert_array_equal(got, want)
    sizes = opened.describe()["bytes"]
    assert sizes["total"] == sum(path.stat().st_size for path in (tmp_path / "index").iterdir())
    assert sizes == index.nbytes()
    assert isinstance(opened.segments[0].codes["codes"].base, np.memmap)
    opened.delete(["d8"])
    opened.save(tmp_path / "index")  # home: unchanged files are linked
    assert len(open_index(tmp_path / "index")) == 148


def test_facts(documents, make_documents):
    _, lengths = documents
    described = make_documents("Pool4,IVF8,PQ12").describe()
    facts = described["vectors"]
    kept = int(np.minimum(lengths, 4).sum())
    assert facts["n_vectors"] <= kept
    assert described["code_bytes_per_document"] == pytest.approx(12 * facts["n_vectors"] / 150, abs=0.01)
    headers = 3 * 128  # codes, lists, offsets
    stored = facts["n_vectors"] * (12 + 2) + 8 * 151 + headers
    assert facts["stored_bytes_per_document"] == pytest.approx(stored / 150, abs=0.01)
    learned = 2000 * 24 * 2 + 6 * 4 + 2 * 128  # of the pool: sample in float16, settings of the fit
    assert facts["trained_bytes"] == (8 * 24 + 256 * 24) * 4 + 2 * 128 + learned


def test_bytes_choose_vectors_and_the_size_of_their_codes(tmp_path):
    asked = "Pool(bytes=768),OPQ,IVF1024,PQ"
    index = index_factory(asked, 384)
    assert index.key == "Pool16,OPQ48,IVF1024,PQ48"
    assert index.describe()["settings"]["asked_key"] == asked
    assert index_factory("Pool(bytes=384),PQ", 384).key == "Pool12,PQ32"
    assert index_factory("Pool(bytes=3072),PQ,RFlat", 384).key == "Pool32,PQ96,RFlat"
    assert index_factory("Pool(bytes=100),PCA128,OPQ,PQ", 384).key == "Pool12,PCA128,OPQ8,PQ8"
    for dim in (1, 7, 127, 128, 768):
        for size in (1, 5, 100, 10**6):
            spec = index_factory(f"Pool(bytes={size}),PQ", dim).spec
            assert dim % spec.codec.m == 0
            assert size - spec.codec.m < spec.pool.n * spec.codec.m <= size
    fixed = index_factory("Pool(bytes=768),PQ96", 384)
    assert fixed.key == "Pool8,PQ96"


def test_forms_of_input(make_documents, questions):
    q, query_lengths = questions
    ends = np.cumsum(query_lengths)
    listed = [q[end - n : end] for end, n in zip(ends, query_lengths, strict=True)]
    index = make_documents("Pool4,IVF8,PQ12")
    want = index.search(q, 9, lengths=query_lengths)
    for got in (
        index.search(listed, 9),
        index.search(q.astype(np.float64), 9, lengths=query_lengths.tolist()),
    ):
        np.testing.assert_array_equal(got[1], want[1])
    one = index.search(listed[2], 9)
    np.testing.assert_array_equal(one[0][0], want[0][2])
    cube = index.search(np.stack([q[:3], q[3:6]]), 9)
    np.testing.assert_array_equal(cube[1], index.search(q[:6], 9, lengths=[3, 3])[1])
    torch = pytest.importorskip("torch")
    got = index.search([torch.from_numpy(part) for part in listed], 9)
    np.testing.assert_array_equal(got[1], want[1])


def test_float16_and_memory_maps(documents, tmp_path):
    x, lengths = documents
    np.save(tmp_path / "x.npy", x.astype(np.float16))
    index = index_factory("Pool4,IVF8,PQ12", x.shape[1])
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    index.train(mapped, lengths=lengths).add(mapped, lengths=lengths)
    again = index_factory("Pool4,IVF8,PQ12", x.shape[1])
    again.train(x.astype(np.float16), lengths=lengths).add(np.array(mapped), lengths=lengths)
    np.testing.assert_array_equal(index.segments[0].codes["codes"], again.segments[0].codes["codes"])


def test_cosine_normalises(documents, questions):
    x, lengths = documents
    q, query_lengths = questions
    scale = np.linspace(0.1, 7, len(x))[:, None]
    index = index_factory("Pool(f=1),Flat", x.shape[1], "cosine").add(x * scale, lengths=lengths)
    got = index.search(3 * q, 9, lengths=query_lengths)
    want = (
        index_factory("Pool(f=1),Flat", x.shape[1])
        .add(x, lengths=lengths)
        .search(q, 9, lengths=query_lengths)
    )
    np.testing.assert_allclose(got[0], want[0], atol=1e-5)


def test_a_sample_of_documents_trains(documents, monkeypatch):
    x, lengths = documents
    monkeypatch.setattr("cluscomp.indexes.contents.training_rows", lambda spec: 300)
    index = index_factory("Pool4,PQ12x4", x.shape[1])
    with pytest.warns(SubsampleWarning, match="of 150 documents"):
        index.train(x, lengths=lengths)
    assert index.settings["training_rows"] <= 300


def test_scores_do_not_depend_on_blocks(make_documents, questions, monkeypatch):
    q, lengths = questions
    index = make_documents("Pool4,PQ12")
    want = index.search(q, 30, lengths=lengths)
    monkeypatch.setattr(search_module, "QUERY_BLOCK", 2)
    for got, expected in zip(index.search(q, 30, lengths=lengths), want, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_wrong_calls(documents, make_documents):
    x, lengths = documents
    with pytest.raises(UsageError, match="MaxSim.*'ip' and 'cosine'"):
        index_factory("Pool4,Flat", 24, "l2")
    with pytest.raises(UsageError, match="12 bytes; allow at least 12"):
        index_factory("Pool(bytes=8),PQ12", 24)
    index = index_factory("Pool4,PQ12", 24)
    with pytest.raises(NotTrainedError):
        index.add(x, lengths=lengths)
    index = make_documents("Pool4,IVF8,PQ12", [f"d{i}" for i in range(150)])
    with pytest.raises(UsageError, match="holds 150 rows"):
        index.train(x, lengths=lengths)
    with pytest.raises(DimensionError, match="add up to"):
        index.search(x[:5], 3, lengths=[4])
    with pytest.raises(DimensionError, match="index has dim 24, queries have dim 5"):
        index.search(np.ones((2, 5)), 3)
    with pytest.raises(InputError, match="query 1 has 0 vectors"):
        index.search(x[:2], 3, lengths=[2, 0])
    with pytest.raises(InputError, match="id 'b'.*0 vectors"):
        index.add(x[:2], lengths=[2, 0], ids=["a", "b"])
    with pytest.raises(NonFiniteError, match="id 'b'"):
        index.add(np.where(np.arange(24) == 3, np.nan, x[:4]), lengths=[1, 3], ids=["b", "c"])
    with pytest.raises(DuplicateIdError):
        index.add(x[:2], lengths=[2], ids=["d5"])
    with pytest.raises(DimensionError, match="2 rows, but 1 ids"):
        index.add(x[:2], lengths=[1, 1], ids=["x"])
    with pytest.raises(UsageError, match="k=151"):
        index.search(x[:2], 151)
    assert len(index) == 150


def test_damaged_lists_are_refused(make_documents, questions, tmp_path):
    q, lengths = questions
    make_documents("Pool4,IVF8,PQ12").save(tmp_path / "index")
    path = file_of(tmp_path / "index", "segment0.lists")
    data = bytearray(path.read_bytes())
    data[-1] = 255
    path.write_bytes(data)
    with pytest.raises(CorruptIndexError, match="index has 8 lists"):
        open_index(tmp_path / "index").search(q, 3, lengths=lengths)
