"""Wrong input at the command line: exit code, one clean line on stderr with numbers and remedy, nothing left behind."""

from __future__ import annotations

import json

import numpy as np
import pytest
from stored_files import file_of

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1234567\n"


def save(path, rows):
    np.save(path, np.asarray(rows))
    return path


def text(path, content):
    path.write_text(content)
    return path


def nan_rows():
    rows = np.ones((4, 16), np.float32)
    rows[2, 7] = np.nan
    return rows


ONES = np.ones((4, 16), np.float32)
# name -> (function of tmp_path giving arguments, exit code, what the message says)
BUILDS = {
    "missing file": (lambda t: ["--embeddings", t / "none.npy"], 4, ["none.npy", "does not exist"]),
    "missing ids": (lambda t: ["--embeddings", save(t / "a.npy", ONES), "--ids", t / "none.txt"], 4, ["none.txt"]),
    "NaN row, by id": (
        lambda t: ["--embeddings", save(t / "a.npy", nan_rows()), "--ids", text(t / "i.txt", "a\nb\nbad\nd\n")],
        4, ["'bad'", "NaN"]),
    "NaN row, by number": (lambda t: ["--embeddings", save(t / "a.npy", nan_rows())], 4, ["row 2", "NaN"]),
    "one-dimensional": (lambda t: ["--embeddings", save(t / "a.npy", np.ones(7, np.float32))], 4, ["(7,)"]),
    "complex": (lambda t: ["--embeddings", save(t / "a.npy", np.ones((3, 4), complex))], 4, ["complex"]),
    "no rows": (lambda t: ["--embeddings", save(t / "a.npy", np.ones((0, 4), np.float32))], 4, ["0 rows"]),
    "count of ids": (
        lambda t: ["--embeddings", save(t / "a.npy", ONES), "--ids", text(t / "i.txt", "a\nb\n")], 4, ["2 ids", "4"]),
    "duplicate ids": (
        lambda t: ["--embeddings", save(t / "a.npy", ONES), "--ids", text(t / "i.txt", "a\nb\nc\na\n")],
        4, ["'a'", "0", "3"]),
    "git-LFS pointer": (lambda t: ["--embeddings", text(t / "a.npy", LFS)], 4, ["git-LFS", "git lfs pull"]),
    "not an array": (lambda t: ["--embeddings", text(t / "a.npy", "hello")], 4, ["a.npy"]),
    "unknown ending": (lambda t: ["--embeddings", text(t / "a.xyz", "hello")], 2, ["a.xyz", ".npy"]),
    "too few rows": (
        lambda t: ["--embeddings", save(t / "a.npy", ONES), "--index-key", "IVF64,Flat"], 4, ["64", "4"]),
    "unknown key": (
        lambda t: ["--embeddings", save(t / "a.npy", ONES), "--index-key", "OQP4,PQ4"], 2, ["OQP4", "OPQ4"]),
    "key does not fit dim": (
        lambda t: ["--embeddings", save(t / "a.npy", ONES), "--index-key", "PQ5"], 2, ["16", "5"]),
    "unknown metric": (lambda t: ["--embeddings", save(t / "a.npy", ONES), "--metric", "dot"], 2, ["dot", "cosine"]),
    "neither input": (lambda t: [], 2, ["--corpus", "--embeddings"]),
    "both inputs": (lambda t: ["--corpus", t, "--embeddings", t / "a.npy", "--encoder", "hash"], 2, ["both"]),
    "corpus without encoder": (lambda t: ["--corpus", t], 2, ["--encoder"]),
    "no corpus in folder": (lambda t: ["--corpus", t, "--encoder", "hash"], 4, ["corpus.jsonl"]),
    "malformed jsonl": (
        lambda t: ["--corpus", text(t / "c.jsonl", '{"_id": "1", "text": "a"}\n{"_id": "2", "te\n'), "--encoder", "hash"],
        4, ["c.jsonl:2"]),
    "empty corpus": (lambda t: ["--corpus", text(t / "c.jsonl", ""), "--encoder", "hash"], 4, ["0 documents"]),
    "duplicate documents": (
        lambda t: ["--corpus", text(t / "c.tsv", "1\tx\n2\ty\n1\tz\n"), "--encoder", "hash"], 4, ["c.tsv:3", "'1'"]),
    "bad size": (lambda t: ["--embeddings", save(t / "a.npy", ONES), "--max-memory", "lots"], 2, ["lots", "8G"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BUILDS)
def test_build(invoke, hash_encoder, tmp_path, name):
    arguments, code, fragments = BUILDS[name]
    args = arguments(tmp_path)
    before = set(tmp_path.iterdir())
    key = [] if "--index-key" in args else ["--index-key", "Flat"]
    result = invoke("build-index", *args, *key, "--output", tmp_path / "out", "-q")
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    message = result.stderr if code != 2 else " ".join(result.stderr.replace("│", " ").split())
    for fragment in fragments:
        assert fragment in message
    assert "Traceback" not in result.stderr
    assert set(tmp_path.iterdir()) - {tmp_path / "cache"} == before


def test_the_message_is_one_line(invoke, tmp_path):
    result = invoke(
        "build-index",
        "--embeddings",
        tmp_path / "none.npy",
        "--index-key",
        "Flat",
        "--output",
        tmp_path / "o",
    )
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_verbose_adds_the_traceback(invoke, tmp_path):
    result = invoke("build-index", "--embeddings", tmp_path / "none.npy", "--index-key", "Flat", "--output", tmp_path / "o",
                    "-v")  # fmt: skip
    assert result.exit_code == 4
    assert "Traceback" in result.stderr


def test_output_is_required(invoke, vectors):
    result = invoke("build-index", "--embeddings", vectors, "--index-key", "Flat")
    assert result.exit_code == 2
    assert "--output" in result.stderr


def test_full_disk(invoke, vectors, tmp_path, monkeypatch):
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    before = set(tmp_path.iterdir())
    result = invoke("build-index", "--embeddings", vectors, "--index-key", "Flat", "--output", tmp_path / "i")
    assert result.exit_code == 3
    assert "1000 bytes free" in result.stderr
    assert set(tmp_path.iterdir()) == before


def test_disk_fills_up_while_writing(invoke, vectors, tmp_path, monkeypatch):
    import errno

    from cluscomp.indexes.build import writer

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer.IndexWriter, "add", full)
    before = set(tmp_path.iterdir())
    result = invoke("build-index", "--embeddings", vectors, "--index-key", "Flat", "--output", tmp_path / "i")
    assert result.exit_code == 3
    assert "full" in result.stderr
    assert set(tmp_path.iterdir()) == before


def test_internal_error_says_how_to_see_more(invoke, vectors, tmp_path, monkeypatch):
    import cluscomp.indexes.build

    def broken(*_args, **_kwargs):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(cluscomp.indexes.build, "build_index", broken)
    result = invoke("build-index", "--embeddings", vectors, "--index-key", "Flat", "--output", tmp_path / "i")
    assert result.exit_code == 1
    assert "ZeroDivisionError" in result.stderr and "-v" in result.stderr


class TestSearch:
    """Queries that do not fit the index."""

    def test_k_above_size(self, invoke, text_index):
        result = invoke("search", text_index, "--query", "cat", "-k", "5")
        assert result.exit_code == 2
        assert "5" in result.stderr and "4" in result.stderr
        clipped = invoke("search", text_index, "--query", "cat", "-k", "5", "--k-beyond", "clip", "--json")
        assert clipped.exit_code == 0 and len(json.loads(clipped.stdout)["hits"]) == 4

    def test_wrong_dim(self, invoke, index, tmp_path):
        result = invoke(
            "search", index, "--query-embeddings", save(tmp_path / "q.npy", np.ones((1, 8), np.float32))
        )
        assert result.exit_code == 4
        assert "16" in result.stderr and "8" in result.stderr

    def test_nan_query(self, invoke, index, tmp_path):
        result = invoke("search", index, "--query-embeddings", save(tmp_path / "q.npy", nan_rows()))
        assert result.exit_code == 4
        assert "NaN" in result.stderr

    def test_text_for_an_index_without_encoder(self, invoke, index):
        result = invoke("search", index, "--query", "cat")
        assert result.exit_code == 2
        assert "--query-embeddings" in result.stderr

    def test_another_encoder(self, invoke, text_index):
        result = invoke("search", text_index, "--query", "cat", "--encoder", "other")
        assert result.exit_code == 5
        assert "'hash'" in result.stderr and "'other'" in result.stderr

    @pytest.mark.parametrize(
        "args", [[], ["--query", "a", "--queries", "b"], ["--query", " "], ["--query", "a", "-k", "0"]]
    )
    def test_usage(self, invoke, text_index, args):
        assert invoke("search", text_index, *args).exit_code == 2

    def test_nprobe_above_lists(self, invoke, vectors, tmp_path):
        invoke("build-index", "--embeddings", vectors, "--index-key", "IVF4,Flat", "--output", tmp_path / "i")
        result = invoke("search", tmp_path / "i", "--query-embeddings", vectors, "--nprobe", "9")
        assert result.exit_code == 2
        assert "9" in result.stderr and "4" in result.stderr


def corrupt_codes(index):
    file = file_of(index, "segment0.codes")
    file.write_bytes(file.read_bytes()[:-100])


def newer_format(index):
    manifest = json.loads((index / "manifest.json").read_text())
    manifest["format_version"] = manifest["min_reader_version"] = 99
    (index / "manifest.json").write_text(json.dumps(manifest))


def lfs_manifest(index):
    (index / "manifest.json").write_text(LFS)


def garbled_manifest(index):
    (index / "manifest.json").write_text("{")


def no_manifest(index):
    (index / "manifest.json").unlink()


@pytest.mark.parametrize("command", ["search", "inspect", "eval"])
@pytest.mark.parametrize(
    ("damage", "fragment"),
    [
        (corrupt_codes, "truncated"),
        (newer_format, "99"),
        (lfs_manifest, "git-LFS"),
        (garbled_manifest, "manifest.json"),
        (no_manifest, "manifest.json"),
    ],
)
def test_damaged_index(invoke, text_index, beir, command, damage, fragment):
    damage(text_index)
    args = {"search": ["--query", "cat"], "inspect": [], "eval": ["--dataset", beir]}[command]
    result = invoke(command, text_index, *args)
    assert result.exit_code == 5, result.output
    assert fragment in result.stderr
    assert result.stderr.startswith("error: ") and "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["search", "inspect", "eval"])
def test_missing_or_foreign_index(invoke, tmp_path, beir, command):
    args = {"search": ["--query", "cat"], "inspect": [], "eval": ["--dataset", beir]}[command]
    missing = invoke(command, tmp_path / "none", *args)
    assert (missing.exit_code, "none" in missing.stderr) == (5, True)
    foreign = invoke(command, save(tmp_path / "a.npy", ONES), *args)
    assert (foreign.exit_code, ".npy" in foreign.stderr) == (5, True)
