"""Hybrid indexes on the command line, of vectors that are there already and texts or terms beside them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cluscomp.encoders import load_encoder

KEY = "Flat+Sparse(bm25,bits=8)"
NAMES = ["cat", "dog", "fish", "bird"]
QUERIES = ["warm stove cat", "cold deep water", "never judged"]


@pytest.fixture
def files(hash_encoder, beir, tmp_path, monkeypatch):
    """Vectors of documents and queries with their ids, and the terms of both, as a file has them."""
    import cluscomp.encoders

    real = load_encoder
    monkeypatch.setattr(
        cluscomp.encoders, "load_encoder",
        lambda name, kind="dense", **_: real(name, kind) if kind == "words" else hash_encoder(name),
    )  # fmt: skip
    texts = [
        f"{row['title']} {row['text']}".strip()
        for row in map(json.loads, (beir / "corpus.jsonl").read_text().splitlines())
    ]
    words = real("words(stem=porter)", "words")
    for name, ids, some in (("x", NAMES, texts), ("q", ["q1", "q2", "q3"], QUERIES)):
        np.save(tmp_path / f"{name}.npy", hash_encoder().encode_documents(some))
        (tmp_path / f"{name}.txt").write_text("\n".join(ids))
        rows = words.encode_documents(some)
        lines = [json.dumps({"id": i, "vector": rows.mapping(n)}) for n, i in enumerate(ids)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    return tmp_path


def built(invoke, files, *arguments, key="Flat", name="both.index"):
    result = invoke(
        "build-index", "--embeddings", files / "x.npy", "--ids", files / "x.txt", "--key", key, "--hybrid",
        *arguments, "-o", files / name,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return files / name


def ids_of(shown):
    return [line.split("\t")[2] for line in shown.stdout.splitlines()]


def test_from_texts(invoke, files, beir):
    index = built(invoke, files, "--corpus", beir, "--store-texts")
    facts = invoke("inspect", index).stdout
    assert KEY in facts and "of an unknown encoder" in facts and "words(stem=porter)" in facts
    refused = invoke("search", index, "--query", "warm cats")
    assert refused.exit_code == 2 and "its vectors came ready" in " ".join(refused.output.split())
    command = ["search", index, "--query-embeddings", files / "q.npy", "-k", "2", "-o", "-"]
    run = invoke(*command, "--queries", beir)
    assert run.exit_code == 0, run.output
    assert run.stdout.split()[:3] == ["q1", "Q0", "cat"]
    alike = invoke(*command, "--query-terms", files / "q.jsonl", "--query-ids", files / "q.txt")
    assert alike.stdout == run.stdout
    figures = ["eval", index, "--dataset", beir, "-k", "3", "--query-embeddings", files / "q.npy", "--json"]
    one = json.loads(invoke(*figures, "--query-ids", files / "q.txt").stdout)
    two = json.loads(invoke(*figures, "--query-terms", files / "q.jsonl").stdout)
    assert one["metrics"] == two["metrics"] and set(one["fused"]["metrics"]) == {"dense", "lexical", "both"}
    missing = invoke(*figures)
    assert missing.exit_code == 4 or "--query-ids" in missing.output


def test_from_texts_with_a_known_encoder(invoke, files, beir):
    index = built(invoke, files, "--corpus", beir, "--encoder", "hash", "--word-encoder", "words")
    assert ids_of(invoke("search", index, "--query", "warm stove cat", "-k", "1")) == ["cat"]
    assert '"stem": "none"' in invoke("inspect", index, "--json").stdout


@pytest.mark.parametrize("form", ["jsonl", "npz"])
def test_from_terms(invoke, files, beir, form):
    if form == "npz":
        sparse = pytest.importorskip("scipy.sparse")
        for name, n in (("x", 4), ("q", 3)):
            weights = np.eye(n, 6, dtype=np.float32)
            sparse.save_npz(files / f"{name}.npz", sparse.csr_array(weights))
    key = KEY if form == "jsonl" else "Flat+Sparse"
    result = invoke(
        "build-index", "--embeddings", files / "x.npy", "--ids", files / "x.txt", "--terms", files / f"x.{form}",
        "--key", key, "-o", files / "i",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    command = [
        "search",
        files / "i",
        "--query-embeddings",
        files / "q.npy",
        "--query-terms",
        files / f"q.{form}",
    ]
    shown = invoke(*command, "-k", "2", "-o", "-", "--fuse-weight", "0")
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.split()[2] == "cat"
    assert "unknown: built from vectors" in invoke("inspect", files / "i").stdout
    refused = invoke("add", files / "i", "--embeddings", files / "x.npy", "--corpus", beir)
    assert refused.exit_code == 2 and "--terms" in refused.output


def test_more_rows(invoke, files, beir):
    """add and upsert take what build-index takes."""
    index = built(invoke, files, "--corpus", beir)
    np.save(files / "new.npy", np.load(files / "x.npy")[:2] * -1)
    (files / "new.txt").write_text("cat\nparrot")
    lines = [{"_id": "cat", "text": "a cat on the roof"}, {"_id": "parrot", "text": "parrots talk"}]
    (files / "new.jsonl").write_text("\n".join(map(json.dumps, lines)))
    more = ["--embeddings", files / "new.npy", "--ids", files / "new.txt", "--corpus", files / "new.jsonl"]
    taken = invoke("add", index, *more)
    assert taken.exit_code == 4 and "'cat'" in taken.output
    dry = invoke("upsert", index, *more, "--dry-run", "--json")
    assert json.loads(dry.stdout)["replaced"] == 1 and json.loads(dry.stdout)["written"] is False
    done = json.loads(invoke("upsert", index, *more, "--json").stdout)
    assert (done["added"], done["replaced"], done["rows"]) == (1, 1, 5)
    (files / "t.jsonl").write_text('{"id": "ant", "vector": {"ant": 1}}')
    np.save(files / "one.npy", np.load(files / "x.npy")[:1])
    added = invoke("add", index, "--embeddings", files / "one.npy", "--terms", files / "t.jsonl")
    assert added.exit_code == 0, added.output
    command = [
        "search",
        index,
        "--query-embeddings",
        files / "one.npy",
        "-k",
        "1",
        "-o",
        "-",
        "--fuse-weight",
        "0",
    ]
    (files / "ask.txt").write_text("a talking parrot\n")
    assert invoke(*command, "--queries", files / "ask.txt").stdout.split()[2] == "parrot"
    assert invoke(*command, "--query-terms", files / "t.jsonl").stdout.split()[2] == "ant"
    assert invoke("verify", index).exit_code == 0
    swapped = (files / "new.txt").write_text("parrot\ncat")
    wrong = invoke("upsert", index, *more)
    assert swapped and wrong.exit_code == 4
    assert "2 vectors and 2 texts, and at row 0 the vector has the id 'parrot'" in " ".join(
        wrong.output.split()
    )


def test_late_interaction(invoke, files, beir):
    x = np.load(files / "x.npy")
    np.save(files / "tokens.npy", np.concatenate([x, x[::-1]]))
    np.save(files / "lengths.npy", np.array([3, 1, 2, 2]))
    common = [
        "--embeddings",
        files / "tokens.npy",
        "--lengths",
        files / "lengths.npy",
        "--ids",
        files / "x.txt",
    ]
    result = invoke(
        "build-index", *common, "--corpus", beir, "--key", "Pool(f=1),Flat", "--hybrid", "-o", files / "i"
    )
    assert result.exit_code == 0, result.output
    q = np.load(files / "q.npy")
    np.save(files / "qt.npy", np.concatenate([q, q]))
    np.save(files / "ql.npy", np.array([2, 2, 2]))
    asked = ["--query-embeddings", files / "qt.npy", "--query-lengths", files / "ql.npy", "--queries", beir]
    shown = invoke("search", files / "i", *asked, "-k", "2", "-o", "-")
    assert shown.exit_code == 0, shown.output
    assert len(shown.stdout.splitlines()) == 6
    assert invoke("upsert", files / "i", *common, "--corpus", beir).exit_code == 0
    no_lengths = invoke("upsert", files / "i", *common[:2], *common[4:], "--corpus", beir)
    assert no_lengths.exit_code == 2 and "lengths" in no_lengths.output


def test_ids_must_agree(invoke, files, beir):
    (files / "x.txt").write_text("cat\ndog\nbird\nfish")
    command = ["build-index", "--embeddings", files / "x.npy", "--corpus", beir, "--key", KEY]
    for extra in (["-o", files / "no"], ["--dry-run"]):
        result = invoke(*command, "--ids", files / "x.txt", *extra)
        said = " ".join(result.output.split())
        assert result.exit_code == 4, result.output
        assert (
            "4 vectors and 4 texts, and at row 2 the vector has the id 'bird', and the text the id 'fish'"
            in said
        )
    assert invoke(*command, "--dry-run").exit_code == 0  # without ids those of the texts
    short = invoke("build-index", "--embeddings", files / "q.npy", "--terms", files / "x.jsonl", "--key", KEY,
                   "-o", files / "no")  # fmt: skip
    assert short.exit_code == 4 and "3 vectors and 4 rows of terms" in " ".join(short.output.split())
    assert not (files / "no").exists()


def test_wrong_flags(invoke, files, beir, text_index):
    index = built(invoke, files, "--corpus", beir)
    x, q, out = files / "x.npy", files / "q.npy", ["-o", files / "no"]
    for command, message in (
        (["build-index", "--embeddings", x, "--key", KEY, *out], "one of --corpus (texts) and --terms is needed"),
        (["build-index", "--embeddings", x, "--corpus", beir, "--terms", files / "x.jsonl", "--key", KEY, *out],
         "both are given"),
        (["build-index", "--corpus", beir, "--encoder", "hash", "--terms", files / "x.jsonl", "--key", KEY, *out],
         "--terms stands beside --embeddings"),
        (["build-index", "--embeddings", x, "--terms", files / "x.jsonl", "--key", "Flat", *out], "keys of two parts"),
        (["build-index", "--embeddings", x, "--corpus", beir, "--key", "Flat", *out], "both are given"),
        (["build-index", "--embeddings", x, "--corpus", beir, "--key", "Flat+Sparse", *out], "--word-encoder"),
        (["add", index, "--embeddings", x], "one of --corpus (texts) and --terms is needed"),
        (["add", index, "--terms", files / "x.jsonl"], "neither is given"),
        (["add", text_index, "--embeddings", x, "--terms", files / "x.jsonl"], "keys of two parts"),
        (["search", index, "--query-embeddings", q], "one of --queries (texts) and --query-terms is needed"),
        (["search", index, "--query-terms", files / "q.jsonl"], "none is given"),
        (["search", index, "--queries", beir, "--query-terms", files / "q.jsonl"], "which are not given"),
        (["search", text_index, "--query-embeddings", q, "--queries", beir], "hybrid indexes alone"),
        (["search", text_index, "--query-embeddings", q, "--query-terms", files / "q.jsonl"], "is for hybrid"),
    ):  # fmt: skip
        result = invoke(*command)
        assert result.exit_code == 2 and message in " ".join(result.output.split()), (command, result.output)
    fewer = invoke("search", index, "--query-embeddings", x, "--queries", beir)
    assert fewer.exit_code == 4 and "4 vectors and 3 texts" in " ".join(fewer.output.split())
