"""merge: the flags reach merge_indexes, and outcomes have their exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cluscomp import index_factory, open_index

DIM = 16


@pytest.fixture
def save(tmp_path):
    """save(name, ids, key) -> folder of an index of rows that are drawn by their ids."""
    rows = np.random.default_rng(7).standard_normal((90, DIM)).astype(np.float32)

    def make(name, ids, key="IVF3,SQ8", seed=0):
        index_factory(key, DIM, seed=seed).train(rows[seed:]).add(rows[list(ids)], ids).save(tmp_path / name)
        return tmp_path / name

    return make


def test_merged_and_shown(invoke, save, tmp_path):
    parts = [save("a", range(30)), save("b", range(30, 50)), save("c", range(60, 63))]
    dry = invoke("merge", *parts, "--output", tmp_path / "all", "--dry-run")
    assert dry.exit_code == 0 and "nothing was written" in dry.stdout and not (tmp_path / "all").exists()
    result = invoke("merge", *parts, "--output", tmp_path / "all", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["rows"], facts["segments"], facts["written"], facts["texts"]) == (53, 3, True, False)
    assert open_index(tmp_path / "all", verify=True).ids.tolist() == [*range(50), 60, 61, 62]
    shown = invoke("merge", *parts, "-o", tmp_path / "all", "--if-exists", "replace").stdout
    for word in ("IVF3,SQ8", "53", "segments", "titles and texts", "merged index"):
        assert word in shown


def test_exit_codes(invoke, program, save, tmp_path):
    a, b, out = save("a", range(30)), save("b", range(30, 40)), tmp_path / "out"
    cases = (
        (2, "--output", (a, b)),
        (2, "at least two", (a, "-o", out)),
        (2, "trained apart", (a, save("apart", range(50, 60), seed=5), "-o", out)),
        (2, "key", (a, save("key", range(50, 60), "IVF3,SQ4"), "-o", out)),
        (4, "id 7 is in", (a, save("twice", [7, 70]), "-o", out)),
        (5, "no index", (a, tmp_path / "none", "-o", out)),
        (2, "is the input", (a, b, "-o", b, "--if-exists", "replace")),
        (2, "--if-exists replace", (a, b, "-o", save("taken", range(5)))),
    )
    for code, word, args in cases:
        result = invoke("merge", *args)
        assert (result.exit_code, result.stdout) == (code, ""), (args, result.output)
        assert word in result.stderr and not out.exists()
    assert program("merge", a, save("again", [3]), "-o", out).returncode == 4
