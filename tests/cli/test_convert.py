"""convert: the flags reach convert_index, and outcomes have their exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cluscomp import index_factory, open_index

DIM = 16


@pytest.fixture
def rows():
    return np.random.default_rng(7).standard_normal((300, DIM)).astype(np.float32)


@pytest.fixture
def old(rows, tmp_path):
    index = index_factory("IVF3,SQ8", DIM).train(rows).add(rows, [f"d{i}" for i in range(300)])
    index.delete("d7")
    index.save(tmp_path / "old")
    return tmp_path / "old"


def test_a_new_key_from_codes_and_from_vectors(invoke, old, rows, tmp_path):
    dry = invoke("convert", old, "--index-key", "Flat", "-o", tmp_path / "new", "--dry-run")
    assert dry.exit_code == 0 and "nothing was written" in dry.stdout and not (tmp_path / "new").exists()
    shown = invoke("convert", old, "--key", "PQ4", "--output", tmp_path / "new")
    assert shown.exit_code == 0, shown.output
    for word in ("coded twice", "IVF3,SQ8", "PQ4", "299", "error of the new codes", "written:"):
        assert word in shown.stdout
    np.save(tmp_path / "x.npy", rows)
    (tmp_path / "ids.txt").write_text("".join(f"d{i}\n" for i in range(300)))
    given = ("--embeddings", tmp_path / "x.npy", "--ids", tmp_path / "ids.txt")
    result = invoke("convert", old, "--key", "Flat", *given, "-o", tmp_path / "flat", "--json")
    facts = json.loads(result.stdout)
    assert (facts["vectors_from"], facts["coded_twice"], facts["added_error"]) == ("source", False, 0)
    assert facts["written"] and np.array_equal(open_index(tmp_path / "flat").vectors(["d9"])[0], rows[9])


def trained_pq(folder):
    index = index_factory("PQ4x4", DIM).train(np.random.default_rng(1).standard_normal((200, DIM)))
    index.save(folder / "pq")
    return folder / "pq"


def test_files_and_the_newest_format(invoke, old, tmp_path):
    assert invoke("convert", old, "--to", "npy", "-o", tmp_path / "v.npy").exit_code == 0
    assert np.load(tmp_path / "v.npy").shape == (299, DIM)
    shown = invoke("convert", trained_pq(tmp_path), "--to", "lance", "-o", tmp_path / "c.npz")
    assert shown.exit_code == 0 and "written:" in shown.stdout and "deleted rows" not in shown.stdout
    with np.load(tmp_path / "c.npz") as file:
        assert file["pq_codebook"].shape == (4, 16, 4)
    newest = open_index(old).describe()["format_version"]
    result = invoke("convert", old, "--format", newest, "--json")
    assert result.exit_code == 0 and json.loads(result.stdout)["output"] == str(old)


def test_exit_codes(invoke, program, old, tmp_path):
    out = tmp_path / "out"
    index_factory("MRL12,SQ8", DIM).train(np.eye(DIM)).add(np.eye(DIM)).save(tmp_path / "mrl")
    np.save(tmp_path / "few.npy", np.eye(DIM, dtype=np.float32))
    (tmp_path / "few.txt").write_text("".join(f"d{i}\n" for i in range(DIM)))
    few = ("--embeddings", tmp_path / "few.npy", "--ids", tmp_path / "few.txt")
    cases = (
        (2, "one of --index-key, --format and --to", (old, "-o", out)),
        (2, "cannot be decoded", (tmp_path / "mrl", "--key", "Flat", "-o", out)),
        (2, "--ids and --lengths belong", (old, "--key", "Flat", "--ids", tmp_path / "few.txt", "-o", out)),
        (2, "is the input", (old, "--key", "Flat", "-o", old, "--if-exists", "replace")),
        (2, "Pool16", (old, "--key", "Pool16,Flat", "-o", out)),
        (2, "SQ8 has no codebooks", (old, "--to", "cuvs", "-o", out)),
        (3, "--max-memory", (old, "--key", "Flat", "-o", out, "--max-memory", "1M")),
        (4, "is not among the 16 vectors", (old, "--key", "Flat", *few, "-o", out)),
        (5, "no index", (tmp_path / "none", "--key", "Flat", "-o", out)),
    )
    for code, word, args in cases:
        result = invoke("convert", *args)
        assert (result.exit_code, result.stdout) == (code, ""), (args, result.output)
        assert word in result.stderr and not out.exists()
    assert program("convert", tmp_path / "mrl", "--key", "Flat", "-o", out).returncode == 2
