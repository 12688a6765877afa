"""Builds of indexes of terms: the same as rows added in Python, in small blocks, shards, killed and resumed."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from cluscomp.bench.sentences import docstring_sentences, source_folders
from cluscomp.encoders import load_encoder
from cluscomp.errors import EmptyInputError, UsageError
from cluscomp.eval import evaluate_index, load_beir
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.build import build_index, clustered_term_writer, plan_build, term_writer, terms
from cluscomp.indexes.verify import verify_index
from cluscomp.terms import as_term_rows

DOCUMENTS = [(f"d{i}", f"title{i % 7}", f"word{i % 13} word{i % 5} rare{i} shared") for i in range(900)]
TEXTS = [f"{title} {text}" for _, title, text in DOCUMENTS]
ROWS = [{f"t{i % 11}": 1.0 + i % 3, f"u{i}": 0.5, "all": 0.25} for i in range(700)]


def same(one, other):
    """The stored arrays of two indexes of one segment are equal."""
    for name, array in one.segments[0].arrays().items():
        np.testing.assert_array_equal(array, other.segments[0].arrays()[name], err_msg=name)


@pytest.mark.parametrize("key", ["Sparse(bm25)", "Sparse(bm25,bits=8)", "Seismic(bm25,bits=8)"])
def test_texts(tmp_path, key, monkeypatch):
    monkeypatch.setattr(terms, "TEXTS", 100)  # blocks of texts
    monkeypatch.setattr(term_writer, "_READ", 257)  # pieces of the passes over the postings
    for module, name in ((term_writer, "SORTED_BYTES"), (clustered_term_writer, "_DIVIDED_BYTES")):
        monkeypatch.setattr(module, name, 1 << 16)  # so that terms are put in order some at a time
    report = build_index(DOCUMENTS, index_key=key, output=tmp_path / "i", store_texts=True)
    assert report.n == 900
    built = open_index(tmp_path / "i", verify=True)
    added = index_factory(key, 1).train(TEXTS).add(TEXTS, [name for name, _, _ in DOCUMENTS])
    same(built, added)
    assert built.encoder == added.encoder and built.ids.tolist() == added.ids.tolist()
    assert verify_index(tmp_path / "i") == []
    assert [record.text for record in built.get(["d0"], vectors=False)] == [DOCUMENTS[0][2]]
    for name, array in added.pipeline.codec.parameters().items():
        np.testing.assert_array_equal(built.pipeline.codec.parameters()[name], array)


@pytest.mark.parametrize(
    "key", ["Sparse", "Sparse(bits=16)", "Sparse(bits=8)", "Seismic", "Seismic(bits=16)"]
)
@pytest.mark.parametrize("form", ["mappings", "file", "rows"])
def test_rows_of_terms(tmp_path, key, form):
    ids = None
    if form == "file":
        lines = [json.dumps({"id": f"d{i}", "vector": row}) for i, row in enumerate(ROWS)]
        source = tmp_path / "x.jsonl"
        source.write_text("\n".join(lines))
    else:
        source = ROWS if form == "mappings" else as_term_rows(ROWS)
        ids = [f"d{i}" for i in range(700)]
    build_index(source, index_key=key, output=tmp_path / "i", ids=ids)
    built = open_index(tmp_path / "i", verify=True)
    added = index_factory(key, 1).train(ROWS).add(ROWS, [f"d{i}" for i in range(700)])
    same(built, added)
    assert built.search([{"all": 1.0, "u5": 2.0}], 1)[1].tolist() == [["d5"]]


@pytest.mark.parametrize("key", ["Sparse", "Seismic"])
def test_plan_is_near_the_index(tmp_path, key):
    plan = plan_build(ROWS, index_key=key)
    assert [stage.name for stage in plan.stages] == ["encode", "add", "write"] and plan.feasible
    report = build_index(ROWS, index_key=key, output=tmp_path / "i")
    assert report.index_bytes == pytest.approx(plan.index_bytes, rel=0.6)
    texts = plan_build(DOCUMENTS, index_key="Sparse(bm25)")
    assert [stage.name for stage in texts.stages] == ["read", "encode", "add", "write"]


def test_plan_counts_words_of_a_sample(tmp_path):
    """Postings are estimated by the words of some texts, so that short words take their room."""
    rng = np.random.default_rng(0)
    for width in (2, 12):
        words = [f"{i:0{width}x}" for i in range(200)]
        documents = [(f"d{i}", "", " ".join(rng.choice(words, 30))) for i in range(500)]
        plan = plan_build(documents, index_key="Sparse(bm25)")
        build_index(documents, index_key="Sparse(bm25)", output=tmp_path / str(width))
        index = open_index(tmp_path / str(width))
        assert plan.code_bytes_per_document == pytest.approx(index.code_bytes_per_document, rel=0.15)


@pytest.mark.parametrize("key", ["Seismic(bm25,bits=8)", "Seismic(bm25,bits=8,summary_energy=0.2)"])
def test_plan_of_clustered_postings_of_short_texts(tmp_path, key):
    """Sentences of 10 words."""
    texts = docstring_sentences(source_folders(packages=False), 8000)
    documents = [(str(i), "", text) for i, text in enumerate(texts)]
    plan = plan_build(documents, index_key=key)
    report = build_index(documents, index_key=key, output=tmp_path / "i")
    assert plan.index_bytes == pytest.approx(report.index_bytes, rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["", ",summary_terms=0", ",summary_terms=2", ",summary_energy=0.2"])
@pytest.mark.parametrize("name", ["scifact", "cranfield", "npl"])
def test_plan_of_clustered_postings_of_long_texts(shared_data, tmp_path, name, setting):
    """Abstracts of 103, 71 and 23 words."""
    key = f"Seismic(bm25,bits=8{setting})"
    plan = plan_build(shared_data / name, index_key=key, empty_documents="keep")
    report = build_index(shared_data / name, index_key=key, output=tmp_path / "i", empty_documents="keep")
    assert plan.index_bytes == pytest.approx(report.index_bytes, rel=0.2)


def test_what_does_not_go_together(tmp_path):
    words = load_encoder("words", "words")
    out = tmp_path / "i"
    with pytest.raises(UsageError, match="needs kind 'sparse'"):
        build_index(DOCUMENTS, index_key="Sparse", encoder=words, output=out)
    with pytest.raises(UsageError, match="lengths belong to token vectors"):
        build_index(ROWS, index_key="Sparse", lengths=[1], output=out)
    with pytest.raises(UsageError, match="have their own ids"):
        build_index(DOCUMENTS, index_key="Sparse(bm25)", ids=[1], output=out)
    with pytest.raises(UsageError, match="store_texts"):
        build_index(ROWS, index_key="Sparse", store_texts=True, output=out)
    with pytest.raises(EmptyInputError, match="no terms at all"):
        build_index([("a", "", "the"), ("b", "", "of")], index_key="Sparse(bm25)", output=out)
    with pytest.raises(EmptyInputError, match="0 rows"):
        build_index([], index_key="Sparse", output=out)
    with pytest.raises(UsageError, match="metric 'ip'"):
        build_index(ROWS, index_key="Sparse", metric="l2", output=out)
    assert not out.exists()


def test_other_stop_words(tmp_path):
    encoder = load_encoder("words(stop=none)", "words")
    build_index(
        [("a", "", "to be"), ("b", "", "be")],
        index_key="Sparse(bm25)",
        encoder=encoder,
        output=tmp_path / "i",
    )
    index = open_index(tmp_path / "i")
    assert index.search(["to"], 1)[1].tolist() == [["a"]]  # the index splits queries as it splits documents
    assert index.encoder["stop_words"] == "none"


SCRIPT = """
import json, os, signal, sys
from cluscomp.indexes.build import build_index

def progress(name, done, total):
    if name == sys.argv[2] and done:
        os.kill(os.getpid(), signal.SIGKILL)

rows = [{f"t{i % 11}": 1.0 + i % 3, f"u{i}": 0.5, "all": 0.25} for i in range(700)]
report = build_index(rows, index_key="Sparse(bits=8)", output=sys.argv[1], if_exists="resume", progress=progress)
print(json.dumps(report.resumed))
"""


@pytest.mark.parametrize(
    ("stage", "resumed"), [("encode", []), ("train", ["encode"]), ("add", ["encode", "train"])]
)
def test_killed_and_resumed(tmp_path, stage, resumed):
    def run(until):
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "i"), until]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert run(stage).returncode == -9
    done = run("never")
    assert done.returncode == 0, done.stderr
    assert set(resumed) <= set(json.loads(done.stdout)) | {"train"}
    same(open_index(tmp_path / "i"), index_factory("Sparse(bits=8)", 1).train(ROWS).add(ROWS))


FIGURES = {"scifact": 0.6617, "cranfield": 0.4983, "npl": 0.3535, "limit-small": 0.9971}


@pytest.mark.parametrize("name", list(FIGURES))
def test_figures_of_bm25(shared_data, tmp_path, name):
    """nDCG@10 of the shared collections, with floats and with 8 bits a weight."""
    _, queries, qrels = load_beir(shared_data / name)
    for key, tolerance in (("Sparse(bm25)", 0.002), ("Sparse(bm25,bits=8)", 0.003)):
        build_index(shared_data / name, index_key=key, output=tmp_path / key, empty_documents="keep")
        index = open_index(tmp_path / key)
        report = evaluate_index(index, [queries[q] for q in qrels], list(qrels), qrels)
        assert report.metrics["ndcg@10"] == pytest.approx(FIGURES[name], abs=tolerance)
        facts = index.describe()["terms"]
        assert facts["bytes_per_posting"] < (8.5 if key == "Sparse(bm25)" else 4.5)
