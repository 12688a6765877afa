"""Folders that are replaced while they are opened or saved: every index is one state of the folder, as a whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stored_files import file_of

from cluscomp.errors import CorruptIndexError, IndexFolderError, OutputExistsError
from cluscomp.indexes import Index, index_factory, open_index
from cluscomp.indexes.storage import reading
from cluscomp.indexes.storage.folder import FolderWriter
from cluscomp.indexes.storage.reading import FolderReader

DIM = 8
STATES = (
    ("IVF4,PQ2x4", 100),
    ("IVF4,PQ2x4", 100),
    ("IVF4,PQ2x4", 140),
    ("SQ8", 60),
)  # two are of equal shape


def made(state: int) -> Index:
    key, n = STATES[state]
    x = np.random.default_rng(state).standard_normal((n, DIM)).astype(np.float32)
    index = index_factory(key, DIM, seed=state).train(x)
    assert isinstance(index, Index)
    return index.add(x, ids=np.arange(n) * 10 + state)


def answer(index: Any) -> bytes:
    """Scores and ids of a full search: they tell the states apart, and a mixture of two from either."""
    scores, ids = index.search(np.eye(DIM, dtype=np.float32), 20, nprobe=index.spec.nlist)
    return bytes(scores.tobytes() + ids.tobytes())


@pytest.fixture(scope="module")
def answers() -> list[bytes]:
    found = [answer(made(state)) for state in range(len(STATES))]
    assert len(set(found)) == len(STATES)
    return found


@pytest.fixture(params=[True, False], ids=["handles", "paths"])
def system(request, monkeypatch) -> bool:
    """With handles of folders, and without, as on Windows."""
    if request.param and not reading.HAS_HANDLES:
        pytest.skip("this system has no handles of folders")
    monkeypatch.setattr(reading, "HAS_HANDLES", request.param)
    return bool(request.param)


def after_the_manifest(monkeypatch, *hooks: Any) -> list[Any]:
    """Call the hooks, one after the other, when a manifest was read and before arrays are; returns those left."""
    left, read = list(hooks), FolderReader.manifest

    def manifest(self: FolderReader) -> Any:
        found = read(self)
        if left:
            left.pop(0)()
        return found

    monkeypatch.setattr(FolderReader, "manifest", manifest)
    return left


@pytest.mark.parametrize("other", [1, 2, 3], ids=["equal shapes", "more rows", "another key"])
def test_a_folder_replaced_after_its_manifest_was_read_opens_as_the_new_one(
    system, answers, tmp_path, monkeypatch, other
) -> None:
    made(0).save(tmp_path / "index")
    left = after_the_manifest(monkeypatch, lambda: made(other).save(tmp_path / "index", if_exists="replace"))
    opened = open_index(tmp_path / "index")
    assert not left
    assert answer(opened) == answers[other]
    opened.add(np.ones((1, DIM), np.float32), ids=[99_999])
    opened.save(tmp_path / "index")  # it knows which state it was opened from
    assert len(open_index(tmp_path / "index")) == STATES[other][1] + 1


def test_a_folder_whose_old_files_stay_opens_as_the_old_one(answers, tmp_path, monkeypatch) -> None:
    if not reading.HAS_HANDLES:
        pytest.skip("this system has no handles of folders")
    made(0).save(tmp_path / "index")
    made(1).save(tmp_path / "next")

    def exchange() -> None:
        os.rename(tmp_path / "index", tmp_path / "old")
        os.rename(tmp_path / "next", tmp_path / "index")

    after_the_manifest(monkeypatch, exchange)
    opened = open_index(tmp_path / "index")
    assert answer(opened) == answers[0]
    with pytest.raises(OutputExistsError, match="was changed since"):
        opened.save(tmp_path / "index")


def test_a_folder_that_is_replaced_again_and_again_is_given_up(system, tmp_path, monkeypatch) -> None:
    made(0).save(tmp_path / "index")
    replace = [lambda n=n: made(n % 3).save(tmp_path / "index", if_exists="replace") for n in range(14)]
    left = after_the_manifest(monkeypatch, *replace)
    with pytest.raises(IndexFolderError, match="was replaced 10 times while it was being opened"):
        open_index(tmp_path / "index")
    assert len(left) == 4


def test_a_folder_that_goes_away_is_missing(system, tmp_path, monkeypatch) -> None:
    made(0).save(tmp_path / "index")
    after_the_manifest(monkeypatch, lambda: shutil.rmtree(tmp_path / "index"))
    with pytest.raises(IndexFolderError, match="there is no index at"):
        open_index(tmp_path / "index")


def test_a_fault_of_the_folder_itself_is_told_at_once(system, tmp_path, monkeypatch) -> None:
    made(0).save(tmp_path / "index")
    left = after_the_manifest(
        monkeypatch, file_of(tmp_path / "index", "segment0.codes").unlink, lambda: pytest.fail("read twice")
    )
    with pytest.raises(CorruptIndexError, match=r"\.codes\.npy is missing"):
        open_index(tmp_path / "index")
    assert len(left) == 1


@pytest.mark.parametrize("other", [1, 2])
def test_a_folder_replaced_right_after_a_save_is_not_taken_for_the_saved_one(
    tmp_path, monkeypatch, other
) -> None:
    publish, path = FolderWriter.publish, tmp_path / "index"
    index = made(0)

    def publish_and_lose(self: FolderWriter, *arguments: Any) -> Any:
        version = publish(self, *arguments)
        monkeypatch.undo()
        made(other).save(path, if_exists="replace")
        return version

    monkeypatch.setattr(FolderWriter, "publish", publish_and_lose)
    index.save(path)
    index.delete(0)
    with pytest.raises(OutputExistsError, match="was changed since"):
        index.save(path)
    index.save(tmp_path / "elsewhere")  # its files are written again, as nothing at the path is its own
    assert answer(open_index(tmp_path / "elsewhere", verify=True)) == answer(index)


WRITER = """
    import sys
    from pathlib import Path
    sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1]).parent / "support")]
    from test_opening_races import STATES, made
    states = [made(number) for number in range(len(STATES))]
    print("ready", flush=True)
    count = 0
    while not Path(sys.argv[3]).exists():
        states[count * 7 % len(states)].save(sys.argv[2], if_exists="replace")
        count += 1
    print(count)
"""


def test_a_reader_meets_whole_states_only_while_a_process_replaces_the_folder(answers, tmp_path) -> None:
    path, stop = tmp_path / "index", tmp_path / "stop"
    made(0).save(path)
    command = [
        sys.executable,
        "-c",
        textwrap.dedent(WRITER),
        str(Path(__file__).parent),
        str(path),
        str(stop),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
            met, n_opened, until = set(), 0, time.monotonic() + 6
            while time.monotonic() < until:
                found = answer(open_index(path))
                assert found in answers
                met.add(found)
                n_opened += 1
        finally:
            stop.touch()
        n_replaced = int(writer.stdout.read())
    assert writer.returncode == 0
    assert n_replaced > 10 and n_opened > 10 and len(met) > 1
