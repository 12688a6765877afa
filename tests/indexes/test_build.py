"""build_index as a function: kinds of source, documents, samples, identities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluscomp import errors
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.build import build_index
from cluscomp.indexes.build.vectors import sample_rows
from cluscomp.indexes.storage.texts import DocumentStore, scan_documents, write_documents
from cluscomp.inputs.corpus import Document
from cluscomp.resume import first_difference


@pytest.fixture
def rows():
    return np.random.default_rng(2).standard_normal((400, 16)).astype(np.float32)


class ToyEncoder:
    """Letters counted: enough to tell short texts apart."""

    def __init__(self, dim=26):
        from cluscomp.encoders.base import EncoderInfo

        self.info = EncoderInfo("toy", "dense", dim, False, "", "", None, "1" * 32)

    def encode_documents(self, texts, progress=None):
        return np.array(
            [[text.lower().count(chr(97 + i)) for i in range(self.info.dim)] for text in texts], np.float32
        )

    encode_queries = encode_documents


@pytest.mark.parametrize("key", ["Flat", "SQ8", "IVF8,Flat", "OPQ4,IVF8,PQ4x4", "BIVF8(cap=1.1),SQ8"])
@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
def test_equals_the_index_made_in_memory(rows, tmp_path, key, metric):
    build_index(rows, index_key=key, metric=metric, output=tmp_path / "i", seed=4)
    streamed = open_index(tmp_path / "i", verify=True)
    whole = index_factory(key, 16, metric, seed=4).train(rows).add(rows)
    for one, other in zip(streamed.search(rows[:20], 5), whole.search(rows[:20], 5), strict=True):
        np.testing.assert_array_equal(one, other)


def _bfloat16(rows):
    torch = pytest.importorskip("torch")
    return torch.tensor(rows).to(torch.bfloat16)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_element_types(rows, tmp_path, dtype):
    source = _bfloat16(rows) if dtype == "bfloat16" else rows.astype(dtype)
    build_index(source, index_key="Flat", output=tmp_path / "i")
    _, ids = open_index(tmp_path / "i").search(rows[[7]], 1)
    assert ids.tolist() == [[7]]


def test_paths_and_ids(rows, tmp_path):
    np.save(tmp_path / "x.npy", rows)
    build_index(
        str(tmp_path / "x.npy"), ids=np.arange(1000, 1400), index_key="Flat", output=str(tmp_path / "i")
    )
    assert open_index(tmp_path / "i").ids.tolist() == list(range(1000, 1400))


def test_documents_from_python(tmp_path, monkeypatch):
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    documents = [Document("a", "", "abc"), ("b", "Title", "xyz"), {"id": "c", "text": "qqq"}]
    build_index(documents, encoder=ToyEncoder(), index_key="Flat", output=tmp_path / "i", store_texts=True)
    index = open_index(tmp_path / "i")
    assert index.encoder["name"] == "toy"
    _, ids = index.search(ToyEncoder().encode_queries(["q"]), 1)
    assert ids.tolist() == [["c"]]
    records = index.get(["b", "nobody"], missing="ignore")
    assert [(record.id, record.title, record.text) for record in records] == [("b", "Title", "xyz")]


@pytest.mark.parametrize(
    ("source", "options", "error"),
    [
        ([], {}, errors.EmptyInputError),
        ([("a", "", "x"), ("a", "", "y")], {}, errors.DuplicateIdError),
        ([("a", "", " ")], {}, errors.EmptyInputError),
        (3, {}, errors.UsageError),
        ([("a", "", "x")], {"ids": ["b"]}, errors.UsageError),
        (np.ones((3, 5), np.float32), {}, errors.DimensionError),  # the encoder makes 26
    ],
)
def test_wrong_sources(tmp_path, source, options, error):
    with pytest.raises(error):
        build_index(
            source, encoder=ToyEncoder(), index_key="Flat", output=tmp_path / "i", cache=False, **options
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        {"metric": "dot"},
        {"if_exists": "perhaps"},
        {"seed": -1},
        {"max_train_rows": 0},
        {"index_key": "IVF"},
        {"store_texts": True},
    ],
)
def test_wrong_options(rows, tmp_path, options):
    with pytest.raises(errors.UsageError):
        build_index(rows, **{"index_key": "Flat", "output": tmp_path / "i", **options})
    assert list(tmp_path.iterdir()) == []


def test_report(rows, tmp_path):
    report = build_index(rows, index_key="IVF8,PQ4x4", output=tmp_path / "i")
    assert (report.n, report.dim, report.code_bytes_per_document) == (400, 16, 2)
    assert [stage["name"] for stage in report.stages] == ["read", "sample", "train", "add"]
    assert report.index_bytes == sum(f.stat().st_size for f in (tmp_path / "i").iterdir())
    assert report.index_bytes == open_index(tmp_path / "i").nbytes()["total"]


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 5000), data=st.data(), seed=st.integers(0, 5))
def test_samples_are_ascending_different_and_complete(n, data, seed):
    size = data.draw(st.integers(1, n))
    picked = sample_rows(n, size, seed)
    assert picked.shape == (size,) and picked[0] >= 0 and picked[-1] < n
    assert (np.diff(picked) > 0).all()
    np.testing.assert_array_equal(picked, sample_rows(n, size, seed))


def test_samples_over_several_strata_are_uniform(monkeypatch):
    from cluscomp.indexes.build import vectors as build_vectors

    monkeypatch.setattr(build_vectors, "_SAMPLE_STRATUM", 10)
    counts = np.zeros(35)
    for seed in range(4000):
        counts[sample_rows(35, 7, seed)] += 1
    # each row is drawn with probability 1/5; five standard deviations of a binomial count
    assert np.abs(counts - 800).max() < 5 * np.sqrt(4000 * 0.2 * 0.8)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=40)), min_size=1, max_size=30))
def test_documents_come_back_as_they_were(tmp_path_factory, texts):
    texts = [tuple(part.encode("utf-8", "ignore").decode() for part in pair) for pair in texts]
    documents = [Document(f"id{i}", title, text) for i, (title, text) in enumerate(texts)]
    path = tmp_path_factory.mktemp("store") / "docs.sqlite"
    written = write_documents(path, documents)
    assert written == scan_documents(documents)
    assert written.n == len(documents)
    with DocumentStore(path) as store:
        assert list(store.iter_contents(len(documents))) == [d.content for d in documents]
        assert store.ids(0, len(documents)) == [d.id for d in documents]
        assert store.lookup(["id0"]) == {"id0": texts[0]}


def test_first_difference():
    old = {"a": 1, "b": {"c": [1, 2], "d": "x"}}
    assert first_difference(old, {"a": 1, "b": {"c": [1, 2], "d": "x"}}) is None
    assert first_difference(old, {"a": 1, "b": {"c": [1, 3], "d": "y"}}) == "b.c was [1, 2] and is now [1, 3]"
    assert first_difference(old, {"a": 1}) is not None
