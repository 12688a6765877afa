"""A hybrid folder lives as every other: both sides of a document come, change and go in one commit."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.errors import DuplicateIdError, IndexChangedError, NotTrainedError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.merging import merge_indexes
from cluscomp.indexes.verify import verify_index
from tests.indexes.hybrid.conftest import DIM, KEY, N, ragged_rows, rows_of


def same(one, two, queries, **options):
    for a, b in zip(one.search(queries, 20, **options), two.search(queries, 20, **options), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("seed", range(3))
def test_random_life_is_that_of_both_sides(rows, queries, tmp_path, seed):
    """An index of vectors and one of words that are changed alike answer as the sides do, bit for bit."""
    rng = np.random.default_rng(seed)
    index = index_factory("IVF8,PQ4x4,RFlat+Sparse(bm25,bits=8)", DIM).train(rows)
    dense, lexical = index_factory("IVF8,PQ4x4,RFlat", DIM), index_factory("Sparse(bm25,bits=8)", 1)
    dense.train(rows.vectors)
    lexical.train(rows.terms)
    live, where = [], tmp_path / "i"
    for step in range(12):
        action = rng.choice(["add", "upsert", "delete", "compact", "save"])
        if action == "add" or len(live) < 30:
            ids = [f"{step}-{i}" for i in range(30)]
            part = rows[rng.choice(N, 30)]
            index.add(part, ids)
            dense.add(part.vectors, ids)
            lexical.add(part.terms, ids)
            live += ids
        elif action == "upsert":
            ids = [live[i] for i in rng.choice(len(live), 10, replace=False)]
            part = rows[rng.choice(N, 10)]
            assert index.upsert(part, ids) == 10
            dense.upsert(part.vectors, ids)
            lexical.upsert(part.terms, ids)
        elif action == "delete":
            ids = [live[i] for i in rng.choice(len(live), 7, replace=False)]
            live = [one for one in live if one not in ids]
            for one in (index, dense, lexical):
                one.delete(ids)
        elif action == "compact":
            for one in (index, dense, lexical):
                one.compact(segments=1, dead=0)
        else:
            index.save(where)
            assert verify_index(where) == []
            index = open_index(where)
        assert len(index) == len(live)
        k = min(20, len(live))
        for mine, own in (
            (index.dense.search(queries.vectors, k, nprobe=8), dense.search(queries.vectors, k, nprobe=8)),
            (index.lexical.search(queries.terms, k), lexical.search(queries.terms, k)),
        ):
            for a, b in zip(mine, own, strict=True):
                np.testing.assert_array_equal(a, b)


def test_a_generation_holds_both(index, rows, queries, tmp_path):
    index.save(tmp_path / "i")
    reader, writer = open_index(tmp_path / "i"), open_index(tmp_path / "i")
    before = reader.search(queries, 5)
    with writer.writer():
        writer.delete([f"d{i}" for i in range(50)])
        writer.add(rows_of(30, 3), [f"n{i}" for i in range(30)])
    for a, b in zip(reader.search(queries, 5), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert reader.refresh() and reader.generation == 2
    same(reader, writer, queries)
    assert len(reader) == len(reader.dense) == len(reader.lexical) == N - 20
    assert not {f"d{i}" for i in range(50)} & set(reader.search(queries, 20)[1].ravel())
    same(open_index(tmp_path / "i", generation=1), index, queries)


def test_two_writers(index, tmp_path):
    index.save(tmp_path / "i")
    one, two = open_index(tmp_path / "i"), open_index(tmp_path / "i")
    one.add(rows_of(5, 3), [f"a{i}" for i in range(5)]).save(tmp_path / "i")
    two.add(rows_of(5, 4), [f"b{i}" for i in range(5)])
    with pytest.raises(IndexChangedError):
        two.save(tmp_path / "i")
    two.save(tmp_path / "i", merge=True)
    assert len(open_index(tmp_path / "i")) == N + 10


def test_compaction_changes_no_result(index, queries):
    for seed in range(4):
        index.add(rows_of(50, 20 + seed), [f"{seed}.{i}" for i in range(50)])
    index.delete([f"d{i}" for i in range(0, N, 3)])
    before = index.search(queries, 20)
    report = index.compact(segments=1, dead=0)
    assert (report.segments_after, report.deleted) == (1, 0)
    for a, b in zip(index.search(queries, 20), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_records(index, rows):
    index.add(rows_of(1, 5), ["new"], documents=[("new", "A title", "a text")])
    record = index.get(["new"])[0]
    assert (record.title, record.text, record.vector.shape) == ("A title", "a text", (DIM,))
    np.testing.assert_array_equal(index.vectors(["d7"])[0], rows.vectors[7])
    assert set(index.terms(["d7"])[0]) == set(rows.terms.mapping(7))
    with pytest.raises(DuplicateIdError):
        index.add(rows_of(1, 6), ["new"])
    assert len(index.lexical) == len(index.dense) == N + 1  # nothing was added to one side alone


def test_merge(index, queries, tmp_path):
    index.save(tmp_path / "a")
    other = open_index(tmp_path / "a")
    other.delete(list(other.ids))
    other.add(rows_of(40, 8), [f"o{i}" for i in range(40)])
    other.save(tmp_path / "b")
    merge_indexes([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    index.add(rows_of(40, 8), [f"o{i}" for i in range(40)])
    same(open_index(tmp_path / "c"), index, queries)
    assert verify_index(tmp_path / "c") == []


def test_verify_finds_a_bit_of_either_side(index, tmp_path):
    index.save(tmp_path / "i")
    for name in ("codes", "words_rows", "words_chunk_maxima"):
        file = next((tmp_path / "i").glob(f"s*.{name}.npy"))
        whole = file.read_bytes()
        file.chmod(0o644)
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert {fault.file for fault in verify_index(tmp_path / "i", "sums")} == {file.name}
        file.write_bytes(whole)


def test_health_and_bytes(index, tmp_path):
    index.save(tmp_path / "i")
    assert index.health(probe=True, new=rows_of(100, 2).vectors).state in ("ok", "watch", "retrain")
    facts = index.describe()
    assert sum(size for part, size in facts["bytes"].items() if part != "total") == facts["bytes"]["total"]
    assert facts["bytes"]["postings"] and facts["bytes"]["words"] and facts["terms"]["postings"]
    assert index.code_bytes_per_document == pytest.approx(
        index.dense.code_bytes_per_document + index.lexical.code_bytes_per_document
    )


def test_documents_of_several_vectors(tmp_path):
    rows = ragged_rows()
    index = index_factory("Pool(f=1),IVF4,Flat+Sparse(bm25)", DIM).train(rows).add(rows)
    index.delete(range(10))
    index.save(tmp_path / "i")
    opened = open_index(tmp_path / "i")
    assert verify_index(tmp_path / "i") == [] and len(opened) == 70
    opened.compact(segments=1, dead=0)
    same(opened, index, ragged_rows(6, 3), candidates=80)


def test_fitted_pools_by_bytes():
    rows = ragged_rows(200)
    index = index_factory("Pool(bytes=64),PQ16x4+Sparse(bm25)", DIM).train(rows).add(rows)
    assert index.key == "Pool8,PQ16x4+Sparse(bm25)" and index.settings["asked_key"].startswith(
        "Pool(bytes=64)"
    )
    assert index.search(ragged_rows(3, 5), 4)[1].shape == (3, 4)


def test_untrained_and_wrong_rows(rows, tmp_path):
    index = index_factory(KEY, DIM)
    with pytest.raises(NotTrainedError, match="has not been trained"):
        index.add(rows)
    with pytest.raises(NotTrainedError, match="has not been trained"):
        index.save(tmp_path / "i")
