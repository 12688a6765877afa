"""The steps one by one, as a scheduler runs them: out of order, repeated, killed, damaged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cluscomp as cc
from cluscomp import native
from cluscomp.distributed import build
from cluscomp.distributed.build import arguments_of, commit_plan, plan_shards
from cluscomp.distributed.job import Job
from cluscomp.distributed.marker import read_marker
from cluscomp.distributed.steps import Step, run_step, run_step_at
from cluscomp.errors import (
    CorruptIndexError,
    EncoderMismatchError,
    ForeignFileError,
    IndexMissingError,
    OutputExistsError,
    UsageError,
)
from cluscomp.progress import silent
from tests.distributed.conftest import contents, same_hits

KEY = "BIVF8(cap=1.1),PQ4x4"


@pytest.fixture
def source(tmp_path, vectors):
    return shutil.copyfile(vectors, tmp_path / "x.npy")


def planned(folder, source, shards=3, key=KEY, **options):
    arguments = arguments_of(source, index_key=key, **{"metric": "ip", "seed": 0} | options)
    plan_shards(folder, arguments, shards)
    return folder


def encoded(folder, shards=3):
    run_step_at(folder, Step("train"), silent)
    for number in reversed(range(shards)):
        run_step_at(folder, Step("choose", number), silent)
    run_step_at(folder, Step("place"), silent)
    for number in reversed(range(shards)):
        run_step_at(folder, Step("encode", number), silent)


def test_steps_in_any_order_within_a_phase(tmp_path, source):
    folder = planned(tmp_path / "plan", source)
    encoded(folder)
    encoded(folder)  # what is done is done
    report = commit_plan(folder, tmp_path / "index")
    assert (report.n, report.key) == (2000, KEY) and not folder.exists()
    build(source, index_key=KEY, output=tmp_path / "at once", shards=3)
    assert contents(tmp_path / "index") == contents(tmp_path / "at once")


def test_a_step_says_what_comes_before_it(tmp_path, source):
    folder = planned(tmp_path / "plan", source)
    with pytest.raises(UsageError, match=r"shard 1: .*is not trained; run `cluscomp shard train`"):
        run_step_at(folder, Step("encode", 1), silent)
    run_step_at(folder, Step("train"), silent)
    with pytest.raises(UsageError, match="shard choose"):
        run_step_at(folder, Step("encode", 1), silent)
    with pytest.raises(UsageError, match=r"shard 0 has not chosen"):
        run_step_at(folder, Step("place"), silent)
    with pytest.raises(UsageError, match="there is no shard 3; those .* are 0 to 2"):
        run_step_at(folder, Step("encode", 3), silent)
    with pytest.raises(UsageError, match="shard 0 .* is not encoded"):
        commit_plan(folder, tmp_path / "index")
    with pytest.raises(IndexMissingError, match="shard plan"):
        run_step_at(tmp_path, Step("train"), silent)
    assert not (tmp_path / "index").exists()


def test_a_plan_is_kept_replaced_or_refused(tmp_path, source):
    folder = planned(tmp_path / "plan", source)
    with pytest.raises(OutputExistsError, match="resume"):
        planned(folder, source)
    arguments = arguments_of(source, index_key="SQ8", metric="ip", seed=0)
    with pytest.raises(UsageError, match="it is another one"):
        plan_shards(folder, arguments, 3, if_exists="resume")
    run_step_at(folder, Step("train"), silent)
    plan_shards(folder, Job.open(folder).plan.arguments, 3, if_exists="resume")
    assert (folder / "trained").is_dir()
    plan_shards(folder, arguments, 3, if_exists="replace")
    assert not (folder / "trained").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(OutputExistsError, match="no plan"):
        plan_shards(tmp_path / "mine", arguments, 3, if_exists="replace")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_a_source_that_changed_is_named(tmp_path, source):
    folder = planned(tmp_path / "plan", source)
    x = np.load(source)
    np.save(source, x[:1999])
    with pytest.raises(UsageError, match=r"x\.npy is not what was planned .*bytes was 128128 and is now"):
        run_step_at(folder, Step("train"), silent)
    np.save(source, x)
    os.utime(source, ns=(1, 1))
    with pytest.raises(UsageError, match="modified"):
        run_step_at(folder, Step("encode", 0), silent)


@pytest.mark.parametrize("change", ["byte", "short", "missing", "rows", "plan", "trained", "json", "folder"])
def test_commit_finds_what_is_damaged(tmp_path, source, change):
    folder = planned(tmp_path / "plan", source, key="IVF8,SQ8")
    run_step_at(folder, Step("train"), silent)
    for number in range(3):
        run_step_at(folder, Step("encode", number), silent)
    marker = folder / "parts" / "1.json"
    known = read_marker(folder / "parts", 1)
    codes = next(
        path for path in (folder / "parts" / known.folder).iterdir() if path.name.endswith("codes.npy")
    )
    value = json.loads(marker.read_text())
    if change == "byte":
        raw = bytearray(codes.read_bytes())
        raw[-1] ^= 1
        codes.write_bytes(raw)
    elif change == "short":
        codes.write_bytes(codes.read_bytes()[:-1])
    elif change == "missing":
        codes.unlink()
    elif change == "rows":
        value["manifest"]["segments"][0]["rows"] -= 1
    elif change == "plan":
        value["plan"] = "0" * 32
    elif change == "trained":
        value["manifest"]["trained"] = "0" * 16
    elif change == "json":
        value = 7
    else:
        value["folder"] = "../../elsewhere"
    if change not in ("byte", "short", "missing"):
        marker.write_text(json.dumps(value))
    with pytest.raises(CorruptIndexError, match="1"):
        commit_plan(folder, tmp_path / "index")
    assert not (tmp_path / "index").exists()
    marker.unlink()
    run_step_at(folder, Step("encode", 1), silent)
    commit_plan(folder, tmp_path / "index")
    assert len(cc.open_index(tmp_path / "index", verify=True)) == 2000


def test_a_plan_that_was_edited_is_refused(tmp_path, source):
    folder = planned(tmp_path / "plan", source)
    path = folder / "plan.json"
    value = json.loads(path.read_text())
    for edit, error in (
        ({"n": 1999}, CorruptIndexError), ({"format": "x"}, ForeignFileError), ({"settings": 1}, CorruptIndexError),
        ({"arguments": {}}, CorruptIndexError), ({"version": 2}, cc.errors.NewerFormatError),
    ):  # fmt: skip
        path.write_text(json.dumps(value | edit))
        with pytest.raises(error):
            run_step_at(folder, Step("train"), silent)
    path.write_text("{")
    with pytest.raises(CorruptIndexError, match="not valid JSON"):
        run_step_at(folder, Step("train"), silent)


@pytest.mark.parametrize("key", ["OPQ4,IVF8,PQ4", "PCAW8,SQ8"])
def test_shards_encoded_by_unlike_machines_are_those_of_one(tmp_path, source, key):
    """Each shard with another instruction set than the one before, where this machine has several."""
    encoded_files = []
    for name, levels in (("alike", [native.simd_level()]), ("unlike", native.available_simd_levels())):
        folder = planned(tmp_path / name, source, key=key, metric="cosine")
        run_step_at(folder, Step("train"), silent)
        before = native.simd_level()
        try:
            for shard in range(3):
                native.set_simd_level(levels[shard % len(levels)])
                run_step_at(folder, Step("encode", shard), silent)
        finally:
            native.set_simd_level(before)
        files = (folder / "parts").glob("*/*")
        encoded_files.append(
            {(file.parent.name.split(".")[0], file.name): file.read_bytes() for file in files}
        )
    assert encoded_files[0] == encoded_files[1] and len(encoded_files[0]) >= 3


def test_the_first_of_two_attempts_stays(tmp_path, source, monkeypatch):
    """A step that was started twice: both write their own files, and the marker of the first counts."""
    folder = planned(tmp_path / "plan", source, key="IVF8,SQ8")
    run_step_at(folder, Step("train"), silent)
    first = run_step_at(folder, Step("encode", 0), silent)
    monkeypatch.setattr("cluscomp.distributed.encoding.read_marker", lambda parts, number: None)
    second = run_step_at(folder, Step("encode", 0), silent)
    assert first == second
    assert len([path for path in (folder / "parts").iterdir() if path.is_dir()]) == 1


def test_an_encoder_of_another_fingerprint_is_refused(tmp_path):
    from cluscomp.distributed.recorded_encoder import load_recorded

    words = cc.load_encoder("words", "words")
    assert load_recorded(words.info.to_json()).info == words.info
    with pytest.raises(EncoderMismatchError, match="fingerprint"):
        load_recorded(words.info.to_json() | {"fingerprint": "f" * 32})


def test_build_goes_on_behind_the_shards_that_have_ended(tmp_path, source, queries, monkeypatch):
    from cluscomp.distributed import encoding

    real, asked = encoding._encoded, []

    def interrupted(job, number, attempt, progress):
        asked.append(number)
        if number == 1 and asked.count(1) == 1:
            raise KeyboardInterrupt
        return real(job, number, attempt, progress)

    monkeypatch.setattr(encoding, "_encoded", interrupted)
    for if_exists in ("fail", "resume"):
        output = tmp_path / if_exists
        asked.clear()
        with pytest.raises(KeyboardInterrupt):
            build(source, index_key=KEY, output=output, shards=3)
        assert (tmp_path / f".{if_exists}.shards").is_dir() and not output.exists()
        if if_exists == "resume":
            with pytest.raises(UsageError, match="another one"):
                build(source, index_key="SQ8", output=output, shards=3, if_exists="resume")
        build(source, index_key=KEY, output=output, shards=3, if_exists=if_exists)
        assert asked == [0, 1, 1, 2]
        assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    build(source, index_key=KEY, output=output, shards=3, if_exists="resume")  # is finished
    assert asked == [0, 1, 1, 2]
    same_hits(cc.open_index(tmp_path / "fail"), cc.open_index(tmp_path / "resume"), queries)


def test_other_settings_discard_what_was_left(tmp_path, source, monkeypatch):
    from cluscomp.distributed import encoding

    def stopped(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(encoding, "_encoded", stopped)
        with pytest.raises(KeyboardInterrupt):
            build(source, index_key=KEY, output=tmp_path / "i", shards=3)
    with pytest.warns(UserWarning, match="discarded"):
        build(source, index_key="SQ8", output=tmp_path / "i", shards=2)
    assert cc.open_index(tmp_path / "i").key == "SQ8"
    with pytest.raises(OutputExistsError):
        build(source, index_key="SQ8", output=tmp_path / "i", shards=2)


KILLED = """
import os, sys
sys.path.insert(0, {support!r})
from pathlib import Path
from faulty_system import failing, kill
from cluscomp.distributed.steps import Step, run_step_at
os.fsync = lambda handle: None
with failing(int(sys.argv[1]), kill) as counter:
    run_step_at(Path(sys.argv[2]), Step("encode", 1), lambda stage, done, total: None)
print(len(counter.names))
"""


@pytest.mark.slow
def test_a_shard_that_is_killed_at_any_write_is_encoded_again(tmp_path, source):
    folder = planned(tmp_path / "plan", source)
    run_step_at(folder, Step("train"), silent)
    job = Job.open(folder)
    for number in range(3):
        run_step(job, Step("choose", number), silent)
    run_step(job, Step("place"), silent)
    for number in (0, 2):
        run_step(job, Step("encode", number), silent)
    code = KILLED.format(support=str(Path(__file__).resolve().parents[1] / "support"))
    at, killed = 0, 0
    while True:
        left = shutil.copytree(folder, tmp_path / "copy")
        done = subprocess.run(
            [sys.executable, "-c", code, str(at), str(left)], capture_output=True, text=True
        )
        if done.returncode == 0:
            assert at >= int(done.stdout)
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        run_step_at(left, Step("encode", 1), silent)
        commit_plan(left, tmp_path / "index")
        if killed:
            assert contents(tmp_path / "index") == contents(tmp_path / "first")
            shutil.rmtree(tmp_path / "index")
        else:
            os.rename(tmp_path / "index", tmp_path / "first")
        killed, at = killed + 1, at + 4
    build(source, index_key=KEY, output=tmp_path / "undisturbed", shards=3)
    assert contents(tmp_path / "first") == contents(tmp_path / "undisturbed") and killed >= 10
