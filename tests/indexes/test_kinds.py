"""A kind of index from one file goes through all that an index does: no other code asks which kind it is of."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from stored_files import file_name, file_of
from typer.testing import CliRunner

from cluscomp.errors import CorruptIndexError, DuplicateIdError, InputError, UsageError
from cluscomp.indexes import index_factory, open_index, parse_key
from cluscomp.indexes.build import build_index, plan_build
from cluscomp.indexes.keys import forms
from cluscomp.indexes.kind import kind_of

SUPPORT = Path(__file__).parents[1] / "support"

SETS = [set(np.random.default_rng(i).integers(0, 50, size=1 + i % 7).tolist()) for i in range(200)]
QUERIES = [{1, 2, 3, 4}, {10, 20, 30}, SETS[7]]
DIM = 50


@pytest.fixture(scope="module", autouse=True)
def set_index():
    """The file of the kind; other tests do not see its key."""
    known = list(forms._FORMS)
    import set_index

    yield set_index
    forms._FORMS[:] = known


def expected(sets, queries, k, deleted=()):
    """Best k by overlap, then by number; plain Python."""
    found = []
    for query in queries:
        scored = sorted((-len(query & members), i) for i, members in enumerate(sets) if i not in deleted)
        found.append([(i, -score) for score, i in scored[:k]])
    return found


def answers(index, queries, k):
    scores, ids = index.search(queries, k)
    return [
        list(zip(names.tolist(), row.tolist(), strict=True)) for names, row in zip(ids, scores, strict=True)
    ]


def test_key_and_kind(set_index):
    spec = parse_key("Sets")
    assert str(spec) == "Sets" and spec.kind == "sets"
    assert kind_of(spec).index is set_index.SetIndex and not kind_of(spec).ragged
    assert isinstance(index_factory("Sets", DIM), set_index.SetIndex)
    with pytest.raises(UsageError, match="overlap"):
        index_factory("Sets", DIM, "l2")


def test_add_search_delete_save_open(tmp_path):
    index = index_factory("Sets", DIM)
    index.add(SETS[:120]).add(SETS[120:])
    assert answers(index, QUERIES, 9) == expected(SETS, QUERIES, 9)
    with pytest.raises(DuplicateIdError, match="id 3 is in the index"):
        index.add([{1}], [3])
    with pytest.raises(InputError, match="integers from 0 to 49"):
        index.add([{99}])
    index.delete([7, 150])
    index.save(tmp_path / "i")
    opened = open_index(tmp_path / "i", verify=True)
    assert answers(opened, QUERIES, 9) == answers(index, QUERIES, 9) == expected(SETS, QUERIES, 9, {7, 150})
    opened.add([{1, 2, 3, 4}], [1000]).save(tmp_path / "i")
    assert answers(open_index(tmp_path / "i"), QUERIES[:1], 1) == [[(1000, 4.0)]]


def test_plan_build_and_describe(tmp_path):
    plan = plan_build(SETS, index_key="Sets")
    assert [stage.name for stage in plan.stages] == ["read", "add", "write"] and plan.feasible
    report = build_index(SETS, index_key="Sets", output=tmp_path / "built")
    assert report.n == 200 and [stage["name"] for stage in report.stages] == ["read", "add"]
    assert report.index_bytes == pytest.approx(plan.index_bytes, abs=6000)  # three JSON files are estimated
    index_factory("Sets", DIM).add(SETS).save(tmp_path / "saved")
    for name in ("items", "starts"):
        one, two = (file_of(tmp_path / which, f"segment0.{name}") for which in ("built", "saved"))
        assert one.read_bytes() == two.read_bytes()
    index = open_index(tmp_path / "built", verify=True)
    assert answers(index, QUERIES, 5) == expected(SETS, QUERIES, 5)
    facts = index.describe()
    sizes = {file.name: file.stat().st_size for file in (tmp_path / "built").iterdir()}
    assert facts["bytes"]["codes"] == sizes[file_name(tmp_path / "built", "segment0.items")]
    assert facts["bytes"]["set_starts"] == sizes[file_name(tmp_path / "built", "segment0.starts")]
    assert facts["bytes"]["total"] == sum(sizes.values())
    assert facts["lists"] is None and facts["search_defaults"] == {}


def test_inspect_shows_its_parts(tmp_path):
    from cluscomp.cli.main import app

    build_index(SETS, index_key="Sets", output=tmp_path / "i")
    shown = CliRunner().invoke(app, ["inspect", str(tmp_path / "i")])
    assert shown.exit_code == 0, shown.output
    assert "where each set begins" in shown.output
    facts = json.loads(CliRunner().invoke(app, ["inspect", str(tmp_path / "i"), "--json"]).output)
    assert facts["key"] == "Sets" and facts["build"]["plan"]["n"] == 200


def test_a_damaged_folder_is_refused(tmp_path):
    build_index(SETS, index_key="Sets", output=tmp_path / "i")
    file = file_of(tmp_path / "i", "segment0.starts")
    file.write_bytes(file.read_bytes()[:-8] + np.int64(10**6).tobytes())
    with pytest.raises(CorruptIndexError, match="starts"):
        open_index(tmp_path / "i")


SCRIPT = """
import json, os, signal, sys
import numpy as np
sys.path.insert(0, sys.argv[2])
import set_index
from cluscomp.indexes.build import build_index

def progress(name, done, total):
    if name == sys.argv[3] and done:
        os.kill(os.getpid(), signal.SIGKILL)

sets = [set(np.random.default_rng(i).integers(0, 50, size=1 + i % 7).tolist()) for i in range(200)]
report = build_index(sets, index_key="Sets", output=sys.argv[1], if_exists="resume", progress=progress)
print(json.dumps(report.resumed))
"""


@pytest.mark.parametrize("stage", ["read", "add"])
def test_killed_and_resumed(tmp_path, stage):
    def run(until):
        command = [
            sys.executable,
            "-c",
            SCRIPT,
            str(tmp_path / "i"),
            str(SUPPORT),
            until,
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert run(stage).returncode == -signal.SIGKILL
    assert not (tmp_path / "i").exists() and (tmp_path / ".i.partial").is_dir()
    resumed = run("never")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout) == ["read"] and not (tmp_path / ".i.partial").exists()
    assert answers(open_index(tmp_path / "i"), QUERIES, 5) == expected(SETS, QUERIES, 5)


def test_compaction_of_sets():
    index = index_factory("Sets", DIM)
    index.add(SETS[:20]).add(SETS[20:120]).add(SETS[120:])
    gone = {150, *range(20)}
    index.delete(sorted(gone))
    before = answers(index, QUERIES, 9)
    assert before == expected(SETS, QUERIES, 9, gone)
    report = index.compact(segments=1)
    assert (report.rows, report.dropped, report.segments_after, len(index.segments)) == (179, 21, 1, 1)
    assert answers(index, QUERIES, 9) == before
