"""Clustered postings as the second side of a hybrid index: exact settings give the bits of `Sparse`."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cluscomp.errors import CorruptIndexError, UsageError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.build import build_index
from cluscomp.indexes.merging import merge_indexes
from cluscomp.indexes.verify import verify_index
from tests.indexes.hybrid.conftest import DIM, N, ragged_rows, rows_of
from tests.indexes.hybrid.test_build import DOCUMENTS, Letters, same

EXACT = "Seismic(bm25,n_postings=0,summary_energy=1)"
ALL = {"query_cut": 0, "heap_factor": 1.0}


@pytest.mark.parametrize(("vectors", "make"), [("IVF8,Flat", rows_of), ("Pool(f=1),IVF4,Flat", ragged_rows)])
def test_exact_settings_are_the_inverted_file(vectors, make, tmp_path):
    rows, asked = make(seed=2), make(9, 5)
    plain = index_factory(f"{vectors}+Sparse(bm25)", DIM).train(rows).add(rows)
    index = index_factory(f"{vectors}+{EXACT}", DIM).train(rows).add(rows)
    for one, two in zip(index.search(asked, 20, **ALL), plain.search(asked, 20), strict=True):
        np.testing.assert_array_equal(one, two)
    index.save(tmp_path / "i")
    assert verify_index(tmp_path / "i") == []
    same(open_index(tmp_path / "i"), index, asked, **ALL)
    assert index.search_defaults()["query_cut"] == 10 and "query_cut" not in plain.search_defaults()
    index.lexical.query_cut, index.lexical.heap_factor = 0, 1.0  # saved with the index
    index.save(tmp_path / "i")
    opened = open_index(tmp_path / "i")
    assert opened.search_defaults()["query_cut"] == 0
    same(opened, index, asked)


def test_settings_reach_the_search_of_terms():
    rows, asked = rows_of(seed=3), rows_of(20, 8)
    index = index_factory("Flat+Seismic(bm25)", DIM).train(rows).add(rows)
    common = {"k": 20, "k_beyond": "clip"}
    few, all_terms = (
        index._candidates(index._sides(index._together), asked, common, {}, {"query_cut": cut})[0]
        for cut in (1, 0)
    )
    assert (few.positions >= 0).sum() < (all_terms.positions >= 0).sum()
    plain = index_factory("Flat+Sparse(bm25)", DIM).train(rows).add(rows)
    for name in ("query_cut", "heap_factor"):
        with pytest.raises(UsageError, match=f"{name}: no argument"):
            plain.search(asked, 3, **{name: 1})
    with pytest.raises(UsageError, match="query_cut"):
        index.search(asked, 3, query_cut=-1)


def test_life(tmp_path):
    rows, asked = rows_of(seed=4), rows_of(5, 6)
    index = index_factory(f"IVF8,PQ4x4,RFlat+{EXACT}", DIM).train(rows)
    index.add(rows[:200], [f"a{i}" for i in range(200)]).add(rows[200:], [f"b{i}" for i in range(N - 200)])
    index.upsert(rows_of(10, 7), [f"a{i}" for i in range(10)])
    index.delete([f"b{i}" for i in range(50)])
    before = index.search(asked, 20, filter=[f"a{i}" for i in range(100)])
    index.save(tmp_path / "i")
    index.compact(segments=1, dead=0)
    for one, two in zip(index.search(asked, 20, filter=[f"a{i}" for i in range(100)]), before, strict=True):
        np.testing.assert_array_equal(one, two)
    other = open_index(tmp_path / "i")
    other.delete(list(other.ids))
    other.add(rows_of(30, 8), [f"c{i}" for i in range(30)])
    other.save(tmp_path / "o")
    merge_indexes([tmp_path / "i", tmp_path / "o"], tmp_path / "m")
    assert len(open_index(tmp_path / "m")) == N - 50 + 30 and verify_index(tmp_path / "m") == []
    with pytest.raises(UsageError, match=r"index\.dense\.score"):
        index.score(asked, ["a1"])
    assert index.lexical.score(asked.terms, ["a1", "a2"]).shape == (5, 2)


def test_built_from_texts_is_the_index_made_in_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    from cluscomp.encoders.hybrid import HybridEncoder

    key, both = "Flat+Seismic(bm25,bits=8)", HybridEncoder(Letters())
    build_index(DOCUMENTS, index_key=key, encoder=Letters(), output=tmp_path / "i")
    index = open_index(tmp_path / "i", verify=True)
    rows = both.encode_documents([f"{title} {text}" for _, title, text in DOCUMENTS])
    whole = index_factory(key, 26).train(rows).add(rows, [name for name, _, _ in DOCUMENTS])
    same(index, whole, both.encode_queries(["title w3 w7", "w11", "nothing"]))
    facts = index.describe()
    assert facts["terms"]["blocks"] and facts["bytes"]["summaries"] and facts["bytes"]["blocks"]
    assert sum(size for part, size in facts["bytes"].items() if part != "total") == facts["bytes"]["total"]


@pytest.mark.parametrize("wrong", [{"weight": 5}, {"depth": 0}, {"query_cut": -1}, {"nprobe": 0}])
def test_inconsistent_settings_are_found(tmp_path, wrong):
    rows = rows_of(60)
    index_factory("IVF2,Flat+Seismic(bm25)", DIM).train(rows).add(rows).save(tmp_path / "i")
    path = tmp_path / "i" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["settings"] |= wrong
    path.write_text(json.dumps(manifest))
    with pytest.raises(CorruptIndexError):
        open_index(tmp_path / "i")
