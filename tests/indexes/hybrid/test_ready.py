"""Hybrid indexes from vectors that are there already, with texts or terms of the same documents."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cluscomp.encoders import load_encoder
from cluscomp.encoders.hybrid import HybridEncoder
from cluscomp.encoders.remembered import remembered_encoder, remembered_words
from cluscomp.errors import DimensionError, InputError, NonFiniteError, UsageError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.build import build_index, plan_build
from cluscomp.indexes.build.appending import append_rows
from cluscomp.indexes.build.source import Given
from cluscomp.indexes.verify import verify_index
from cluscomp.terms import HybridRows
from tests.indexes.hybrid.test_build import DOCUMENTS, TEXTS, Letters, same

IDS = [name for name, _, _ in DOCUMENTS]
LATE = "Pool4,IVF4,Flat+Sparse(bm25)"
QUERIES = ["title w3 w7", "w11", "nothing"]
FORMS = [("IVF4,PQ13x4+Sparse(bm25,bits=8)", "dense"), (LATE, "tokens"), ("Flat+Seismic(bm25)", "dense")]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    lines = [json.dumps({"_id": i, "title": title, "text": text}) for i, title, text in DOCUMENTS]
    path.write_text("\n".join(lines))
    return path


def vectors_of(kind):
    found = Letters(kind).encode_documents(TEXTS)
    return (found[0], {"lengths": found[1]}) if kind == "tokens" else (found, {})


@pytest.mark.parametrize(("key", "kind"), FORMS)
def test_from_texts_or_terms_beside_vectors_is_the_index_from_texts(tmp_path, corpus, key, kind):
    x, more = vectors_of(kind)
    both = HybridEncoder(Letters(kind))
    build_index(DOCUMENTS, index_key=key, encoder=Letters(kind), output=tmp_path / "texts", seed=1)
    common = {"index_key": key, "seed": 1, "ids": IDS, **more}
    build_index(x, texts=corpus, output=tmp_path / "a", **common)
    terms = load_encoder("words(stem=porter)", "words").encode_documents(TEXTS)
    build_index(x, terms=terms, output=tmp_path / "b", **common)
    whole, asked = open_index(tmp_path / "texts"), both.encode_queries(QUERIES)
    for name in "ab":
        index = open_index(tmp_path / name, verify=True)
        assert index.ids.tolist() == IDS and verify_index(tmp_path / name) == []
        same(index, whole, asked, k_beyond="clip")
        names = [{p.name for p in (tmp_path / one).glob("[sp]*.npy")} for one in ("texts", name)]
        assert names[0] == names[1]  # names are those of the contents
    rows = HybridRows(x, terms, more.get("lengths"))
    same(index_factory(key, 26, seed=1).train(rows).add(rows, IDS), whole, asked)


@pytest.mark.parametrize("known", [None, Letters(), HybridEncoder(Letters()), load_encoder("words", "words")])
def test_encoders_are_written_down_as_far_as_they_are_known(tmp_path, corpus, known):
    x, _ = vectors_of("dense")
    build_index(x, ids=IDS, texts=corpus, encoder=known, index_key="Flat+Sparse(bm25)", output=tmp_path / "i")
    index = open_index(tmp_path / "i")
    info, words_only = index.encoder, known is not None and known.info.kind == "words"
    assert info["kind"] == "hybrid" and info["words"]["stem"] == ("none" if words_only else "porter")
    assert (info["vectors"] is None) == (known is None or words_only)
    if info["vectors"] is None:
        with pytest.raises(UsageError, match="its vectors came ready"):
            remembered_encoder(info, None, "")
        assert index.dense.encoder is None and index.lexical.encoder == info["words"]
    else:
        assert info["fingerprint"] == HybridEncoder(Letters()).info.fingerprint
    assert remembered_words(info, "").info.fingerprint == info["words"]["fingerprint"]
    found = index.search(HybridRows(x[:2], TEXTS[:2]), 1, weight=0)[
        1
    ]  # texts are split as those of the index
    assert found.ravel().tolist() == IDS[:2]


def test_terms_that_came_ready_have_no_encoder(tmp_path):
    x, _ = vectors_of("dense")
    rows = [{"a": 1.0, "b": 0.5}] * len(x)
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(json.dumps({"id": i, "vector": row}) for i, row in zip(IDS, rows, strict=True)))
    build_index(x, terms=path, index_key="Flat+Sparse(bits=8)", output=tmp_path / "i")
    index = open_index(tmp_path / "i")
    assert index.encoder is None and index.ids.tolist() == IDS
    with pytest.raises(UsageError, match="does not count words"):
        index.search(HybridRows(x[:1], ["a"]), 1)
    with pytest.raises(UsageError, match="came ready"):
        append_rows(index, Given(x[:1], None, ["new"], None, "fail", texts=[("new", "", "a b")]))
    with pytest.raises(UsageError, match="came ready"):
        remembered_words(index.encoder, "pass terms")


@pytest.mark.parametrize(("key", "kind"), FORMS)
def test_more_rows_from_vectors(tmp_path, key, kind):
    """Rows of files and arrays, by texts and by terms, are those of `upsert`."""
    x, more = vectors_of(kind)
    terms = load_encoder("words(stem=porter)", "words").encode_documents(TEXTS)
    rows = HybridRows(x, terms, more.get("lengths"))
    first, later = rows[:200], rows[190:]
    build_index(
        first.vectors, ids=IDS[:200], lengths=first.lengths, texts=DOCUMENTS[:200], index_key=key,
        output=tmp_path / "i",
    )  # fmt: skip
    twin = open_index(tmp_path / "i")
    twin.upsert(later, IDS[190:])
    np.save(tmp_path / "x.npy", later.vectors)
    (tmp_path / "ids.txt").write_text("\n".join(IDS[190:]))
    one, two = open_index(tmp_path / "i"), None
    source = tmp_path / "x.npy" if kind == "dense" else later.vectors
    given = Given(source, None, tmp_path / "ids.txt", later.lengths, "fail", texts=DOCUMENTS[190:])
    report = append_rows(one, given, replace_ids=True)
    assert (report.added, report.replaced, report.rows) == (100, 10, 300)
    asked = HybridEncoder(Letters(kind)).encode_queries(QUERIES)
    same(one, twin, asked)
    two = open_index(tmp_path / "i", generation=1)
    two.save(tmp_path / "j")
    two = open_index(tmp_path / "j")
    append_rows(
        two, Given(later.vectors, None, IDS[190:], later.lengths, "fail", terms=later.terms), replace_ids=True
    )
    same(two, twin, asked)
    assert verify_index(tmp_path / "i") == verify_index(tmp_path / "j") == []


def test_numbers(tmp_path):
    """Where neither side has ids rows are numbered, and terms without ids take those of the vectors."""
    x, _ = vectors_of("dense")
    terms = [{"a": 1.0 + i} for i in range(len(x))]
    build_index(x, terms=terms, index_key="Flat+Sparse", output=tmp_path / "i")
    assert open_index(tmp_path / "i").ids.tolist() == list(range(300))
    build_index(x, ids=np.arange(300) + 7, terms=terms, index_key="Flat+Sparse", output=tmp_path / "j")
    index = open_index(tmp_path / "j")
    assert index.ids.tolist() == list(range(7, 307)) and index.terms([9]) == [{"a": 3.0}]
    append_rows(index, Given(x[:2], None, None, None, "fail", terms=[{"a": 1}, {"b": 1}]))
    assert index.ids.tolist()[-2:] == [307, 308]


def test_texts_and_attributes_are_kept(tmp_path, corpus):
    x, _ = vectors_of("dense")
    lines = [
        json.loads(line) | {"metadata": {"year": 1700 + i}}
        for i, line in enumerate(corpus.read_text().splitlines())
    ]
    corpus.write_text("\n".join(map(json.dumps, lines)))
    build_index(
        x, texts=corpus, index_key="Flat+Sparse(bm25)", store_texts=True, attributes_from="metadata",
        output=tmp_path / "i",
    )  # fmt: skip
    record = open_index(tmp_path / "i").get(["d7"])[0]
    assert (record.title, record.attributes) == ("Title 7", {"year": 1707})


def test_documents_must_be_the_same(tmp_path, corpus):
    x, _ = vectors_of("dense")
    out = {"index_key": "Flat+Sparse(bm25)", "output": tmp_path / "i"}
    swapped = [IDS[1], IDS[0], *IDS[2:]]
    with pytest.raises(
        InputError, match="300 vectors and 300 texts, and at row 0 the vector has the id 'd1'"
    ):
        build_index(x, ids=swapped, texts=corpus, **out)
    with pytest.raises(DimensionError, match="299 vectors and 300 texts, and row 299 has a text"):
        build_index(x[:299], texts=corpus, **out)
    with pytest.raises(DimensionError, match="300 vectors and 299 rows of terms, and row 299 has a vector"):
        build_index(x, terms=[{"a": 1.0}] * 299, **out)
    with pytest.raises(InputError, match="at row 0"):
        plan_build(x, ids=swapped, texts=corpus, index_key="Flat+Sparse(bm25)")
    with pytest.raises(DimensionError, match="29 vectors and 300 texts"):
        tokens, more = vectors_of("tokens")
        build_index(tokens[: more["lengths"][:29].sum()], lengths=more["lengths"][:29], texts=corpus,
                    index_key=LATE, output=tmp_path / "i")  # fmt: skip
    x[5, 3] = np.nan
    with pytest.raises(NonFiniteError, match="d5"):
        build_index(x, ids=IDS, texts=corpus, **out)
    assert not (tmp_path / "i").exists() and not list(tmp_path.glob(".*partial"))


def test_what_does_not_go_together(tmp_path, corpus):
    x, _ = vectors_of("dense")
    out = {"output": tmp_path / "i"}
    for arguments, message in (
        ({"texts": corpus, "terms": [{"a": 1.0}] * 300, "index_key": "Flat+Sparse(bm25)"}, "both given"),
        ({"texts": corpus, "index_key": "Flat"}, "stand beside the vectors of hybrid keys"),
        ({"texts": corpus, "index_key": "Flat+Sparse"}, "kind 'sparse'"),
        ({"index_key": "Flat+Sparse(bm25)"}, "texts=, --corpus"),
        ({"terms": [{"a": 1.0}] * 300, "encoder": load_encoder("words", "words"), "index_key": "Flat+Sparse(bm25)"},
         "makes terms of texts"),
        ({"texts": corpus, "index_key": LATE}, "say how many each document"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            build_index(x, **arguments, **out)
    with pytest.raises(UsageError, match="texts"):
        build_index(DOCUMENTS, texts=corpus, encoder=Letters(), index_key="Flat+Sparse(bm25)", **out)
    with pytest.raises(InputError, match="text alone"):
        build_index(x, texts=TEXTS, index_key="Flat+Sparse(bm25)", **out)


def test_texts_in_memory(tmp_path):
    """Texts in `HybridRows` are split into stems where training meets the first, and alike ever after."""
    x, _ = vectors_of("dense")
    stems = load_encoder("words(stem=porter)", "words")
    index = index_factory("Flat+Sparse(bm25)", 26).train(HybridRows(x, TEXTS)).add(HybridRows(x, TEXTS), IDS)
    other = index_factory("Flat+Sparse(bm25)", 26)
    rows = HybridRows(x, stems.encode_documents(TEXTS))
    other.train(rows).add(rows, IDS)
    same(index, other, HybridRows(x[:5], stems.encode_queries(TEXTS[:5])))
    index.save(tmp_path / "i")
    opened = open_index(tmp_path / "i")
    for one, two in zip(
        opened.search(HybridRows(x[:5], TEXTS[:5]), 10),
        index.search(HybridRows(x[:5], stems.encode_queries(TEXTS[:5])), 10), strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(one, two)
    with pytest.raises(UsageError, match="came ready"):
        other.add(HybridRows(x[:1], ["running"]), ["new"])
    assert HybridRows(x, TEXTS)[3:5].terms == TEXTS[3:5]
    assert (
        HybridRows.joined([HybridRows(x[:1], TEXTS[:1]), HybridRows(x[1:2], TEXTS[1:2])]).terms == TEXTS[:2]
    )
    with pytest.raises(DimensionError, match="2 rows of vectors, but 1 texts"):
        HybridRows(x[:2], ["a"])
