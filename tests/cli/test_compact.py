"""compact: one commit, what it says before and after, and exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from stored_files import file_of

from cluscomp import index_factory, open_index

DIM = 16


@pytest.fixture
def grown(tmp_path):
    """Folder of an index of four segments and 90 rows, of which 30 are deleted."""
    rows = np.random.default_rng(7).standard_normal((90, DIM)).astype(np.float32)
    index = index_factory("BIVF3(cap=1),SQ8", DIM).train(rows)
    for start in (0, 40, 41, 60):
        index.add(rows[start : {0: 40, 40: 41, 41: 60, 60: 90}[start]])
    index.delete(np.arange(30))
    index.save(tmp_path / "i")
    return tmp_path / "i"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_one_segment_without_deleted_rows(invoke, grown):
    queries = np.eye(DIM, dtype=np.float32)
    before = [part.tobytes() for part in open_index(grown).search(queries, 9, nprobe=3)]
    result = invoke("compact", grown, "--all", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["written"] and facts["rows"] == 60 and facts["dropped"] == 30 and facts["rewritten"] == 1
    assert (facts["segments_before"], facts["segments_after"], facts["deleted"]) == (4, 1, 0)
    assert facts["lists"]["bound"] == 20
    index = open_index(grown, verify=True)
    assert len(index.segments) == 1 and index.n_deleted == 0
    assert [part.tobytes() for part in index.search(queries, 9, nprobe=3)] == before
    after = contents(grown)
    again = invoke("compact", grown, "--all")
    assert again.exit_code == 0 and "nothing was to be done" in again.stdout and contents(grown) == after


def test_dry_run_and_table(invoke, grown):
    before = contents(grown)
    shown = invoke("compact", grown, "--segments", 3, "--dead", 1, "--dry-run").stdout
    for word in (
        "deleted rows",
        "30",
        "segments",
        "4",
        "3",
        "max / mean",
        "bound of",
        "nothing was written: 1 segments",
    ):
        assert word in shown
    assert contents(grown) == before
    assert not json.loads(invoke("compact", grown, "--all", "--dry-run", "--json").stdout)["written"]
    assert contents(grown) == before
    assert invoke("compact", grown, "--segments", 3, "--dead", 1).exit_code == 0
    assert [segment.n_rows for segment in open_index(grown).segments] == [11, 19, 30]


def test_inspect_says_what_the_lists_hold_beyond_their_bound(invoke, grown):
    assert "bound of 30 rows kept" in invoke("inspect", grown).stdout
    assert invoke("compact", grown, "--all").exit_code == 0
    shown, facts = (
        invoke("inspect", grown).stdout,
        json.loads(invoke("inspect", grown, "--json").stdout)["lists"],
    )
    assert facts["bound"] == 20 and facts["exceeded_by"] == facts["max"] - 20 > 0
    assert f"bound of 20 rows exceeded by {facts['exceeded_by']}" in shown


def test_by_list(invoke, grown):
    queries = np.eye(DIM, dtype=np.float32)
    before = open_index(grown).search(queries, 9, nprobe=3)[0].tobytes()
    facts = json.loads(invoke("compact", grown, "--by-list", 2, "--json").stdout)
    assert (facts["segments_after"], facts["deleted"], facts["written"]) == (2, 0, True)
    index = open_index(grown, verify=True)
    assert index.search(queries, 9, nprobe=3)[0].tobytes() == before
    held = [segment.list_sizes(3) > 0 for segment in index.segments]
    assert not (held[0] & held[1]).any()
    assert "nothing was to be done" in invoke("compact", grown, "--by-list", 2).stdout


def test_exit_codes(program, invoke, grown, tmp_path):
    assert invoke("compact", grown, "--all", "--dead", 0.5).exit_code == 2
    assert invoke("compact", grown, "--segments", 0).exit_code == 2
    assert invoke("compact", grown, "--by-list", 2, "--all").exit_code == 2
    assert invoke("compact", grown, "--by-list", 4).exit_code == 2
    assert invoke("compact", grown, "--dead", 2).exit_code == 2
    assert program("compact", tmp_path / "none").returncode == 5
    file = file_of(grown, "segment0.positions")
    file.write_bytes(file.read_bytes()[:-4] + np.int32(10**6).tobytes())
    before = contents(grown)
    done = program("compact", grown, "--all")
    assert (
        done.returncode == 5 and done.stdout == "" and "damaged" in done.stderr and contents(grown) == before
    )


def test_rebalance(invoke, tmp_path):
    rows = np.random.default_rng(7).standard_normal((400, 16)).astype(np.float32)
    index = index_factory("BIVF4(cap=1),PQ4x4", 16).train(rows).add(rows)
    lists = index.segments[0].vectors(index.pipeline).lists(np.arange(400))
    index.delete(np.flatnonzero(lists > 1))
    index.save(tmp_path / "b")
    shown = invoke("compact", tmp_path / "b", "--all", "--rebalance")
    assert shown.exit_code == 0, shown.output
    assert "100 vectors went to other lists, 100 of them were encoded again" in shown.stdout
    assert (
        "bound of 50 rows kept" in shown.stdout
        and "bound of 50 rows kept" in invoke("inspect", tmp_path / "b").stdout
    )
    index_factory("IVF4,SQ8", 16).train(rows).add(rows).save(tmp_path / "i")
    refused = invoke("compact", tmp_path / "i", "--rebalance")
    assert (refused.exit_code, refused.stdout) == (2, "") and "BIVF" in refused.stderr
