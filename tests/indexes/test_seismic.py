"""Indexes of clustered postings: the hits of the exact index where the settings say so, through every change."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from cluscomp.errors import CorruptIndexError, UsageError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.keys.grammar import parse_key
from cluscomp.indexes.merging import merge_indexes
from cluscomp.indexes.sparse import clustered_index
from cluscomp.indexes.verify import verify_index

ALL = "summary_energy=1,n_postings=0"
KEYS = {
    f"Seismic({ALL})": "Sparse",
    f"Seismic(bits=16,{ALL})": "Sparse(bits=16)",
    f"Seismic(bits=8,{ALL})": "Sparse(bits=8)",
    f"Seismic(bm25,{ALL})": "Sparse(bm25)",
    f"Seismic(bm25,bits=8,{ALL})": "Sparse(bm25,bits=8)",
}


def rows_of(key, n, seed=0, terms=60):
    """Rows or texts of 0 to 20 terms, few of them frequent."""
    rng = np.random.default_rng(seed)
    chances = 1 / np.arange(1, terms + 1)
    chosen = [rng.choice(terms, rng.integers(0, 21), p=chances / chances.sum()) for _ in range(n)]
    if "bm25" in key:
        return [" ".join(f"w{term:02}" for term in some) for some in chosen]
    return [{f"w{term:02}": float(rng.random()) + 0.1 for term in some} for some in chosen]


def exact(key, rows, ids=None):
    return index_factory(KEYS[key], 1).train(rows).add(rows, ids)


def seismic(key, rows, ids=None):
    index = index_factory(key, 1).train(rows).add(rows, ids)
    index.query_cut, index.heap_factor = 0, 1.0
    return index


def assert_same(one, other, queries, k=10, **options):
    for found, expected in zip(
        one.search(queries, k, **options), other.search(queries, k, **options), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


class TestExact:
    @pytest.mark.parametrize("key", KEYS)
    def test_grown_shrunk_and_compacted(self, key, tmp_path):
        rows, queries = rows_of(key, 700), rows_of(key, 25, seed=9)
        indexes = []
        for make in (seismic, exact):
            index = make(key, rows, list(range(700)))
            index.delete(list(range(0, 650, 3)))
            index.upsert(rows[650:], list(range(1, 51)))
            index.add(rows[:20])
            indexes.append(index)
        ours, plain = indexes
        assert_same(ours, plain, queries)
        ours.save(tmp_path / "i")
        opened = open_index(tmp_path / "i", verify=True)
        assert verify_index(tmp_path / "i") == [] and (opened.query_cut, opened.heap_factor) == (0, 1.0)
        assert_same(opened, plain, queries)
        opened.compact(segments=1, dead=0.0)
        assert (len(opened.segments), opened.n_deleted) == (1, 0)
        assert_same(opened, plain, queries)
        opened.save(tmp_path / "i")
        assert_same(open_index(tmp_path / "i"), plain, queries)
        assert_same(pickle.loads(pickle.dumps(ours)), plain, queries)  # noqa: S301
        names = [3 * i + 1 for i in range(60, 90)]
        np.testing.assert_array_equal(ours.score(queries, names), plain.score(queries, names))
        assert ours.terms(names) == plain.terms(names)

    def test_compacted_is_what_one_add_makes(self):
        key = "Seismic(bits=8)"
        rows = rows_of(key, 500)
        grown = index_factory(key, 1).train(rows).add(rows[:200]).add(rows[200:])
        grown.delete(list(range(100, 220)))
        grown.compact(segments=1, dead=0.0)
        fresh = index_factory(key, 1).train(rows).add(rows[:100] + rows[220:])
        for name, array in fresh.segments[0].arrays().items():
            np.testing.assert_array_equal(array, grown.segments[0].arrays()[name], err_msg=name)

    def test_merged(self, tmp_path):
        key = f"Seismic(bm25,{ALL})"
        rows, queries = rows_of(key, 200), rows_of(key, 20, seed=5)
        index_factory(key, 1).train(rows).save(tmp_path / "empty")
        for number in (0, 1):
            part = open_index(tmp_path / "empty")
            names = range(number * 100, number * 100 + 100)
            part.add(rows[number * 100 :][:100], names).save(tmp_path / f"{number}")
        merge_indexes([tmp_path / "0", tmp_path / "1"], tmp_path / "both")
        both = open_index(tmp_path / "both")
        both.query_cut, both.heap_factor = 0, 1.0
        assert_same(both, exact(key, rows), queries)

    @pytest.mark.parametrize("most", [10_000, 0])
    def test_filters(self, monkeypatch, most):
        """Few passing rows are all scored; among more, blocks are opened: here both are exact."""
        monkeypatch.setattr(clustered_index, "DIRECT_ROWS", most)
        key = f"Seismic({ALL})"
        rows, queries = rows_of(key, 400), rows_of(key, 20, seed=9)
        attributes = {"year": np.arange(400) % 7}
        ours, plain = (
            index_factory(one, 1).add(rows[:300], attributes={"year": attributes["year"][:300]})
            .add(rows[300:], attributes={"year": attributes["year"][300:]})
            for one in (key, "Sparse")
        )  # fmt: skip
        ours.query_cut, ours.heap_factor = 0, 1.0
        assert_same(ours, plain, queries, filter="year in (2, 5)")
        assert_same(ours, plain, queries, filter="year > 100")
        info = ours.search(queries, 3, filter="year in (2, 5)", return_info=True)[2]
        assert (info.path == ("direct" if most else "lists")).all() and (info.complete.all() or not most)
        assert (info.rows_scored.max() > 0) and (info.rows_scored <= info.allowed).all()

    def test_few_passing_rows_are_all_found(self):
        """Also where the cut lists hold none of them."""
        rows = [{"a": 2.0} for _ in range(50)] + [{"a": 1.0, "b": 0.1 + i} for i in range(3)]
        index = index_factory("Seismic(n_postings=1,max_fraction=1)", 1)
        index.add(rows, attributes={"late": np.arange(53) >= 50})
        assert index.search([{"a": 1.0}], 5, filter="late == true")[1].tolist() == [[50, 51, 52]]


class TestApproximate:
    def test_most_hits_are_found_and_scores_are_exact(self):
        key = "Seismic(bm25,bits=8)"
        rows, queries = rows_of(key, 3000, terms=400), rows_of(key, 100, seed=9, terms=400)
        queries = [query for query in queries if query]
        ours, plain = (index_factory(k, 1).train(rows).add(rows) for k in (key, "Sparse(bm25,bits=8)"))
        scores, ids = ours.search(queries, 10)
        best = plain.search(queries, 10)[0]
        share = np.mean(scores >= best[:, -1:])
        assert 0.8 < share <= 1
        finite = [row[row > -np.inf] for row in scores]
        for query, names, found in zip(queries, ids, finite, strict=True):
            np.testing.assert_array_equal(plain.score([query], names[: len(found)])[0], found)
        fewer = np.mean(ours.search(queries, 10, query_cut=2, heap_factor=1.5)[0] >= best[:, -1:])
        assert fewer < share

    def test_filters_that_all_rows_pass_change_no_bit(self):
        rows, queries = rows_of("Seismic", 900), rows_of("Seismic", 30, seed=9)
        index = index_factory("Seismic", 1).add(rows, attributes={"one": np.ones(900, dtype=np.int64)})
        plain = index.search(queries, 10, query_cut=2)
        *found, info = index.search(queries, 10, query_cut=2, filter="one == 1", return_info=True)
        for one, other in zip(found, plain, strict=True):
            np.testing.assert_array_equal(one, other)
        assert (info.path == "lists").all() and info.rows_scored.max() < 900

    def test_seed(self):
        rows = rows_of("Seismic", 300)
        one, same, other = (
            index_factory("Seismic", 1, seed=seed).add(rows).segments[0].stored["block_rows"]
            for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(one, same)
        assert one.shape != other.shape or (one != other).any()

    def test_facts(self, tmp_path):
        rows = rows_of("Seismic", 300)
        index = index_factory("Seismic(bits=16)", 1).add(rows)
        index.save(tmp_path / "i")
        facts = open_index(tmp_path / "i").describe()
        sizes, postings = facts["bytes"], sum(len(row) for row in rows)
        assert (
            facts["terms"]["postings"] == postings and facts["terms"]["blocks"] == index.segments[0].n_blocks
        )
        searched = sum(sizes[part] for part in ("codes", "blocks", "summaries"))
        assert facts["terms"]["bytes_per_posting"] == round(searched / postings, 2)
        assert sum(sizes.values()) - sizes["total"] == sizes["total"]
        assert facts["search_defaults"] == {"query_cut": 10, "heap_factor": 0.9}


class TestWrongInput:
    def test_settings_of_a_search(self):
        index = index_factory("Seismic", 1).add([{"a": 1.0}])
        with pytest.raises(UsageError, match="query_cut must be an integer of at least 0, but is -1"):
            index.search([{"a": 1.0}], 1, query_cut=-1)
        with pytest.raises(UsageError, match="heap_factor must be"):
            index.search([{"a": 1.0}], 1, heap_factor=-0.5)
        with pytest.raises(UsageError, match="heap_factor must be"):
            index.heap_factor = float("nan")

    def test_settings_that_a_folder_holds(self, tmp_path):
        index = index_factory("Seismic", 1).add([{"a": 1.0}])
        index.settings["query_cut"] = -3
        index.save(tmp_path / "i")
        with pytest.raises(CorruptIndexError, match="query_cut"):
            open_index(tmp_path / "i")

    @pytest.mark.parametrize(
        ("key", "message"),
        [
            ("Seismic(summary_energy=2)", "summary_energy in Seismic"),
            ("Seismic(n_postings=x)", "must be a whole number"),
            ("Seismic(min_cluster_size=0)", "at least 1"),
            ("Seismic(blocks=3)", "'blocks' is no setting; known are bm25, k1=, b=, bits=, n_postings="),
            ("Seismic(bits=4)", "must be 8, 16 or 32"),
            ("Seismic(k1=2)", r"write Seismic\(bm25,k1=2\)"),
            ("Seismic(doc_cut=1,doc_cut=2)", "twice"),
            ("PCA8,Seismic", "Seismic"),
        ],
    )
    def test_keys(self, key, message):
        with pytest.raises(UsageError, match=message):
            parse_key(key)

    @pytest.mark.parametrize(
        ("name", "change", "fault"),
        [
            ("row_starts", lambda a: a.__setitem__(3, 0), "does not rise"),
            ("block_starts", lambda a: a.__setitem__(-1, 1), "does not rise"),
            ("row_terms", lambda a: a.__setitem__(slice(None), 7), "terms of a row do not rise"),
            ("block_rows", lambda a: a.__setitem__(5, 900), "rows of a block do not rise"),
            ("row_weights", lambda a: a.__setitem__(5, np.nan), "row 5 of"),
            ("entry_blocks", lambda a: a.__setitem__(2, 60_000), "does not have"),
            ("entry_terms", lambda a: a.__setitem__(slice(None), 0), "do not rise by term"),
        ],
    )
    def test_deep_verification(self, name, change, fault):
        index = index_factory("Seismic", 1).add(rows_of("Seismic", 300))
        (segment,) = index.segments
        array = segment.stored[name].copy()
        change(array)
        segment = replace(segment, stored={**segment.stored, name: array})
        assert fault in dict(segment.faults(index.pipeline))[name]
        index._segments = (segment,)
        if name in ("row_starts", "block_rows"):
            with pytest.raises(CorruptIndexError, match="damaged"):
                index.search(rows_of("Seismic", 40), 3, query_cut=0, heap_factor=0)
