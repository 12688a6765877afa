"""Rows streamed into an index folder: what `add` or `upsert` and `save` make of it, within a memory limit."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

import cluscomp as cc
from cluscomp import errors
from cluscomp.indexes.build import plan
from cluscomp.indexes.build.appending import append_rows
from cluscomp.indexes.build.source import Given
from cluscomp.indexes.build.vector_writer import VectorWriter

DIM = 32
ROWS = np.random.default_rng(0).standard_normal((3000, DIM)).astype(np.float32)
IDS = {
    "numbered": None,
    "consecutive": np.arange(50, 3050),
    "integers": np.random.default_rng(1).permutation(10_000)[:3000],
    "texts": [f"dök{i}" for i in range(3000)],
}


def state(folder):
    """Files of a folder, which are named by their contents, and the manifest without times."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["retired"]:
        entry.pop("time")
    return manifest, {file.name for file in folder.iterdir()} - {".lock"}


def two(index, tmp_path):
    """The same index in two folders, opened."""
    index.save(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    return cc.open_index(tmp_path / "a"), cc.open_index(tmp_path / "b")


def given(source, ids=None, lengths=None, encoder=None):
    return Given(source, encoder, ids, lengths, "fail")


def part(ids, rows):
    return None if ids is None else ids[rows]


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 256 rows, whatever the memory."""
    monkeypatch.setattr(plan, "_largest_fit", lambda least, most, room, need: least)


def require_equal(tmp_path):
    assert state(tmp_path / "a") == state(tmp_path / "b")
    assert not list(tmp_path.glob(".*.adding"))
    cc.open_index(tmp_path / "b", verify=True)


@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize("key", ["Flat", "IVF8,PQ4", "BIVF8,PQ4x4", "OPQ4,IVF8,PQ4,RFlat"])
def test_the_folder_is_that_of_add(tmp_path, small_blocks, key, kind):
    ids, old, new = IDS[kind], slice(0, 1000), slice(1000, 3000)
    index = cc.index_factory(key, DIM).train(ROWS[old]).add(ROWS[old], part(ids, old))
    one, other = two(index, tmp_path)
    one.add(ROWS[new], part(ids, new)).save(tmp_path / "a")
    report = append_rows(other, given(ROWS[new], part(ids, new)))
    assert (report.added, report.replaced, report.rows, report.written) == (2000, 0, 3000, True)
    require_equal(tmp_path)
    assert other.generation == 2 and not other.has_changes
    for a, b in zip(one.search(ROWS[:5], 10), other.search(ROWS[:5], 10), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["consecutive", "integers", "texts"])
def test_the_folder_is_that_of_upsert(tmp_path, small_blocks, kind):
    ids, old, new = IDS[kind], slice(0, 1000), slice(400, 3000)
    index = cc.index_factory("IVF8,PQ4", DIM).train(ROWS[old])
    index.add(ROWS[:400], ids[:400]).add(ROWS[400:600], ids[400:600]).add(ROWS[600:1000], ids[600:1000])
    one, other = two(index, tmp_path)  # of three segments, two go as a whole
    assert one.upsert(ROWS[new], ids[new]) == 600
    one.save(tmp_path / "a")
    report = append_rows(other, given(ROWS[new], ids[new]), replace_ids=True)
    assert (report.added, report.replaced, report.rows) == (2000, 600, 3000)
    require_equal(tmp_path)


@pytest.mark.parametrize("key", ["Pool4(ward),IVF8,PQ8", "Pool(f=2,method=support),SQ8", "Pool2,SQ8"])
def test_documents(tmp_path, small_blocks, key):
    lengths = np.random.default_rng(2).integers(1, 9, 700)
    rows = np.random.default_rng(3).standard_normal((int(lengths.sum()), 16)).astype(np.float32)
    cut = int(lengths[:300].sum())
    index = cc.index_factory(key, 16)
    index.train(rows[:cut], lengths=lengths[:300]).add(rows[:cut], lengths=lengths[:300])
    one, other = two(index, tmp_path)
    one.add(rows[cut:], lengths=lengths[300:]).save(tmp_path / "a")
    assert append_rows(other, given(rows[cut:], None, lengths[300:])).added == 400
    require_equal(tmp_path)


TEXTS = [f"a{i} word{i % 7} other{i % 11} word{i % 3} the" for i in range(900)]


def test_texts_of_an_index_of_words(tmp_path, small_blocks):
    documents = [(f"d{i}", f"title {i}", text) for i, text in enumerate(TEXTS)]
    start = tmp_path / "start"
    encoder = cc.load_encoder("words", "words")
    cc.build_index(documents[:300], index_key="Sparse(bm25)", encoder=encoder, output=start, store_texts=True)
    for name in "ab":
        shutil.copytree(start, tmp_path / name)
    one, other = cc.open_index(tmp_path / "a"), cc.open_index(tmp_path / "b")
    contents = [f"{title} {text}" for _, title, text in documents[300:]]
    one.add(encoder.encode_documents(contents), documents=documents[300:]).save(tmp_path / "a")
    append_rows(other, given(documents[300:], encoder=encoder))
    require_equal(tmp_path)
    assert other.get("d500")[0].text == TEXTS[500]


def test_attributes(tmp_path):
    from cluscomp.indexes.build.appending import Facts
    from cluscomp.indexes.build.described import given_attributes

    index = cc.index_factory("SQ8", DIM).train(ROWS)
    index.add(ROWS[:10], attributes={"year": list(range(10))})
    one, other = two(index, tmp_path)
    new = {"year": list(range(20)), "lang": ["en", None] * 10}
    one.add(ROWS[10:30], attributes=new, new_attributes=True).save(tmp_path / "a")
    file = given_attributes(new, None, None, dict(other.attribute_schema))
    before = state(tmp_path / "b")
    with pytest.raises(errors.InputError, match="lang"):
        append_rows(other, given(ROWS[10:30]), facts=Facts(file))
    assert state(tmp_path / "b") == before
    append_rows(other, given(ROWS[10:30]), facts=Facts(file, new=True))
    require_equal(tmp_path)


# ---- all or nothing ----


def saved(tmp_path, ids=None, key="IVF8,SQ8"):
    index = cc.index_factory(key, DIM).train(ROWS[:1000]).add(ROWS[:1000], ids)
    index.save(tmp_path / "x")
    return cc.open_index(tmp_path / "x"), state(tmp_path / "x")


@pytest.mark.parametrize(
    ("position", "name", "message"),
    [
        (1700, 7, r"id 7 is in the index already \(1 of 2000 ids are\)"),
        (1900, 1100, "1100 .*twice|1100 stands"),
    ],
)
def test_a_duplicate_id_writes_nothing(tmp_path, small_blocks, position, name, message):
    index, before = saved(tmp_path)
    ids = np.arange(1000, 3000)
    ids[position] = name
    with pytest.raises(errors.DuplicateIdError, match=message):
        append_rows(index, given(ROWS[1000:], ids))
    assert state(tmp_path / "x") == before and len(index) == 1000 and index.generation == 1


def test_what_is_wrong_with_rows_writes_nothing(tmp_path, small_blocks):
    index, before = saved(tmp_path)
    bad = ROWS[1000:].copy()
    bad[1234, 5] = np.nan
    for rows, ids, error in (
        (bad, None, errors.NonFiniteError),
        (ROWS[:5, :8], None, errors.DimensionError),
        (ROWS[:2], ["a", "b"], errors.InputError),
    ):
        with pytest.raises(error):
            append_rows(index, given(rows, ids))
        with pytest.raises(error):
            append_rows(index, given(rows, ids), dry_run=True)
    assert state(tmp_path / "x") == before and not list(tmp_path.glob(".*"))
    with pytest.raises(errors.UsageError, match="no ids"):
        append_rows(index, given(ROWS[:5]), replace_ids=True)
    index.delete([3])
    with pytest.raises(errors.UsageError, match="not saved"):
        append_rows(index, given(ROWS[:5]))


def test_a_dry_run_counts(tmp_path):
    index, before = saved(tmp_path)
    report = append_rows(index, given(ROWS[:50], np.arange(980, 1030)), replace_ids=True, dry_run=True)
    assert (report.added, report.replaced, report.rows, report.written) == (30, 20, 1030, False)
    assert state(tmp_path / "x") == before and not list(tmp_path.glob(".*"))


def test_an_error_while_writing_leaves_nothing(tmp_path, monkeypatch):
    index, before = saved(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(VectorWriter, "arrange", full)
    with pytest.raises(errors.DiskFullError):
        append_rows(index, given(ROWS[1000:]))
    assert state(tmp_path / "x") == before and not list(tmp_path.glob(".*"))


KILLED = """
import os, signal, sys
import numpy as np, cluscomp as cc
from cluscomp.indexes.build import appending
from cluscomp.indexes.build.source import Given
from cluscomp.indexes.storage.commit import FolderCommit
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
FolderCommit.take_extras = die
appending.append_rows(cc.open_index(sys.argv[1]), Given(np.load(sys.argv[2]), None, None, None, "fail"))
"""


def test_killed_before_the_commit(tmp_path):
    _, before = saved(tmp_path)
    np.save(tmp_path / "new.npy", ROWS[1000:])
    command = [sys.executable, "-c", KILLED, str(tmp_path / "x"), str(tmp_path / "new.npy")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    after = state(tmp_path / "x")
    assert after[0] == before[0] and after[1] > before[1]  # drafts, which a later commit removes
    index = cc.open_index(tmp_path / "x", verify=True)
    assert len(index) == 1000
    append_rows(index, given(ROWS[1000:]), grace=0)
    assert not [name for name in state(tmp_path / "x")[1] if name.startswith(".tmp")]
    assert len(cc.open_index(tmp_path / "x", verify=True)) == 3000 and not list(tmp_path.glob(".*"))


# ---- memory ----


def test_a_limit_that_holds_no_block(tmp_path):
    index, before = saved(tmp_path)
    with pytest.raises(errors.InfeasibleError, match=r"needs \d+M .* but 1M are allowed"):
        append_rows(index, given(ROWS[1000:]), max_memory="1M")
    assert state(tmp_path / "x") == before


# Linux lets a new program inherit the peak of the process that started it, so a small one stands in between.
WAIT = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def write_vectors(path, n):
    """Random float32 rows of dim 384, written in blocks so that this process stays small."""
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (n, 384)}
        )
        for start in range(0, n, 10_000):
            file.write(rng.standard_normal((min(10_000, n - start), 384), dtype=np.float32).data)


@pytest.mark.parametrize("key", ["IVF64,SQ8", "Flat"])
def test_more_vectors_than_the_limit(tmp_path, key):
    """184 MB of vectors under a limit below that, which the whole process keeps."""
    rows = np.random.default_rng(1).standard_normal((5000, 384)).astype(np.float32)
    cc.index_factory(key, 384).train(rows).add(rows).save(tmp_path / "x")
    write_vectors(tmp_path / "new.npy", 120_000)
    command = [sys.executable, "-m", "cluscomp", "add", str(tmp_path / "x"), "--embeddings",
               str(tmp_path / "new.npy"), "--max-memory", "182M", "-q"]  # fmt: skip
    done = subprocess.run([sys.executable, "-c", WAIT, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout) * (1 if sys.platform == "darwin" else 1024)
    assert peak <= 182e6, f"{peak / 1e6:.0f} MB"
    assert len(cc.open_index(tmp_path / "x")) == 125_000
