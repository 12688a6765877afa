"""The vector store for LangChain: its own standard tests, and what they do not ask."""

from __future__ import annotations

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import DimensionError, DTypeError, InputError, UnknownKeyError, UsageError
from cluscomp.eval.integrations.langchain_filter import condition_of

suite = pytest.importorskip("langchain_tests.integration_tests")
from langchain_core.documents import Document  # noqa: E402
from langchain_core.embeddings import Embeddings  # noqa: E402

from cluscomp.eval.integrations.langchain import CluscompVectorStore  # noqa: E402


class TestStandardInMemory(suite.VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self):
        return CluscompVectorStore(self.get_embeddings())


class TestStandardInFolder(suite.VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path):
        return CluscompVectorStore(self.get_embeddings(), tmp_path / "store")


class Letters(Embeddings):
    """Counts of letters: texts of the same letters have the same vector."""

    def embed_documents(self, texts):
        return [[float(text.count(letter)) for letter in "abcdefgh"] for text in texts]

    def embed_query(self, text):
        return self.embed_documents([text])[0]


TEXTS = ["a", "aab", "abb", "b", "cc"]
YEARS = [{"year": year, "tags": tags} for year, tags in zip(range(2018, 2023), [["x"], ["y"], [], ["x", "y"], ["z"]], strict=True)]  # fmt: skip


@pytest.fixture
def store():
    return CluscompVectorStore.from_texts(TEXTS, Letters(), YEARS, ids=[*"vwxyz"])


def contents(found):
    return [document.page_content for document in found]


@pytest.mark.parametrize(
    ("filter", "want"),
    [
        ({"year": 2019}, ["aab"]),
        ({"year": {"$gte": 2020}}, ["abb", "b", "cc"]),
        ({"year": {"$gt": 2018, "$lt": 2021}}, ["aab", "abb"]),
        ({"$or": [{"year": 2018}, {"tags": {"$contains": "z"}}]}, ["a", "cc"]),
        ({"$not": {"year": {"$in": [2018, 2019]}}}, ["abb", "b", "cc"]),
        ({"tags": {"$any": ["x", "z"]}, "year": {"$ne": 2018}}, ["b", "cc"]),
        ({"year": {"$exists": False}}, []),
        ({"year": None}, []),
        ("year between 2019 and 2020", ["aab", "abb"]),
        ({"op": "==", "field": "year", "value": 2022}, ["cc"]),
        ({}, TEXTS),
        ({"$not": {}}, []),
        ({"$or": [{"year": 2018}, {}]}, TEXTS),
        ({"$and": [{"$not": {"year": 2018}}, {"year": {"$lt": 2020}}]}, ["aab"]),
    ],
)
def test_filters(store, filter, want):
    assert sorted(contents(store.similarity_search("ab", k=9, filter=filter))) == sorted(want)


def test_wrong_filters(store):
    with pytest.raises(UnknownKeyError, match=r"\$gt"):
        store.similarity_search("a", filter={"year": {"$gtt": 1}})
    with pytest.raises(UnknownKeyError, match=r"\$and"):
        condition_of({"$nd": []})
    with pytest.raises(UsageError, match="functions cannot"):
        store.similarity_search("a", filter=lambda document: True)
    with pytest.raises(UnknownKeyError, match="'year'"):
        store.similarity_search("a", filter={"yeer": 1})
    with pytest.raises(UsageError, match="no operator"):
        condition_of({"year": {}})
    with pytest.raises(UsageError, match=r"\$or needs a list"):
        condition_of({"$or": 3})
    for parts in ([], [None], ["year > 2000"]):
        with pytest.raises(UsageError, match=r"\$and needs a list"):
            condition_of({"$and": parts})


def test_metadata_may_be_named_as_a_part_of_conditions():
    store = CluscompVectorStore.from_texts(["a", "b"], Letters(), [{"op": "sum"}, {"op": "mean"}])
    assert contents(store.similarity_search("b", filter={"op": "sum"})) == ["a"]


def test_scores_and_relevance(store):
    (first, score), (second, other) = store.similarity_search_with_score("aab", k=2)
    assert (first.page_content, second.page_content) == ("aab", "a")
    assert (score, other) == (pytest.approx(1), pytest.approx(2 / 5**0.5))
    assert store.similarity_search_with_relevance_scores("aab", k=1)[0][1] == pytest.approx(1)
    far = CluscompVectorStore.from_texts(["a", "cc"], Letters(), metric="l2")
    assert [s for _, s in far.similarity_search_with_score("a", k=2)] == [0, pytest.approx(-5)]
    assert far.similarity_search_with_relevance_scores("a", k=1)[0][1] == 1


def test_marginal_relevance_prefers_what_is_unlike(store):
    assert contents(store.max_marginal_relevance_search("aab", k=2, lambda_mult=0.01))[0] == "aab"
    assert contents(store.max_marginal_relevance_search("aab", k=2, lambda_mult=0.01))[1] == "cc"
    assert contents(store.max_marginal_relevance_search("aab", k=2, lambda_mult=1.0)) == ["aab", "a"]


def test_retriever(store):
    retriever = store.as_retriever(search_kwargs={"k": 1, "filter": {"year": {"$lt": 2019}}})
    assert contents(retriever.invoke("cc")) == ["a"]


def test_metadata_comes_back_as_it_was():
    metadata = {
        "n": 1, "x": 1.5, "ok": True, "none": None, "deep": {"a": [1, {"b": None}]}, "numbers": [1, 2],
        "texts": ["p", "q"], "empty": [], "": "unnamed", "é ü": "ß",
    }  # fmt: skip
    store = CluscompVectorStore(Letters())
    store.add_documents([Document(id="1", page_content="a", metadata=metadata)])
    store.add_documents([Document(id="2", page_content="b", metadata={"x": 2, "new": "column"})])
    first, second = store.get_by_ids(["1", "2"])
    assert first.metadata == metadata
    assert second.metadata == {"x": 2, "new": "column"} and type(second.metadata["x"]) is int
    assert contents(store.similarity_search("a", filter="x >= 2")) == ["b"]


def test_metadata_that_does_not_fit(tmp_path):
    store = CluscompVectorStore(Letters(), tmp_path / "s")
    store.add_texts(["a"], [{"page": 1}], ids=["1"])
    with pytest.raises(InputError, match="'page' of row 0 .*'2'"):
        store.add_texts(["b"], [{"page": "iv"}], ids=["2"])
    assert store.get_by_ids(["2"]) == []
    with pytest.raises(InputError, match="'object'|object"):
        store.add_texts(["b"], [{"it": object()}])
    free = CluscompVectorStore(Letters(), columns=["year"])
    free.add_texts(["a", "b"], [{"page": 1, "year": 1}, {"page": "iv", "year": 2}], ids=["1", "2"])
    assert [found.metadata["page"] for found in free.get_by_ids(["1", "2"])] == [1, "iv"]
    assert contents(free.similarity_search("b", filter={"year": 1})) == ["a"]


def test_wrong_numbers_and_dims(store):
    with pytest.raises(DimensionError, match="1 metadatas came with 2 texts"):
        store.add_texts(["a", "b"], [{}])
    with pytest.raises(DTypeError, match="7"):
        store.add_texts(["a"], ids=[7])
    with pytest.raises(DimensionError, match="8.*3|3.*8"):
        store.similarity_search_by_vector([1.0, 2.0, 3.0])
    with pytest.raises(UsageError):
        store.delete()
    assert store.add_texts([]) == [] and store.delete([]) is True
    with pytest.raises(UnknownKeyError):
        CluscompVectorStore(Letters(), index_key="Flatt")
    with pytest.raises(UsageError, match="several vectors|pool"):
        CluscompVectorStore(Letters(), final_key="Pool16,SQ8")


def test_an_id_twice_in_one_call_keeps_the_later(store):
    assert store.add_texts(["dd", "ee"], ids=["q", "q"]) == ["q", "q"]
    assert contents(store.get_by_ids(["q"])) == ["ee"]


def test_folder(tmp_path):
    first = CluscompVectorStore(Letters(), tmp_path / "s")
    first.add_texts(TEXTS, YEARS, ids=[*"vwxyz"])
    second = CluscompVectorStore(Letters(), tmp_path / "s")
    assert contents(second.similarity_search("cc", k=1)) == ["cc"]
    second.delete(["z"])
    assert contents(first.similarity_search("cc", k=9)) != ["cc"]
    assert len(cc.open_index(tmp_path / "s")) == 4
    first.save(tmp_path / "copy")
    assert len(CluscompVectorStore(Letters(), tmp_path / "copy").store) == 4
    with pytest.raises(UsageError, match="metric 'cosine'.*'l2'"):
        CluscompVectorStore(Letters(), tmp_path / "s", metric="l2")


def test_an_index_that_was_built_otherwise(tmp_path):
    index = cc.index_factory("SQfp16", 8, "ip")
    index.add(np.eye(8, dtype=np.float32)[:3], documents=[("A", "first"), ("B", "second"), (None, "third")])
    index.save(tmp_path / "built")
    store = CluscompVectorStore(Letters(), tmp_path / "built")
    assert store.similarity_search("b", k=1) == [
        Document(id="1", page_content="second", metadata={"title": "B"})
    ]
    assert contents(store.get_by_ids(["2"])) == ["third"]
    with pytest.raises(DTypeError):
        store.add_texts(["c"])
