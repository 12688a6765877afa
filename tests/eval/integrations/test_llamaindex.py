"""The vector store for LlamaIndex: nodes come back whole, and its filters mean what LlamaIndex says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cluscomp as cc
from cluscomp.errors import DimensionError, IndexMissingError, UnknownKeyError, UsageError

core = pytest.importorskip("llama_index.core")
from llama_index.core.embeddings import MockEmbedding  # noqa: E402
from llama_index.core.schema import (  # noqa: E402
    ImageNode,
    IndexNode,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import (  # noqa: E402
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn  # noqa: E402

from cluscomp.eval.integrations.llamaindex import CluscompVectorStore  # noqa: E402

METADATA = [
    {"n": 1, "x": 0.5, "name": "Apple pie", "tags": ["a", "b"], "theme": "food"},
    {"n": 2, "x": 1.5, "name": "apple tree", "tags": ["b"], "theme": ""},
    {"n": 3, "x": -1.0, "name": "pear", "tags": []},
    {"n": 4, "name": "Plum", "tags": ["c", "a"]},
    {"x": 9.0, "theme": "other"},
]


def node(number, metadata, vector=None, document=None):
    found = TextNode(id_=f"n{number}", text=f"text {number}", metadata=metadata)
    found.embedding = (np.eye(8)[number] if vector is None else np.asarray(vector)).tolist()
    if document is not None:
        found.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=document)
    return found


@pytest.fixture(params=["memory", "folder"])
def store(request, tmp_path):
    store = CluscompVectorStore(folder=None if request.param == "memory" else tmp_path / "s")
    nodes = [node(i, metadata, document=f"doc{i // 2}") for i, metadata in enumerate(METADATA)]
    assert store.add(nodes) == [f"n{i}" for i in range(5)]
    return store


def names(found):
    return sorted(one.node_id for one in found)


def filters(key, operator, value=None):
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=operator)])


# ---- filters ----

CASES = [
    ("n", "==", 2), ("n", "==", 2.0), ("name", "==", "pear"), ("n", "!=", 2), ("name", "!=", "pear"), ("theme", "!=", "food"),
    ("n", ">", 2), ("x", ">", 0), ("n", "<", 2), ("n", ">=", 2), ("x", "<=", 0.5), ("name", "<", "a"),
    ("n", "in", [1, 4, 7]), ("name", "in", ["pear", "no"]), ("n", "nin", [1, 4]), ("name", "nin", ["pear"]),
    ("tags", "any", ["a", "z"]), ("tags", "all", ["a", "b"]), ("tags", "contains", "b"), ("tags", "contains", "zz"),
    ("name", "contains", "pl"), ("name", "any", ["pie", "ear"]), ("name", "all", ["ap", "tree"]),
    ("name", "text_match", "apple"), ("name", "text_match", ""), ("name", "text_match_insensitive", "APPLE"), ("name", "text_match_insensitive", "lum"),
    ("tags", "is_empty", None), ("theme", "is_empty", None), ("n", "is_empty", None), ("nosuch", "is_empty", None),
    ("nosuch", "==", 1), ("nosuch", "!=", 1), ("nosuch", "nin", [1]), ("nosuch", ">", 1), ("nosuch", "contains", "x"), ("nosuch", "text_match", "x"),
]  # fmt: skip


def want(wanted):
    """What LlamaIndex's own evaluation finds."""
    passes = build_metadata_filter_fn(lambda name: METADATA[int(name[1:])], wanted)
    return [f"n{i}" for i in range(5) if passes(f"n{i}")]


def test_all_operators_are_tried():
    assert {operator for _, operator, _ in CASES} == {operator.value for operator in FilterOperator}


@pytest.mark.parametrize(("key", "operator", "value"), CASES)
def test_operators_mean_what_llamaindex_says(store, key, operator, value):
    wanted = filters(key, operator, value)
    assert names(store.get_nodes(filters=wanted)) == want(wanted)
    query = VectorStoreQuery(query_embedding=[1.0] * 8, similarity_top_k=9, filters=wanted)
    assert sorted(store.query(query).ids) == want(wanted)


COMPARISONS = st.sampled_from(CASES).map(
    lambda case: MetadataFilter(key=case[0], operator=case[1], value=case[2])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(COMPARISONS, min_size=1, max_size=4), st.sampled_from(list(FilterCondition)))
def test_joined_filters(joined, condition):
    store = CluscompVectorStore()
    store.add([node(i, metadata) for i, metadata in enumerate(METADATA)])
    wanted = MetadataFilters(filters=joined, condition=condition)
    assert names(store.get_nodes(filters=wanted)) == want(wanted)


def test_nested_filters(store):
    inner = MetadataFilters(
        filters=filters("n", "==", 1).filters + filters("n", "==", 3).filters, condition=FilterCondition.OR
    )
    outer = MetadataFilters(filters=[inner, *filters("x", ">", 0).filters])
    assert names(store.get_nodes(filters=outer)) == ["n0"]
    assert names(store.get_nodes(filters=MetadataFilters(filters=[]))) == [f"n{i}" for i in range(5)]


def test_wrong_filters(store):
    for wanted in (
        filters("n", ">", "text"),
        filters("n", "text_match", "1"),
        filters("n", "contains", "1"),
        filters("n", "in", 1),
        filters("tags", "any", "a"),
        filters("name", "contains", 3),
    ):
        with pytest.raises(UsageError):
            store.get_nodes(filters=wanted)
    made = filters("n", "==", 1)
    made.filters[0].operator = "~"
    with pytest.raises(UnknownKeyError, match="operator"):
        store.get_nodes(filters=made)


# ---- nodes ----


def test_nodes_come_back_whole(store):
    whole = [
        node(5, {"deep": {"a": [1, None]}, "numbers": [1, 2], "none": None}, document="d"),
        IndexNode(id_="i", text="index", index_id="other", embedding=[1.0] * 8),
        ImageNode(id_="p", text="image", image="aGVsbG8=", embedding=[2.0] * 8),
    ]
    whole[0].relationships[NodeRelationship.NEXT] = RelatedNodeInfo(node_id="x", metadata={"k": 1})
    whole[0].excluded_embed_metadata_keys = ["deep"]
    store.add(whole)
    for sent, found in zip(whole, store.get_nodes(["n5", "i", "p"]), strict=True):
        sent.embedding = None
        assert type(found) is type(sent) and found == sent


def test_query(store):
    found = store.query(VectorStoreQuery(query_embedding=[0, 3, 4, 0, 0, 0, 0, 0], similarity_top_k=2))
    assert found.ids == ["n2", "n1"] and found.similarities == pytest.approx([0.8, 0.6])
    assert [one.text for one in found.nodes] == ["text 2", "text 1"]
    only = VectorStoreQuery(query_embedding=[1.0] * 8, similarity_top_k=9, node_ids=["n1", "n3", "no"])
    assert sorted(store.query(only).ids) == ["n1", "n3"]
    only.filters = filters("n", ">", 2)
    assert store.query(only).ids == ["n3"]
    of = VectorStoreQuery(query_embedding=[1.0] * 8, similarity_top_k=9, doc_ids=["doc1", "no"])
    assert sorted(store.query(of).ids) == ["n2", "n3"]


def test_marginal_relevance():
    store = CluscompVectorStore()
    store.add([node(0, {}, [1, 0.1, 0]), node(1, {}, [1, 0.11, 0]), node(2, {}, [0.6, 0, 0.8])])
    query = VectorStoreQuery(
        query_embedding=[1.0, 0.1, 0.0], similarity_top_k=2, mode=VectorStoreQueryMode.MMR, mmr_threshold=0.3
    )
    assert store.query(query).ids == ["n0", "n2"]
    query.mmr_threshold = 1.0
    assert store.query(query).ids == ["n0", "n1"]


def test_deletion(store):
    store.delete("doc0")
    store.delete("no such document")
    assert names(store.get_nodes()) == ["n2", "n3", "n4"]
    store.delete_nodes(["n2", "no"], filters("n", "==", 3))
    store.delete_nodes(["n3"], filters("n", "==", 3))
    assert names(store.get_nodes()) == ["n3", "n4"]
    store.delete_nodes(filters=filters("x", ">", 1))
    assert names(store.get_nodes()) == ["n3"]
    with pytest.raises(UsageError, match="clear"):
        store.delete_nodes()
    store.clear()
    assert store.get_nodes() == []
    assert store.query(VectorStoreQuery(query_embedding=[1.0], filters=filters("n", ">", 1))).ids == []


def test_a_node_that_is_there_is_replaced(store):
    store.add([node(1, {"n": 7}, [9.0] * 8)])
    assert len(store.get_nodes()) == 5 and store.get_nodes(["n1"])[0].metadata == {"n": 7}


def test_wrong_queries(store):
    for query in (
        VectorStoreQuery(query_str="words"),
        VectorStoreQuery(query_embedding=[1.0] * 8, mode=VectorStoreQueryMode.SPARSE),
    ):
        with pytest.raises(UsageError, match="query_embedding"):
            store.query(query)
    with pytest.raises(DimensionError, match="8.*3"):
        store.query(VectorStoreQuery(query_embedding=[1.0, 2.0, 3.0]))
    with pytest.raises(DimensionError, match="8.*3"):
        store.add([node(9, {}, [1.0, 2.0, 3.0])])
    with pytest.raises(UnknownKeyError):
        CluscompVectorStore(final_key="nosuch")


# ---- as a whole ----


def test_in_llamaindex_and_kept(tmp_path):
    documents = [core.Document(text=f"page {i}", id_=f"doc{i}", metadata={"page": i}) for i in range(4)]
    embedding = MockEmbedding(embed_dim=8)
    context = core.StorageContext.from_defaults(vector_store=CluscompVectorStore())
    index = core.VectorStoreIndex.from_documents(documents, context, embed_model=embedding)
    assert len(index.as_retriever(similarity_top_k=3).retrieve("page")) == 3
    index.delete_ref_doc("doc2")
    context.persist(str(tmp_path / "kept"))
    context.persist(str(tmp_path / "kept"))
    store = CluscompVectorStore.from_persist_dir(str(tmp_path / "kept"))
    assert sorted(one.metadata["page"] for one in store.get_nodes()) == [0, 1, 3]
    again = core.VectorStoreIndex.from_vector_store(store, embed_model=embedding)
    again.insert(core.Document(text="new", id_="new"))
    assert len(cc.open_index(tmp_path / "kept" / "default__vector_store.index")) == 4
    with pytest.raises(IndexMissingError):
        CluscompVectorStore.from_persist_dir(str(tmp_path / "elsewhere"))
    same = CluscompVectorStore.from_dict(store.to_dict())
    assert names(same.get_nodes()) == names(store.get_nodes())


def test_conversion(tmp_path, rng):
    store = CluscompVectorStore(folder=str(tmp_path / "s"), final_key="IVF2,SQfp16", train_at=30)
    store.add([node(i, {"n": i}, row) for i, row in enumerate(rng.standard_normal((30, 8)))])
    assert store.client.finish_conversion() and store.client.index.key == "IVF2,SQfp16"
    assert names(store.get_nodes(filters=filters("n", "<", 2))) == ["n0", "n1"]


async def test_awaited(store):
    assert await store.async_add([node(6, {})]) == ["n6"]
    assert (await store.aquery(VectorStoreQuery(query_embedding=np.eye(8)[6].tolist()))).ids == ["n6"]
    await store.adelete_nodes(["n6"])
    assert len(await store.aget_nodes()) == 5


def test_an_index_that_was_built_otherwise(tmp_path):
    index = cc.index_factory("SQfp16", 8, "ip")
    index.add(np.eye(8, dtype=np.float32)[:3], documents=[("A", "first"), ("B", "second"), (None, "third")])
    index.save(tmp_path / "built")
    found = CluscompVectorStore(folder=tmp_path / "built").query(
        VectorStoreQuery(query_embedding=np.eye(8)[1].tolist())
    )
    assert (found.ids, found.nodes[0].text, found.nodes[0].metadata) == (["1"], "second", {"title": "B"})
