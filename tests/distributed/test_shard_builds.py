"""Builds in shards: one shard makes the bytes of build_index, several those of rows that are added part by part,
and however the rows are cut, searches give the same bits.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.distributed import build
from cluscomp.distributed.exchange import Parcel, discard, packed, unpacked
from cluscomp.encoders.base import EncoderInfo
from cluscomp.errors import DuplicateIdError, NonFiniteError, UnknownKeyError, UsageError
from cluscomp.indexes.build.appending import append_rows
from cluscomp.indexes.build.source import Given
from cluscomp.indexes.verify import verify_index
from tests.distributed.conftest import DIM, contents, manifest, same_hits

KEYS = (
    "Flat", "OPQ4,IVF8,PQ4x4,RFlat", "RR,IVF8,RaBitQ,Refine(SQ8)", "BIVF8(cap=1),SQ8",
    "OPQ4,BIVF8(cap=1.2),PQ4x4,RFlat", "L2norm,PCA8,Flat",
)  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_shards_are_the_single_build(tmp_path, vectors, queries, key, metric):
    cc.build_index(vectors, index_key=key, metric=metric, output=tmp_path / "whole")
    whole = cc.open_index(tmp_path / "whole")
    for shards in (1, 2, 7):
        output = tmp_path / f"{shards}"
        report = build(vectors, index_key=key, metric=metric, output=output, shards=shards)
        index = cc.open_index(output, verify=True)
        assert len(index.segments) == shards and report.n == len(index) == 2000
        same_hits(index, whole, queries)
        assert not verify_index(output, "deep")
    assert contents(tmp_path / "1") == contents(tmp_path / "whole")
    assert manifest(tmp_path / "1") == manifest(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "7", "whole"]


@pytest.mark.parametrize("key", ["IVF8,PQ4x4,RFlat", "SQ8"])
def test_segments_are_those_of_rows_added_part_by_part(tmp_path, vectors, key):
    x = np.load(vectors)
    ids = [f"row {number}" for number in range(len(x))]
    (tmp_path / "ids.txt").write_text("\n".join(ids))
    build(vectors, index_key=key, output=tmp_path / "shards", shards=3, ids=tmp_path / "ids.txt")
    build(vectors, index_key=key, output=tmp_path / "grown", shards=1, ids=tmp_path / "ids.txt")
    cc.open_index(tmp_path / "grown").delete(ids)
    grown = cc.index_factory(key, DIM).train(x)
    for start, stop in ((0, 666), (666, 1333), (1333, 2000)):
        grown.add(x[start:stop], ids[start:stop])
    grown.save(tmp_path / "added")
    assert contents(tmp_path / "shards") == contents(tmp_path / "added")
    assert cc.open_index(tmp_path / "shards").ids.tolist() == ids


def test_documents(tmp_path):
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 40, size=151)
    x = rng.standard_normal((int(lengths.sum()), DIM)).astype(np.float32)
    np.savez(tmp_path / "x.npz", embeddings=x, lengths=lengths)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "lengths.npy", lengths)
    for number, key in enumerate(
        ("Pool(n=3),IVF4,SQ8", "Pool4(ward),BIVF8(cap=1.1),PQ4", "Pool(f=4),OPQ4,PQ4x4")
    ):
        options = {"index_key": key, "max_train_rows": 400}
        cc.build_index(x, lengths=lengths, output=tmp_path / f"whole{number}", **options)
        whole = cc.open_index(tmp_path / f"whole{number}")
        for shards in (1, 3):
            output = tmp_path / f"{number}-{shards}"
            if shards == 3:
                lengths_file = tmp_path / "lengths.npy"
                build(tmp_path / "x.npy", lengths=lengths_file, output=output, shards=shards, **options)
            else:
                build(tmp_path / "x.npz", output=output, shards=shards, **options)
            same_hits(cc.open_index(output, verify=True), whole, x[:12], lengths=[5, 7])
        assert contents(tmp_path / f"{number}-1") == contents(tmp_path / f"whole{number}")


def test_training_on_all_pooled_documents(tmp_path):
    """Where all vectors are wanted, the sample is in the order of the documents, as in a build of all."""
    rng = np.random.default_rng(2)
    lengths = rng.integers(1, 9, size=90)
    x = rng.standard_normal((int(lengths.sum()), DIM)).astype(np.float32)
    np.savez(tmp_path / "x.npz", embeddings=x, lengths=lengths)
    cc.build_index(x, lengths=lengths, index_key="Pool(n=3),IVF4,SQ8", output=tmp_path / "whole")
    build(tmp_path / "x.npz", index_key="Pool(n=3),IVF4,SQ8", output=tmp_path / "one")
    assert contents(tmp_path / "one") == contents(tmp_path / "whole")


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    words = ["red", "green", "blue", "cat", "dog", "bird", "sees", "the", "a", "of"]
    rng = np.random.default_rng(3)
    path = tmp_path / "corpus.jsonl"
    with path.open("w") as file:
        for number in range(150):
            text = " ".join(rng.choice(words, size=int(rng.integers(2, 30))))
            line = {
                "_id": f"d{number}",
                "title": f"t{number % 7}",
                "text": text,
                "metadata": {"n": number % 5},
            }
            file.write(json.dumps(line) + "\n")
    return path


@pytest.mark.parametrize("key", ["Sparse(bm25,bits=8)", "Seismic(bm25)"])
def test_terms(tmp_path, corpus, key):
    options = {"index_key": key, "store_texts": True, "attributes_from": "metadata"}
    cc.build_index(corpus, output=tmp_path / "whole", encoder=cc.load_encoder("words", "words"), **options)
    for shards in (1, 3):
        build(
            corpus, output=tmp_path / f"{shards}", shards=shards,
            encoder=cc.load_encoder("words", "words"), **options,
        )  # fmt: skip
    queries = cc.load_encoder("words", "words").encode_queries(["red cat", "bird of blue dog"])
    whole, three = cc.open_index(tmp_path / "whole"), cc.open_index(tmp_path / "3", verify=True)
    if key.startswith("Sparse"):  # blocks of similar rows are those of a segment
        same_hits(three, whole, queries)
        same_hits(three, whole, queries, filter="n >= 3")
    assert contents(tmp_path / "1") == contents(tmp_path / "whole")
    assert three.get(["d77"])[0].text == whole.get(["d77"])[0].text != ""


class Letters:
    """Letters counted: one vector a text."""

    info = EncoderInfo("letters", "dense", 26, False, "", "", None, "letters")

    def encode_documents(self, texts, progress=None):
        letters = [[1 + len(text) + text.count(chr(97 + i)) for i in range(26)] for text in texts]
        return np.array(letters, dtype=np.float32)

    encode_queries = encode_documents


def test_texts_with_an_encoder(tmp_path, corpus):
    for number, key in enumerate(("IVF4,SQ8", "BIVF4(cap=1),PQ13x4+Sparse(bm25,bits=8)")):
        options = {"index_key": key, "encoder": Letters(), "store_texts": True}
        cc.build_index(corpus, output=tmp_path / f"whole{number}", **options)
        for shards in (1, 3):
            build(corpus, output=tmp_path / f"{number}-{shards}", shards=shards, **options)
        whole, three = cc.open_index(tmp_path / f"whole{number}"), cc.open_index(tmp_path / f"{number}-3")
        assert contents(tmp_path / f"{number}-1") == contents(tmp_path / f"whole{number}")
        assert manifest(tmp_path / f"{number}-1") == manifest(tmp_path / f"whole{number}")
        np.testing.assert_array_equal(three.ids, whole.ids)
        assert three.encoder == whole.encoder


def test_attributes_by_id_and_in_order(tmp_path, vectors, queries):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    year = np.arange(2000) % 30
    parquet.write_table(
        pa.table({"id": np.arange(2000)[::-1], "year": year[::-1]}), tmp_path / "by_id.parquet"
    )
    parquet.write_table(pa.table({"year": year}), tmp_path / "in_order.parquet")
    parquet.write_table(pa.table({"id": [3], "year": [1]}), tmp_path / "one.parquet")
    parquet.write_table(pa.table({"id": [-5], "year": [1]}), tmp_path / "none.parquet")
    parquet.write_table(pa.table({"year": [1, 2]}), tmp_path / "few.parquet")
    cc.build_index(
        vectors, index_key="IVF8,SQ8", output=tmp_path / "whole", attributes=tmp_path / "by_id.parquet"
    )
    whole = cc.open_index(tmp_path / "whole")
    for name in ("by_id", "in_order"):
        attributes = tmp_path / f"{name}.parquet"
        build(vectors, index_key="IVF8,SQ8", output=tmp_path / name, shards=3, attributes=attributes)
        same_hits(cc.open_index(tmp_path / name), whole, queries, filter="year < 4")
    build(
        vectors, index_key="IVF8,SQ8", output=tmp_path / "one", shards=3, attributes=tmp_path / "one.parquet"
    )
    assert cc.open_index(tmp_path / "one").search(queries, 3, filter="year == 1")[1].tolist() == [[3]] * 40
    for name, words in (("none", "none of the ids"), ("few", "2000 rows, but 2 rows")):
        with pytest.raises(cc.errors.InputError, match=words):
            attributes = tmp_path / f"{name}.parquet"
            build(vectors, index_key="SQ8", output=tmp_path / "bad", shards=3, attributes=attributes)
    assert not [path for path in tmp_path.iterdir() if "bad" in path.name]


def test_part_files_and_float16(tmp_path, vectors, queries):
    x = np.load(vectors).astype(np.float16)
    (tmp_path / "parts").mkdir()
    np.save(tmp_path / "parts" / "part_2.npy", x[:700])
    np.save(tmp_path / "parts" / "part_10.npy", x[700:])
    cc.build_index(tmp_path / "parts", index_key="IVF8,PQ4", output=tmp_path / "whole")
    build(tmp_path / "parts", index_key="IVF8,PQ4", output=tmp_path / "shards", shards=4)
    same_hits(cc.open_index(tmp_path / "shards"), cc.open_index(tmp_path / "whole"), queries)


def test_an_index_in_shards_grows_as_others_do(tmp_path, vectors, queries):
    x = np.load(vectors)
    build(vectors, index_key="IVF8,SQ8", output=tmp_path / "i", shards=3)
    index = cc.open_index(tmp_path / "i")
    report = append_rows(index, Given(x[:50], None, None, None, "fail"))
    assert report.rows == 2050 and index.ids.tolist() == list(range(2050))
    index.compact(segments=1)
    index.save(tmp_path / "i")
    assert len(cc.open_index(tmp_path / "i").segments) == 1


def test_errors_of_a_shard_name_it_and_leave_nothing(tmp_path, vectors):
    x = np.load(vectors)
    x[1999, 3] = np.nan
    np.save(tmp_path / "nan.npy", x)
    with pytest.raises(NonFiniteError, match=r"shard 2: .*1999"):
        build(tmp_path / "nan.npy", index_key="SQ8", output=tmp_path / "i", shards=3, max_train_rows=20)
    np.save(tmp_path / "ids.npy", np.r_[np.arange(1999), 4])
    with pytest.raises(DuplicateIdError, match="4"):
        build(vectors, index_key="SQ8", output=tmp_path / "i", shards=3, ids=tmp_path / "ids.npy")
    with pytest.raises(UsageError, match="save it to one"):
        build(x, index_key="SQ8", output=tmp_path / "i")
    with pytest.raises(UsageError, match="2001 shards of 2000 rows"):
        build(vectors, index_key="SQ8", output=tmp_path / "i", shards=2001)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ids.npy", "nan.npy"]


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize("key", ["PCA8,IVF8,SQ8", "OPQ4,IVF8,PQ4x4,RFlat", "SQ8"])
def test_lists_trained_in_parts_have_the_bits_of_one_process(tmp_path, vectors, key, metric):
    for train in ("single", "distributed"):
        build(vectors, index_key=key, metric=metric, output=tmp_path / train, shards=3, train=train)
    one, two = tmp_path / "single", tmp_path / "distributed"
    assert contents(one) == contents(two) and manifest(one) == manifest(two)


def test_what_cannot_train_in_parts_is_refused(tmp_path, vectors):
    with pytest.raises(UsageError, match="BIVF8.* trains in one place"):
        build(vectors, index_key="BIVF8,SQ8", output=tmp_path / "i", shards=3, train="distributed")
    with pytest.raises(UnknownKeyError, match="train"):
        build(vectors, index_key="SQ8", output=tmp_path / "i", shards=3, train="everywhere")


def test_large_arrays_travel_as_files(tmp_path):
    large, small = np.arange(20_000.0), np.arange(3)
    sent = packed((large, small, "text"), tmp_path)
    assert isinstance(sent[0], Parcel) and sent[1] is small and len(list(tmp_path.iterdir())) == 1
    np.testing.assert_array_equal(unpacked(sent)[0], large)
    discard(sent)
    assert not list(tmp_path.iterdir())
