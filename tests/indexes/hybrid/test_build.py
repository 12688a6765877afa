"""Builds of both forms from texts: the index of `add`, also after a kill, and one segment more by append."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cluscomp.encoders import load_encoder
from cluscomp.encoders.base import EncoderInfo
from cluscomp.encoders.hybrid import HybridEncoder
from cluscomp.encoders.remembered import remembered_encoder
from cluscomp.errors import EncoderMismatchError, InfeasibleError, UsageError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.build import build_index, plan_build
from cluscomp.indexes.build.appending import append_rows
from cluscomp.indexes.build.source import Given
from cluscomp.indexes.verify import verify_index
from tests.indexes.hybrid.conftest import texts_of

KEY = "IVF4,PQ13x4+Sparse(bm25,bits=8)"
DOCUMENTS = [(f"d{i}", f"Title {i}", text) for i, text in enumerate(texts_of(300, 1))]
TEXTS = [f"{title} {text}" for _, title, text in DOCUMENTS]


class Letters:
    """Letters counted: one vector a text, or one a word."""

    def __init__(self, kind="dense"):
        self.info = EncoderInfo("letters", kind, 26, False, "", "", None, kind * 4)

    def encode_documents(self, texts, progress=None):
        parts = [text.split() if self.info.kind == "tokens" else [text] for text in texts]
        rows = np.array(
            [
                [1 + len(p) + p.lower().count(chr(97 + i)) + len(p) * i % 7 for i in range(26)]
                for some in parts
                for p in some
            ],
            np.float32,
        )
        return (rows, np.array([len(some) for some in parts])) if self.info.kind == "tokens" else rows

    encode_queries = encode_documents


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))


def same(one, two, queries, **options):
    for a, b in zip(one.search(queries, 10, **options), two.search(queries, 10, **options), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("key", ["Flat+Sparse(bm25)", KEY])
def test_is_the_index_made_in_memory(tmp_path, key):
    build_index(DOCUMENTS, index_key=key, encoder=Letters(), output=tmp_path / "i", store_texts=True, seed=3)
    built = open_index(tmp_path / "i", verify=True)
    both = HybridEncoder(Letters())
    rows = both.encode_documents(TEXTS)
    whole = index_factory(key, 26, seed=3).train(rows).add(rows, [name for name, _, _ in DOCUMENTS])
    same(built, whole, both.encode_queries(["title w3 w7", "w11", "nothing"]))
    assert verify_index(tmp_path / "i") == [] and built.get(["d7"])[0].title == "Title 7"
    assert built.encoder["kind"] == "hybrid" and built.encoder["words"]["stem"] == "porter"
    whole.encoder = built.encoder
    whole.save(tmp_path / "w")
    names = [{p.name for p in (tmp_path / one).glob("*.words_*.npy")} for one in "iw"]
    assert len(names[0]) == 9 and built.lexical.encoder["kind"] == "words"
    for one, two in zip(*map(sorted, names), strict=True):  # other names of segments, for one stores texts
        assert (tmp_path / "i" / one).read_bytes() == (tmp_path / "w" / two).read_bytes()


def test_documents_of_several_vectors(tmp_path):
    key = "Pool4,IVF4,Flat+Sparse(bm25)"
    build_index(DOCUMENTS, index_key=key, encoder=Letters("tokens"), output=tmp_path / "i")
    index = open_index(tmp_path / "i", verify=True)
    queries = HybridEncoder(Letters("tokens")).encode_queries(["title w3", "w7 w9"])
    assert index.search(queries, 5, candidates=300)[1].shape == (2, 5) and verify_index(tmp_path / "i") == []


def test_append_is_one_segment_of_both(tmp_path):
    build_index(DOCUMENTS[:200], index_key=KEY, encoder=Letters(), output=tmp_path / "i")
    index, both = open_index(tmp_path / "i"), HybridEncoder(Letters())
    report = append_rows(index, Given(DOCUMENTS[190:], both, None, None, "fail"), replace_ids=True)
    assert (report.added, report.replaced, report.rows) == (100, 10, 300)
    assert index.generation == 2 and len(index.segments) == 2 and verify_index(tmp_path / "i") == []
    twin = open_index(tmp_path / "i", generation=1)
    twin.upsert(both.encode_documents(TEXTS[190:]), [name for name, _, _ in DOCUMENTS[190:]])
    same(index, twin, both.encode_queries(TEXTS[:5]))


def test_plan(tmp_path):
    plan = plan_build(DOCUMENTS, index_key=KEY, encoder=Letters())
    names = [stage.name for stage in plan.stages]
    assert names == ["read", "encode", "words", "sample", "train", "add", "write"] and plan.feasible
    report = build_index(DOCUMENTS, index_key=KEY, encoder=Letters(), output=tmp_path / "i")
    assert report.index_bytes == pytest.approx(plan.index_bytes, rel=0.5)
    assert report.code_bytes_per_document > 7  # those of the vectors, and of the words
    with pytest.raises(InfeasibleError):
        build_index(DOCUMENTS, index_key=KEY, encoder=Letters(), output=tmp_path / "j", max_memory="1M")
    assert not (tmp_path / "j").exists()


def test_the_encoder_is_remembered(monkeypatch):
    import cluscomp.encoders

    real = load_encoder
    monkeypatch.setattr(
        cluscomp.encoders,
        "load_encoder",
        lambda name, kind="dense", **more: Letters() if kind == "dense" else real(name, kind),
    )
    info = HybridEncoder(Letters()).info.to_json()
    again = remembered_encoder(json.loads(json.dumps(info)), None, "")
    assert again.info.fingerprint == info["fingerprint"]
    assert again.encode_queries(["running dogs"]).terms.mapping(0) == {"run": 1.0, "dog": 1.0}
    info["vectors"]["fingerprint"] = "another"
    with pytest.raises(EncoderMismatchError):
        remembered_encoder(info, None, "")


def test_what_does_not_go_together(tmp_path):
    out = tmp_path / "i"
    with pytest.raises(UsageError, match="pass a corpus"):
        build_index(np.zeros((5, 26), np.float32), index_key=KEY, output=out)
    with pytest.raises(UsageError, match="needs kind 'sparse'"):
        build_index(DOCUMENTS, index_key="Flat+Sparse", encoder=Letters(), output=out)
    with pytest.raises(UsageError, match="several vectors a text"):
        build_index(DOCUMENTS, index_key="Flat+Sparse(bm25)", encoder=Letters("tokens"), output=out)
    assert not out.exists()


SCRIPT = """
import json, os, signal, sys
sys.path.insert(0, sys.argv[3])
from tests.indexes.hybrid.test_build import DOCUMENTS, KEY, Letters
from cluscomp.indexes.build import build_index

def progress(name, done, total):
    if name == sys.argv[2] and done:
        os.kill(os.getpid(), signal.SIGKILL)

report = build_index(
    DOCUMENTS, index_key=KEY, encoder=Letters(), output=sys.argv[1], if_exists="resume", progress=progress
)
print(json.dumps(report.resumed))
"""


@pytest.mark.parametrize("stage", ["words", "train", "add"])
def test_killed_and_resumed(tmp_path, stage):
    def run(until):
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "i"), until, str(Path.cwd())]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert run(stage).returncode == -9
    done = run("never")
    assert done.returncode == 0, done.stderr
    build_index(DOCUMENTS, index_key=KEY, encoder=Letters(), output=tmp_path / "w")
    assert {p.name for p in (tmp_path / "i").glob("[sp]*.npy")} == {
        p.name for p in (tmp_path / "w").glob("[sp]*.npy")
    }
