"""Vectors, corpora and attributes in object stores are read as files are."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from object_bucket import fresh

import cluscomp as cc
from cluscomp.errors import MissingInputError, UsageError
from cluscomp.indexes.build import build_index
from cluscomp.inputs.attributes import read_attributes
from cluscomp.inputs.corpus import iter_corpus
from cluscomp.inputs.embeddings import open_embeddings, read_ids
from cluscomp.inputs.objects import local_input
from cluscomp.objects.address import Address, parse_address
from cluscomp.objects.store import store_of

pytest.importorskip("obstore")
X = np.random.default_rng(5).standard_normal((50, 6)).astype(np.float32)


@pytest.fixture
def folder() -> Address:
    return parse_address(fresh("inputs"))


def put(address: Address, data: bytes) -> str:
    store_of(address).put(address.key, data)
    return str(address)


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def lines(*values: Any) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


def test_vectors_and_ids(folder, tmp_path) -> None:
    vectors, ids = (
        put(folder / "x.npy", npy(X)),
        put(folder / "ids.txt", b"\n".join(b"d%d" % i for i in range(50))),
    )
    source = open_embeddings(vectors, ids)
    np.testing.assert_array_equal(source.read(0, 50), X)
    assert source.ids == read_ids(ids) == [f"d{i}" for i in range(50)]
    build_index(vectors, index_key="Flat", output=tmp_path / "i", ids=ids)
    build_index(str(folder / "x.npy"), index_key="Flat", output=str(folder / "i"), ids=ids)
    assert cc.open_index(str(folder / "i")).search(X[:1], 1)[1][0, 0] in [f"d{i}" for i in range(50)]
    assert len(cc.open_index(tmp_path / "i")) == 50


def test_a_folder_of_parts(folder) -> None:
    put(folder / "parts/part_2.npy", npy(X[10:20]))
    put(folder / "parts/part_10.npy", npy(X[20:]))
    put(folder / "parts/part_1.npy", npy(X[:10]))
    put(folder / "parts/readme.md", b"#")
    put(folder / "parts/older/part_1.npy", npy(X))
    np.testing.assert_array_equal(open_embeddings(str(folder / "parts")).read(0, 50), X)


def test_texts_and_attributes(folder) -> None:
    documents = [{"_id": f"d{i}", "title": "", "text": f"text {i}", "year": 2000 + i} for i in range(3)]
    file = put(folder / "scifact/corpus.jsonl", lines(*documents))
    for path in (file, str(folder / "scifact")):
        assert [document.id for document in iter_corpus(path)] == ["d0", "d1", "d2"]
    assert list(read_attributes(put(folder / "a.jsonl", lines({"_id": "d0", "year": 7}))).ids) == ["d0"]


def test_a_copy_is_made_anew_when_the_object_has_changed(folder) -> None:
    path = put(folder / "x.npy", npy(X))
    first = local_input("path", path)
    assert local_input("path", path) == first
    put(folder / "x.npy", npy(X + 1))
    second = local_input("path", path)
    assert second != first and second.name == "x.npy"
    np.testing.assert_array_equal(open_embeddings(path).read(0, 50), X + 1)


def test_what_is_not_there(folder) -> None:
    with pytest.raises(MissingInputError, match=f"{folder}/x.npy is no object, and none that can be read"):
        open_embeddings(str(folder / "x.npy"))
    put(folder / "a/notes.md", b"#")
    with pytest.raises(MissingInputError, match=r"below it are: notes\.md"):
        open_embeddings(str(folder / "a"))
    with pytest.raises(UsageError, match="SCHEME://BUCKET/FOLDER"):
        open_embeddings("s3://../x.npy")
