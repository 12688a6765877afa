"""Indexes of weighted terms: BM25 against its formula and bm25s, sparse vectors against NumPy, through every change."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from bm25_reference import Bm25, words
from sparse_reference import best, scores_of

from cluscomp.errors import (
    CorruptIndexError,
    DuplicateIdError,
    EmptyInputError,
    InputError,
    NotTrainedError,
    SaturatedValuesWarning,
    TooLargeError,
    UsageError,
)
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.merging import merge_indexes
from cluscomp.indexes.verify import verify_index

VOCABULARY = [f"w{i:02}" for i in range(40)]


def texts(n, seed=0, vocabulary=VOCABULARY):
    """Texts of 0 to 30 words, few of them frequent."""
    rng = np.random.default_rng(seed)
    chances = 1 / np.arange(1, len(vocabulary) + 1)
    return [
        " ".join(rng.choice(vocabulary, size=rng.integers(0, 31), p=chances / chances.sum()))
        for _ in range(n)
    ]


def bm25(documents, key="Sparse(bm25)"):
    return index_factory(key, 1).train(documents).add(documents)


def answers(index, queries, k, **options):
    """Hits of each query as (id, score), without what is missing."""
    scores, ids = index.search(queries, k, **options)
    return [
        [(name, float(score)) for score, name in zip(*row, strict=True) if score > -np.inf]
        for row in zip(scores, ids.tolist(), strict=True)
    ]


class TestBm25:
    DOCUMENTS = ("aa bb", "aa aa cc", "bb cc dd dd")

    def test_by_hand(self):
        """N = 3, df = 2, mean length 3: idf = ln 1.6; lengths 2 and 3 give norms 1.125 and 1.5."""
        index = bm25(self.DOCUMENTS)
        found = answers(index, ["aa", "aa aa", "zz", "", "the"], 3)
        assert [name for name, _ in found[0]] == [1, 0]
        assert [score for _, score in found[0]] == pytest.approx([0.268574, 0.221178], abs=1e-6)
        assert [score for _, score in found[1]] == pytest.approx([2 * score for _, score in found[0]])
        assert found[2:] == [[], [], []]
        in_all = answers(bm25(["aa", "aa", "aa"]), ["aa"], 3)[0]
        assert [name for name, _ in in_all] == [0, 1, 2]  # equal scores: the first added first
        assert in_all[0][1] == pytest.approx(0.133531 / 2.5, abs=1e-6)

    @pytest.mark.parametrize(
        ("key", "k1", "b"), [("Sparse(bm25)", 1.5, 0.75), ("Sparse(bm25,k1=0.9,b=0.4)", 0.9, 0.4)]
    )
    def test_formula(self, key, k1, b):
        documents, queries = texts(700), texts(40, seed=1)
        index, model = bm25(documents, key), Bm25([words(text) for text in documents], k1, b)
        scores, ids = index.search(queries, 50)
        for query, row, names in zip(queries, scores, ids, strict=True):
            expected = model.scores(words(query))
            found = names[names >= 0]
            np.testing.assert_allclose(row[: len(found)], expected[found], rtol=2e-6)
            assert len(found) == min(50, int((expected > 0).sum()))
            if 0 < len(found) == 50:
                assert np.delete(expected, found).max() <= row[len(found) - 1] * (1 + 2e-6)

    def test_equals_bm25s(self):
        library = pytest.importorskip("bm25s")
        documents, queries = texts(500), [text for text in texts(30, seed=2) if text]
        theirs = library.BM25(method="lucene", k1=1.5, b=0.75)
        theirs.index([words(text) for text in documents], show_progress=False)
        index = bm25(documents)
        everything = index.score(queries, np.arange(500))
        for query, scores in zip(queries, everything, strict=True):
            np.testing.assert_allclose(scores, theirs.get_scores(words(query)), rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize(("bits", "error"), [(16, 1e-3), (8, 0.02)])
    def test_fewer_bits(self, bits, error):
        documents, queries = texts(400), [text for text in texts(30, seed=3) if text]
        exact, coarse = bm25(documents), bm25(documents, f"Sparse(bm25,bits={bits})")
        for one, other in zip(
            *(index.score(queries, np.arange(400)) for index in (exact, coarse)), strict=True
        ):
            np.testing.assert_allclose(other, one, rtol=error)
        assert coarse.code_size == 1 + bits // 8

    def test_later_rows_are_weighed_by_the_statistics_of_training(self):
        """So a score does not depend on how rows came: all at once, or a part later."""
        documents = texts(300)
        whole = index_factory("Sparse(bm25)", 1).train(documents).add(documents)
        parts = index_factory("Sparse(bm25)", 1).train(documents)
        for start in (0, 10, 250):
            parts.add(documents[start : {0: 10, 10: 250, 250: 300}[start]])
        assert answers(parts, texts(30, seed=4), 20) == answers(whole, texts(30, seed=4), 20)

    def test_words_that_training_has_not_seen(self):
        """Such a word counts as one that no document held: idf = ln(1 + (N + .5) / .5)."""
        index = bm25(self.DOCUMENTS).add(["new aa", "new new"])
        idf = np.log(1 + 3.5 / 0.5)
        (found,) = answers(index, ["new"], 5)
        assert [name for name, _ in found] == [4, 3]
        assert [score for _, score in found] == pytest.approx(
            [idf * 2 / (2 + 1.125), idf / (1 + 1.125)], rel=1e-6
        )
        assert [name for name, _ in answers(index, ["aa"], 5)[0]] == [1, 0, 3]  # 0 and 3 are equal

    def test_counts_instead_of_texts(self):
        counts = [{"aa": 1, "bb": 1}, {"aa": 2, "cc": 1}, {"bb": 1, "cc": 1, "dd": 2}]
        index = index_factory("Sparse(bm25)", 1).train(counts).add(counts)
        assert answers(index, [{"aa": 1}], 3) == answers(bm25(self.DOCUMENTS), ["aa"], 3)

    def test_needs_training_on_something(self):
        with pytest.raises(NotTrainedError, match="train"):
            index_factory("Sparse(bm25)", 1).add(["aa"])
        with pytest.raises(NotTrainedError, match="train"):
            index_factory("Sparse(bm25)", 1).search(["aa"], 1, k_beyond="clip")
        with pytest.raises(EmptyInputError, match="no terms at all"):
            index_factory("Sparse(bm25)", 1).train(["the", ""])
        with pytest.raises(UsageError, match="holds 3 rows"):
            bm25(self.DOCUMENTS).train(["aa"])

    def test_encoder_says_how_texts_are_split(self, tmp_path):
        from cluscomp.encoders import load_encoder

        index = bm25(self.DOCUMENTS)
        index.save(tmp_path / "i")
        info = open_index(tmp_path / "i").encoder
        assert (info["kind"], info["pattern"], info["form"], info["stop_words"]) == (
            "words", r"\w\w+", "NFKC", "english33",
        )  # fmt: skip
        index.check_encoder(load_encoder("words", "words").info)


def sparse_rows(n, seed=0, terms=25, share=0.2):
    rng = np.random.default_rng(seed)
    rows = rng.random((n, terms)).astype(np.float32) * 3
    rows[rng.random((n, terms)) > share] = 0
    return rows


def as_mappings(rows):
    return [{f"t{t:02}": float(row[t]) for t in np.flatnonzero(row)} for row in rows]


class TestSparseVectors:
    def expected(self, rows, queries, k, deleted=frozenset()):
        asked = [[(int(t), float(q[t])) for t in np.flatnonzero(q)] for q in queries]
        return [best(scores_of(rows, query), k, deleted) for query in asked]

    def test_equals_numpy(self):
        rows, queries = sparse_rows(900), sparse_rows(40, seed=1)
        index = index_factory("Sparse", 1).add(as_mappings(rows))
        assert answers(index, as_mappings(queries), 12) == self.expected(rows, queries, 12)

    def test_half_floats_equal_those_of_numpy(self):
        rows, queries = sparse_rows(600), sparse_rows(20, seed=1)
        index = index_factory("Sparse(bits=16)", 1).add(as_mappings(rows))
        halves = rows.astype(np.float16).astype(np.float32)
        assert answers(index, as_mappings(queries), 9) == self.expected(halves, queries, 9)
        with pytest.raises(TooLargeError, match="65504"):
            index.add([{"a": 1e5}])

    def test_whole_numbers(self):
        rows, queries = sparse_rows(600), sparse_rows(20, seed=1)
        index = index_factory("Sparse(bits=8)", 1).train(as_mappings(rows)).add(as_mappings(rows))
        exact = index_factory("Sparse", 1).add(as_mappings(rows))
        one, other = (i.score(as_mappings(queries), np.arange(600)) for i in (index, exact))
        # each weight is off by half a step at most, and one below half a step by less than one
        steps = queries @ np.where(rows > 0, np.maximum(0.5, 1 - rows * 255 / rows.max()), 0).T
        assert (np.abs(one - other) <= steps * (rows.max() / 255) + 1e-4).all()
        with pytest.warns(SaturatedValuesWarning, match="1 of 2 weights"):
            index.add([{"t00": 50.0, "t01": 1.0}])
        (found,) = answers(index, [{"t00": 1.0}], 1)
        assert found == [(600, pytest.approx(float(rows.max()), rel=1e-6))]

    def test_every_form(self):
        sparse = pytest.importorskip("scipy.sparse")
        rows, queries = sparse_rows(50), sparse_rows(5, seed=1)
        names = [f"t{t:02}" for t in range(25)]
        index = index_factory("Sparse", 1).add(sparse.csr_array(rows), vocabulary=names)
        expected = self.expected(rows, queries, 5)
        assert answers(index, sparse.csr_array(queries), 5, vocabulary=names) == expected
        numbered = index_factory("Sparse", 1).add(sparse.csr_array(rows))
        found = answers(numbered, sparse.csr_array(queries), 5)  # summed in the order of "0", "1", "10" ...
        assert [[name for name, _ in hits] for hits in found] == [
            [name for name, _ in hits] for hits in expected
        ]

    def test_texts_need_bm25(self):
        with pytest.raises(UsageError, match="Sparse\\(bm25\\)"):
            index_factory("Sparse", 1).add(["a text"])


class TestChanges:
    """Add, delete, upsert, compact, save, open, merge, pickle: the answers are those of one index of the rows left."""

    KEYS = ("Sparse", "Sparse(bm25)", "Sparse(bm25,bits=8)", "Sparse(bits=16)")

    def rows(self, key, n, seed=0):
        return texts(n, seed) if "bm25" in key else as_mappings(sparse_rows(n, seed))

    @pytest.mark.parametrize("key", KEYS)
    def test_grown_shrunk_and_compacted(self, key, tmp_path):
        rows, queries = self.rows(key, 700), self.rows(key, 25, seed=9)
        index = index_factory(key, 1).train(rows).add(rows[:300], [f"d{i}" for i in range(300)])
        index.add(rows[300:650], [f"d{i}" for i in range(300, 650)])
        index.delete([f"d{i}" for i in range(0, 650, 3)])
        assert index.upsert(rows[650:], [f"d{i}" for i in range(1, 51)]) == 34  # of 50 ids 16 were deleted
        kept = {f"d{i}": rows[i] for i in range(650) if i % 3 and i > 50} | {
            f"d{i}": rows[649 + i] for i in range(1, 51)
        }
        fresh = index_factory(key, 1).train(rows).add(list(kept.values()), list(kept))
        found = answers(index, queries, 15)
        assert found == answers(fresh, queries, 15)
        index.save(tmp_path / "i")
        opened = open_index(tmp_path / "i", verify=True)
        assert answers(opened, queries, 15) == found and verify_index(tmp_path / "i") == []
        opened.compact(segments=1, dead=0.0)
        assert (len(opened.segments), opened.n_deleted) == (1, 0)
        assert answers(opened, queries, 15) == found
        for name, array in opened.segments[0].stored.items():
            np.testing.assert_array_equal(array, fresh.segments[0].stored[name])
        opened.save(tmp_path / "i")
        assert answers(open_index(tmp_path / "i"), queries, 15) == found
        copy = pickle.loads(pickle.dumps(index))  # noqa: S301
        assert answers(copy, queries, 5) == answers(index, queries, 5)

    @pytest.mark.parametrize("key", KEYS)
    def test_scores_and_terms_agree_with_a_search(self, key):
        rows, queries = self.rows(key, 300), self.rows(key, 10, seed=9)
        index = index_factory(key, 1).train(rows).add(rows[:200]).add(rows[200:])
        scores, ids = index.search(queries, 300)
        for row, (found, names) in enumerate(zip(scores, ids, strict=True)):
            hits = names[names >= 0]
            np.testing.assert_array_equal(index.score(queries[row : row + 1], hits)[0], found[: len(hits)])
            missing = np.setdiff1d(np.arange(300), hits)
            assert not index.score(queries[row : row + 1], missing).any()
        terms = index.terms([250, 3])
        asked = [dict.fromkeys(query.split(), 1.0) if isinstance(query, str) else query for query in queries]
        products = [[sum(w * row.get(t, 0.0) for t, w in query.items()) for row in terms] for query in asked]
        counts = index.score(asked, [250, 3])
        np.testing.assert_allclose(counts, np.array(products), rtol=1e-5, atol=1e-6)
        with pytest.raises(InputError, match="300"):
            index.score(queries, [300])

    def test_merged(self, tmp_path):
        documents, queries = texts(200), texts(20, seed=5)
        index_factory("Sparse(bm25)", 1).train(documents).save(tmp_path / "empty")
        for number in (0, 1):
            part = open_index(tmp_path / "empty")
            part.add(documents[number * 100 :][:100], range(number * 100, number * 100 + 100)).save(
                tmp_path / f"{number}"
            )
        merge_indexes([tmp_path / "0", tmp_path / "1"], tmp_path / "both")
        assert answers(open_index(tmp_path / "both"), queries, 9) == answers(bm25(documents), queries, 9)
        bm25(documents[:100]).save(tmp_path / "other")
        with pytest.raises(UsageError, match="trained apart"):
            merge_indexes([tmp_path / "0", tmp_path / "other"], tmp_path / "no")

    def test_ids(self):
        index = bm25(["aa bb", "cc"])
        with pytest.raises(DuplicateIdError):
            index.add(["dd"], [1])
        assert index.add(["dd"]).ids.tolist() == [0, 1, 2]

    def test_rows_without_terms(self, tmp_path):
        index = index_factory("Sparse", 1).add([{}, {}])
        assert answers(index, [{"a": 1.0}, {}], 2) == [[], []] and len(index) == 2
        index.save(tmp_path / "i")
        opened = open_index(tmp_path / "i").add([{"a": 1.0}])
        opened.compact(segments=1)
        assert answers(opened, [{"a": 2.0}], 3) == [[(2, 2.0)]]
        assert index_factory("Sparse", 1).search([{"a": 1}], 5, k_beyond="clip")[0].shape == (1, 0)


class TestDamage:
    def damaged(self, name, change):
        index = bm25(texts(600))
        (segment,) = index.segments
        array = segment.stored[name].copy()
        change(array)
        index._segments = (replace(segment, stored={**segment.stored, name: array}),)
        return index

    @pytest.mark.parametrize("name", ["list_starts", "list_chunks"])
    def test_lists_are_checked_when_opened(self, tmp_path, name):
        self.damaged(name, lambda a: a.__setitem__(3, 0)).save(tmp_path / "i")
        with pytest.raises(CorruptIndexError, match=f"{name}.*must rise"):
            open_index(tmp_path / "i")

    @pytest.mark.parametrize(
        ("name", "change", "fault"),
        [
            ("chunk_sizes", lambda a: a.__setitem__(0, a[0] + 1), "as many postings"),
            ("chunk_numbers", lambda a: a.__setitem__(0, 9), "numbered 0 to 9"),
            ("chunk_numbers", lambda a: a.__setitem__(1, 0), "do not rise"),
            ("rows", lambda a: a.__setitem__(slice(None), 7), "rows of a chunk do not rise"),
            ("weights", lambda a: a.__setitem__(5, np.nan), "row 5 of"),
            ("chunk_maxima", lambda a: a.__setitem__(2, 0), "not the largest weight"),
        ],
    )
    def test_deep_verification_names_the_rest(self, name, change, fault):
        index = self.damaged(name, change)
        found = dict(index.segments[0].faults(index.pipeline))
        assert fault in found[name]

    def test_searches_end_in_an_error(self):
        index = self.damaged("chunk_numbers", lambda a: a.__setitem__(slice(None), 9))
        with pytest.raises(CorruptIndexError, match="damaged"):
            index.search(["w00"], 3)
        with pytest.raises(CorruptIndexError, match="damaged"):
            index.score(["w00"], [0])
