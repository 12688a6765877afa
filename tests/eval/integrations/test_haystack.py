"""The document store for Haystack: its own tests of stores, and what they do not ask."""

from __future__ import annotations

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import DimensionError, UsageError

suite = pytest.importorskip("haystack.testing.document_store")
from haystack import Document, Pipeline  # noqa: E402
from haystack.dataclasses import ByteStream, SparseEmbedding  # noqa: E402
from haystack.document_stores.errors import DuplicateDocumentError  # noqa: E402
from haystack.document_stores.types import DuplicatePolicy  # noqa: E402
from haystack.errors import FilterError  # noqa: E402

from cluscomp.eval.integrations.haystack import (  # noqa: E402
    CluscompDocumentStore,
    CluscompEmbeddingRetriever,
)


class Suite(suite.DocumentStoreBaseExtendedTests):
    """Haystack's tests of stores. Embeddings are kept as float32, so they are compared as such."""

    @staticmethod
    def assert_documents_are_equal(received, expected):
        def comparable(document):
            values = document.to_dict()
            embedding = values.pop("embedding")
            return values, None if embedding is None else np.float32(embedding).tolist()

        assert [comparable(one) for one in received] == [comparable(one) for one in expected]

    def test_write_documents(self, document_store):
        """DuplicatePolicy.NONE is FAIL."""
        one = Document(content="test doc")
        assert document_store.write_documents([one]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([Document(content="other"), one])
        self.assert_documents_are_equal(document_store.filter_documents(), [one])


class TestStoreInMemory(Suite):
    @pytest.fixture
    def document_store(self):
        return CluscompDocumentStore()


class TestStoreInFolder(Suite):
    @pytest.fixture
    def document_store(self, tmp_path):
        return CluscompDocumentStore(tmp_path / "store")


def documents(n=4):
    """Document i points along axis i."""
    return [
        Document(id=f"d{i}", content=f"text {i}", meta={"n": i, "even": i % 2 == 0}, embedding=np.eye(4)[i].tolist())
        for i in range(n)
    ]  # fmt: skip


@pytest.fixture
def store():
    store = CluscompDocumentStore(embedding_dim=4)
    store.write_documents([*documents(), Document(id="bare", content="no vector", meta={"n": 9})])
    return store


QUERY = [0.1, 0.4, 0.3, 0.2]


def test_retrieval(store):
    found = store.embedding_retrieval(QUERY, top_k=9)
    assert [one.id for one in found] == ["d1", "d2", "d3", "d0"]  # and not the one without a vector
    assert found[0].score == pytest.approx(0.4) and found[0].embedding is None and found[0].meta == {"n": 1, "even": False}  # fmt: skip
    assert store.embedding_retrieval(QUERY, top_k=1, return_embedding=True)[0].embedding == [0, 1, 0, 0]
    even = {"field": "meta.even", "operator": "==", "value": True}
    assert [one.id for one in store.embedding_retrieval(QUERY, filters=even)] == ["d2", "d0"]
    assert (
        store.embedding_retrieval(QUERY, filters={"field": "meta.nosuch", "operator": "==", "value": 1}) == []
    )
    with pytest.raises(FilterError):
        store.embedding_retrieval(QUERY, filters={"field": "meta.n", "operator": "==", "value": "text"})
    with pytest.raises(DimensionError, match="4.*3"):
        store.embedding_retrieval([1.0, 2.0, 3.0])


def test_missing_values_and_fields(store):
    def ids(field, operator, value):
        return [
            one.id for one in store.filter_documents({"field": field, "operator": operator, "value": value})
        ]

    assert ids("meta.even", "==", None) == ["bare"]
    assert ids("meta.even", "in", [None, True]) == ["d0", "d2", "bare"]
    assert ids("meta.even", "not in", [None, True]) == ["d1", "d3"]
    assert ids("meta.nosuch", "==", None) == ids("meta.nosuch", "!=", 3) == ids("n", ">=", 0)
    assert ids("meta.nosuch", ">", 1) == ids("meta.nosuch", "in", [1]) == ids("meta.n", ">", None) == []


@pytest.mark.parametrize(
    "filters",
    [
        {"field": "meta.n", "operator": "~", "value": 1},
        {"operator": "XOR", "conditions": []},
        {"operator": "AND", "conditions": {"field": "meta.n"}},
        {"operator": "AND", "conditions": [{}]},
        {"field": "content", "operator": "==", "value": "text 1"},
        {"field": "meta.n", "operator": "==", "value": [1]},
        "n > 1",
    ],
)
def test_wrong_filters(store, filters):
    with pytest.raises(FilterError):
        store.filter_documents(filters)


def test_everything_of_a_document_comes_back(store):
    whole = Document(
        id="whole",
        content="text",
        blob=ByteStream(b"\x00\xff", mime_type="image/png"),
        meta={"deep": {"a": [1]}, "none": None, "tags": ["x"]},
        embedding=[1.0, 2.0, 3.0, 4.0],
        sparse_embedding=SparseEmbedding([1, 2], [0.5, 0.25]),
    )
    store.write_documents([whole])
    assert store.filter_documents({"field": "meta.tags", "operator": "==", "value": None})[-1].id == "bare"
    assert store.filter_documents()[-1] == whole


def test_policies_within_one_call(store):
    twice = [Document(id="q", content="first"), Document(id="q", content="second")]
    with pytest.raises(DuplicateDocumentError):
        store.write_documents(twice)
    assert store.count_documents() == 5
    assert store.write_documents(twice, DuplicatePolicy.SKIP) == 1
    assert store.filter_documents()[-1].content == "first"
    assert store.write_documents(twice, DuplicatePolicy.OVERWRITE) == 2
    assert store.filter_documents()[-1].content == "second"


def test_dim(store):
    with pytest.raises(DimensionError, match="3.*4|4.*3"):
        store.write_documents([Document(content="x", embedding=[1.0, 2.0, 3.0])])
    with pytest.raises(ValueError, match="list of documents"):
        store.write_documents(documents()[0])


def test_conversion_keeps_documents_without_vectors(tmp_path, rng):
    store = CluscompDocumentStore(tmp_path / "s", embedding_dim=4, final_key="IVF2,SQfp16", train_at=30)
    vectors = rng.standard_normal((30, 4)).astype(np.float32)
    store.write_documents([Document(id=str(i), content=f"t{i}", embedding=row.tolist(), meta={"n": i}) for i, row in enumerate(vectors)] + [Document(id="bare", content="b")])  # fmt: skip
    assert store.store.finish_conversion() and cc.open_index(tmp_path / "s").key == "IVF2,SQfp16"
    found = store.embedding_retrieval(vectors[7].tolist(), top_k=31)
    best = np.argsort(-(vectors @ vectors[7]))
    assert found[0].id == str(best[0]) and len(found) == 30
    assert store.filter_documents()[-1] == Document(id="bare", content="b")
    assert (
        store.update_by_filter({"field": "meta.n", "operator": "<", "value": 2}, {"seen": True, "n": -1}) == 2
    )
    assert {one.id: one.meta for one in store.filter_documents({"field": "meta.seen", "operator": "==", "value": True})} == {"0": {"n": -1, "seen": True}, "1": {"n": -1, "seen": True}}  # fmt: skip


def test_in_a_pipeline_that_is_written_down(tmp_path):
    store = CluscompDocumentStore(tmp_path / "s", embedding_dim=4, columns=["n"])
    store.write_documents(documents())
    pipeline = Pipeline()
    pipeline.add_component("retriever", CluscompEmbeddingRetriever(store, top_k=2))
    again = Pipeline.loads(pipeline.dumps(), allowed_modules=["cluscomp.eval.integrations.haystack"])
    found = again.run({"retriever": {"query_embedding": QUERY}})["retriever"]["documents"]
    assert [one.id for one in found] == ["d1", "d2"]
    only = {"field": "meta.n", "operator": ">", "value": 1}
    found = again.run({"retriever": {"query_embedding": QUERY, "filters": only, "top_k": 1}})
    assert [one.id for one in found["retriever"]["documents"]] == ["d2"]
    with pytest.raises(UsageError, match="CluscompDocumentStore"):
        CluscompEmbeddingRetriever("store")


async def test_awaited(store):
    assert await store.count_documents_async() == 5
    assert await store.write_documents_async([Document(id="x", content="y")]) == 1
    assert len(await store.filter_documents_async()) == 6
    await store.delete_documents_async(["x", "unknown"])
    assert [one.id for one in await store.embedding_retrieval_async(QUERY, top_k=1)] == ["d1"]
