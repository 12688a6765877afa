"""Hybrid indexes under another key: the terms stay as they are, beside new codes of the vectors or alone."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.errors import OutputExistsError, UsageError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.conversion import convert_index
from cluscomp.indexes.verify import verify_index
from cluscomp.terms import HybridRows
from tests.indexes.hybrid.conftest import DIM, N, ragged_rows, rows_of

TERMS = "Sparse(bm25,bits=8)"
KEY = f"IVF8,SQ8+{TERMS}"


@pytest.fixture
def old(rows, tmp_path):
    """An index of two segments with deleted rows, attributes, texts and settings."""
    index = index_factory(KEY, DIM).train(rows)
    for part, name in ((slice(0, 300), "a"), (slice(300, N), "b")):
        some = rows[part]
        ids = [f"{name}{i}" for i in range(len(some))]
        index.add(
            some, ids, attributes={"year": list(range(len(some)))}, new_attributes=True,
            documents=[(i, f"title of {i}", "") for i in ids],
        )  # fmt: skip
    index.delete([f"a{i}" for i in range(0, 300, 3)])
    index.weight, index.depth = 0.3, 50
    index.encoder = {"kind": "hybrid", "name": "x", "vectors": {"name": "v"}, "words": {"name": "w"}}
    index.save(tmp_path / "old")
    return index


def same(one, two):
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("key", [f"Flat+{TERMS}", f"IVF4,PQ8+{TERMS}", f"OPQ4,PQ4,RFlat+{TERMS}"])
def test_new_codes_beside_the_terms(old, queries, tmp_path, key):
    report = convert_index(tmp_path / "old", tmp_path / "new", index_key=key)
    new = open_index(tmp_path / "new", verify=True)
    assert (report.key, new.key, len(new), new.n_deleted) == (key, key, len(old), 0)
    assert report.dropped == 100 and report.coded_twice and report.added_error < 0.8 and report.texts
    assert verify_index(tmp_path / "new") == [] and not list(tmp_path.glob(".new*"))
    assert new.ids.tolist() == old.ids.tolist() and new.encoder == old.encoder
    same(new.lexical.search(queries.terms, 20), old.lexical.search(queries.terms, 20))
    same(
        new.lexical.search(queries.terms, 5, filter="year < 50"),
        old.lexical.search(queries.terms, 5, filter="year < 50"),
    )
    assert (new.weight, new.depth) == (0.3, 50) and new.get(["b7"])[0].title == "title of b7"
    twin = index_factory(key.partition("+")[0], DIM)
    x = old.vectors(old.ids.tolist())
    twin.train(x).add(x, old.ids.tolist())
    same(new.dense.search(queries.vectors, 20), twin.search(queries.vectors, 20))
    new.add(rows_of(5, 3), [f"c{i}" for i in range(5)])
    assert len(new) == len(old) + 5


def test_from_the_vectors_themselves(old, rows, queries, tmp_path):
    names = [f"a{i}" for i in range(300)] + [f"b{i}" for i in range(N - 300)]
    report = convert_index(
        tmp_path / "old", tmp_path / "new", index_key=f"Flat+{TERMS}", source=rows.vectors, ids=names
    )
    assert report.vectors_from == "source" and report.added_error == 0
    new = open_index(tmp_path / "new")
    np.testing.assert_array_equal(new.vectors(["b9"])[0], rows.vectors[309])
    same_key = convert_index(
        tmp_path / "old", tmp_path / "same", index_key=KEY, source=rows.vectors, ids=names
    )
    assert same_key.vectors_from == "source"


@pytest.mark.parametrize("key", ["IVF8,SQ8", "PQ8", TERMS, KEY])
def test_one_side_alone(old, queries, tmp_path, key):
    report = convert_index(tmp_path / "old", tmp_path / "new", index_key=key)
    new = open_index(tmp_path / "new", verify=True)
    assert new.key == report.key == key and new.ids.tolist() == old.ids.tolist()
    assert verify_index(tmp_path / "new") == [] and new.get(["b7"])[0].title == "title of b7"
    assert new.get(["b7"], vectors=False)[0].attributes == {"year": 7}
    if key == TERMS:
        assert new.encoder == {"name": "w"} and report.vectors_from is None
        same(new.search(queries.terms, 20), old.lexical.search(queries.terms, 20))
    elif key == KEY:
        assert new.encoder == old.encoder and new.weight == 0.3
        same(new.search(queries, 20, nprobe=8), old.search(queries, 20, nprobe=8))
    else:
        assert new.encoder == {"name": "v"} and report.coded_twice == (key == "PQ8")
    if key == "IVF8,SQ8":  # nothing is encoded
        same(new.search(queries.vectors, 20, nprobe=8), old.dense.search(queries.vectors, 20, nprobe=8))
    new.save(tmp_path / "copy")
    assert open_index(tmp_path / "copy").key == key


def test_several_vectors_a_document(tmp_path):
    rows = ragged_rows()
    index = index_factory(f"Pool(f=1),IVF4,SQ8+{TERMS}", DIM).train(rows).add(rows)
    index.delete([3])
    index.save(tmp_path / "old")
    convert_index(tmp_path / "old", tmp_path / "new", index_key=f"Pool(f=1),Flat+{TERMS}")
    new = open_index(tmp_path / "new")
    assert len(new) == len(rows) - 1 and verify_index(tmp_path / "new") == []
    assert new.search(ragged_rows(3, 5), 5)[1].shape == (3, 5)
    convert_index(tmp_path / "old", tmp_path / "late", index_key="Pool(f=1),IVF4,SQ8")
    late = open_index(tmp_path / "late")
    assert late.key == "Pool(f=1),IVF4,SQ8" and len(late) == len(new)
    convert_index(tmp_path / "old", tmp_path / "x.npy", to="npy")
    assert np.load(tmp_path / "x.lengths.npy").sum() == len(np.load(tmp_path / "x.npy"))
    with pytest.raises(UsageError, match="index of documents with the key"):
        convert_index(tmp_path / "old", tmp_path / "no", index_key=f"Flat+{TERMS}")


def test_several_vectors_a_document_are_no_rows_of_parquet(tmp_path):
    pytest.importorskip("pyarrow", reason="needs the extra 'parquet'")
    rows = ragged_rows()
    index_factory(f"Pool(f=1),IVF4,SQ8+{TERMS}", DIM).train(rows).add(rows).save(tmp_path / "i")
    with pytest.raises(UsageError, match="documents have several"):
        convert_index(tmp_path / "i", tmp_path / "x.parquet", to="parquet")


def test_clustered_postings_stay(rows, queries, tmp_path):
    index = index_factory("SQ8+Seismic(bm25)", DIM).train(rows).add(rows)
    index.lexical.query_cut = 3
    index.save(tmp_path / "old")
    convert_index(tmp_path / "old", tmp_path / "new", index_key="PQ8+Seismic(bm25)")
    new = open_index(tmp_path / "new")
    assert new.search_defaults()["query_cut"] == 3
    same(new.lexical.search(queries.terms, 20), index.lexical.search(queries.terms, 20))
    convert_index(tmp_path / "old", tmp_path / "terms", index_key="Seismic(bm25)")
    assert open_index(tmp_path / "terms").query_cut == 3


def test_what_cannot_be_converted(old, rows, tmp_path):
    for key, message in (
        ("Flat+Sparse(bm25)", "another key of terms"),
        ("Sparse(bm25)", "another key of terms"),
        ("Flat+Seismic(bm25)", "another key of terms"),
        ("Pool4,PQ8", "index of vectors"),
    ):
        with pytest.raises(UsageError, match=message):
            convert_index(tmp_path / "old", tmp_path / "no", index_key=key)
    with pytest.raises(UsageError, match="leave them out"):
        convert_index(tmp_path / "old", tmp_path / "no", index_key=TERMS, source=rows.vectors)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputExistsError):
        convert_index(tmp_path / "old", tmp_path / "file", index_key=f"Flat+{TERMS}")
    report = convert_index(tmp_path / "old", tmp_path / "no", index_key=f"PQ8+{TERMS}", dry_run=True)
    assert report.key == f"PQ8+{TERMS}" and report.bytes == 0
    assert not (tmp_path / "no").exists() and isinstance(rows, HybridRows)
