"""Before a state is served its files are read, and queries of a file are searched."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from server_waits import wait_until
from typer.testing import CliRunner

import cluscomp as cc
from cluscomp.cli.main import app
from cluscomp.errors import DimensionError, MissingInputError, TooLargeError, UsageError
from cluscomp.server.warming import Warmup, read_warmup


@pytest.fixture
def searched(monkeypatch):
    """Shapes of the queries that indexes of single vectors are asked, and k."""
    from cluscomp.indexes.index import Index

    seen, search = [], Index.search

    def seeing(self, queries, k, **options):
        seen.append((len(queries), k))
        return search(self, queries, k, **options)

    monkeypatch.setattr(Index, "search", seeing)
    return seen


def test_words_and_files(tmp_path, queries):
    assert read_warmup("none") is None and read_warmup("touch") == Warmup()
    np.save(tmp_path / "q.npy", queries[:5])
    assert np.array_equal(read_warmup(str(tmp_path / "q.npy")).vectors, queries[:5])
    (tmp_path / "q.jsonl").write_text(
        "".join(json.dumps({"_id": str(i), "text": f"words {i}"}) + "\n" for i in range(3))
    )
    assert read_warmup(str(tmp_path / "q.jsonl")).texts == ["words 0", "words 1", "words 2"]
    (tmp_path / "long.txt").write_text("word\n" * 10_001)
    for value, error in (("tuoch", UsageError), (str(tmp_path / "long.txt"), TooLargeError)):
        with pytest.raises(error):
            read_warmup(value)
    with pytest.raises((MissingInputError, UsageError)):
        read_warmup(str(tmp_path / "none.npy"))


def test_queries_are_searched_at_the_start_and_for_each_newer_state(
    serve, folder, queries, rows, tmp_path, searched
):
    shutil.copytree(folder, tmp_path / "x")
    with serve({"x": tmp_path / "x"}, warmup=Warmup(vectors=queries[:70]), refresh=0.05) as server:
        assert searched == [(64, 10), (6, 10)]
        newer = cc.open_index(tmp_path / "x")
        newer.add(rows[:3])
        newer.save(tmp_path / "x")
        wait_until(lambda: server.core.registry.current("x").generation == newer.generation)
        assert searched == [(64, 10), (6, 10)] * 2


def test_late_interaction_and_tenants(serve, late, queries, tmp_path):
    index = cc.index_factory("Flat", dim=24)
    index.train(queries)
    index.declare_attributes({"owner": cc.Field("text", tenant=True)})
    index.add(queries, attributes={"owner": ["a", "b"] * 150})
    index.save(tmp_path / "owned")
    with serve({"late": late, "owned": tmp_path / "owned"}, warmup=Warmup(vectors=queries[:3])):
        pass


def test_queries_that_do_not_fit_are_told_at_the_start(folder, queries, tmp_path):
    np.save(tmp_path / "q.npy", queries[:, :5])
    (tmp_path / "q.txt").write_text("words\n")
    for file, words in (("q.npy", "dim 24"), ("q.txt", "no encoder"), ("none", "none, touch or a file")):
        found = CliRunner().invoke(
            app, ["serve", str(folder), "--port", "0", "--warmup", str(tmp_path / file)]
        )
        assert found.exit_code == (4 if file == "q.npy" else 2) and words in found.stderr, found.stderr
    with pytest.raises(DimensionError):
        read_warmup(str(tmp_path / "q.npy")).warm(Fake(folder), None)


class Fake:
    name, ragged, terms = "x", False, False

    def __init__(self, folder):
        self.folder, self.index = folder, cc.open_index(folder)
