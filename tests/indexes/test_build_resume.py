"""A build that is killed after any stage goes on from there and ends with the same bytes as one that ran through."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cluscomp import errors
from cluscomp.indexes.build import build_index

KEY = "OPQ4,BIVF8(cap=1.1),PQ4x4,RFlat"
# Builds from vectors or texts and kills itself, as kill -9 does, when STAGE reports DONE of its units.
SCRIPT = """
import json, os, signal, sys
import numpy as np
from cluscomp.encoders.base import EncoderInfo
from cluscomp.indexes.build import build_index

kind, folder, stage, when = sys.argv[1:]
calls = []

class Encoder:
    info = EncoderInfo("toy", "dense", 16, False, "", "", None, "0" * 32)
    def encode_documents(self, texts, progress=None):
        calls.append(len(texts))
        return np.array([np.random.default_rng(int(t.split()[-1])).standard_normal(16) for t in texts], np.float32)
    encode_queries = encode_documents

def progress(name, done, total):
    if name == stage and done >= float(when) * total and (done or float(when) == 0):
        os.kill(os.getpid(), signal.SIGKILL)

texts = kind != "vectors"
source = folder + ("/corpus.jsonl" if texts else "/x.npy")
report = build_index(source, index_key=sys.argv[0] and "OPQ4,BIVF8(cap=1.1),PQ4x4,RFlat", output=folder + "/out", progress=progress,
                     encoder=Encoder() if texts else None, store_texts=texts, cache=kind == "cached",
                     if_exists="resume", seed=3)
print(json.dumps({"resumed": report.resumed, "encoded": sum(calls)}))
"""


def run(kind, folder, stage="never", when=1.0, cache=None):
    env = {"CLUSCOMP_CACHE": str(cache or folder / "cache"), "PATH": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, kind, str(folder), stage, str(when)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=env)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Vectors and texts, and the index that an undisturbed build makes of each."""
    folders = {}
    for kind in ("vectors", "texts", "cached"):
        folder = folders[kind] = tmp_path_factory.mktemp(kind)
        np.save(folder / "x.npy", np.random.default_rng(0).standard_normal((3000, 16)).astype(np.float32))
        lines = [
            json.dumps({"_id": f"d{i}", "title": f"t{i}", "text": f"text number {i}"}) for i in range(3000)
        ]
        (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")
        done = run(kind, folder)
        assert done.returncode == 0, done.stderr
        (folder / "out").rename(folder / "straight")
    return folders


def contents(folder: Path) -> dict[str, bytes]:
    """All files; what was measured (report.json, and its checksum in the manifest) is left out."""
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "report.json"}
    manifest = json.loads(files.pop("manifest.json"))
    del manifest["extra_files"]["report.json"]
    return files | {"manifest.json": json.dumps(manifest).encode()}


CASES = [
    ("vectors", stage, when)
    for stage, when in (
        ("read", 1),
        ("sample", 1),
        ("train OPQ4", 0.5),
        ("train", 1),
        ("add", 0.2),
        ("add", 1),
        ("write", 0),
    )
]
CASES += [(kind, stage, when) for kind in ("texts", "cached") for stage, when in (
    ("read", 1), ("encode", 0.4), ("encode", 1), ("train", 1), ("add", 1))]  # fmt: skip


@pytest.mark.parametrize(("kind", "stage", "when"), CASES)
def test_killed_after_a_stage(inputs, tmp_path, kind, stage, when):
    folder = inputs[kind]
    cache = tmp_path / "cache"
    killed = run(kind, folder, stage, when, cache)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (folder / "out").exists()
    resumed = run(kind, folder, cache=cache)
    assert resumed.returncode == 0, resumed.stderr
    try:
        assert contents(folder / "out") == contents(folder / "straight")
        assert not list(folder.glob(".out*"))
        facts = json.loads(resumed.stdout)
        if stage in ("sample", "train", "add"):
            assert "read" in facts["resumed"]
        if stage in ("train", "add"):
            assert "train" in facts["resumed"] and facts["encoded"] == 0
        if stage == "encode":
            assert facts["encoded"] == (0 if when == 1 else 3000 - 2 * 1024)  # blocks of 1024 were finished
    finally:
        (folder / "out").rename(tmp_path / "done")


def interrupt_at(stage):
    def progress(name, done, total):
        if name == stage:
            raise KeyboardInterrupt

    return progress


@pytest.fixture
def rows():
    return np.random.default_rng(1).standard_normal((500, 16)).astype(np.float32)


@pytest.fixture
def interrupted(rows, tmp_path):
    """A build of PQ4x4 at `out`, interrupted when it had been trained."""
    with pytest.raises(KeyboardInterrupt):
        build_index(rows, index_key="PQ4x4", output=tmp_path / "out", progress=interrupt_at("add"))
    assert (tmp_path / ".out.partial").is_dir() and not (tmp_path / "out").exists()
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"index_key": "PQ2x4"}, "index_key"),
        ({"seed": 9}, "seed"),
        ({"metric": "l2"}, "metric"),
        ({"max_train_rows": 99}, "max_train_rows"),
    ],
)
def test_other_settings_are_refused_by_name(rows, interrupted, change, named):
    settings = {"index_key": "PQ4x4", **change}
    with pytest.raises(errors.UsageError, match=named):
        build_index(rows, output=interrupted, if_exists="resume", **settings)
    report = build_index(rows, output=interrupted, if_exists="resume", index_key="PQ4x4")  # it is still there
    assert "train" in report.resumed


def test_other_contents_are_refused(rows, interrupted):
    rows[0, 0] += 1
    with pytest.raises(errors.UsageError, match="source.digest"):
        build_index(rows, output=interrupted, if_exists="resume", index_key="PQ4x4")


def test_documents_that_changed_are_encoded_and_trained_again(tmp_path):
    class Lengths:
        from cluscomp.encoders.base import EncoderInfo

        info = EncoderInfo("lengths", "dense", 2, False, "", "", None, "2" * 32)

        def encode_documents(self, texts, progress=None):
            return np.array([[len(text), 1] for text in texts], np.float32)

        encode_queries = encode_documents

    def build(texts, **options):
        documents = [(f"d{i}", "", text) for i, text in enumerate(texts)]
        return build_index(
            documents, encoder=Lengths(), index_key="SQ8", output=tmp_path / "out", cache=False, **options
        )

    with pytest.raises(KeyboardInterrupt):
        build(["a", "bb", "ccc"], progress=interrupt_at("add"))
    assert build(["a", "bb", "ccc", "dddd"], if_exists="resume").resumed == ()
    from cluscomp.indexes import open_index

    assert len(open_index(tmp_path / "out")) == 4


def test_without_resume_the_same_build_goes_on_too(rows, interrupted):
    assert "train" in build_index(rows, output=interrupted, index_key="PQ4x4").resumed


def test_without_resume_another_build_discards_and_says_so(rows, interrupted):
    with pytest.warns(UserWarning, match="discarded"):
        report = build_index(rows, output=interrupted, index_key="SQ8")
    assert report.resumed == ()


def test_replace_starts_over(rows, interrupted):
    assert build_index(rows, output=interrupted, index_key="PQ4x4", if_exists="replace").resumed == ()


def test_bad_input_leaves_nothing(rows, tmp_path):
    rows[499, 3] = np.inf
    with pytest.raises(errors.NonFiniteError, match="row 499"):
        build_index(rows, index_key="PQ4x4", output=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_two_builds_of_one_output(rows, tmp_path):
    def second(name, done, total):
        if name == "add":
            with pytest.raises(errors.OutputExistsError, match="another process"):
                build_index(rows, index_key="Flat", output=tmp_path / "out")

    build_index(rows, index_key="Flat", output=tmp_path / "out", progress=second)
    assert (tmp_path / "out" / "manifest.json").exists()


def test_block_and_thread_numbers_do_not_change_the_bits(rows, tmp_path, monkeypatch):
    from cluscomp import native
    from cluscomp.indexes.build import costs

    build_index(rows, index_key=KEY, output=tmp_path / "a")
    monkeypatch.setattr(costs, "MAX_BLOCK_ROWS", 37)
    monkeypatch.setattr(costs, "MIN_BLOCK_ROWS", 37)
    threads = native.get_num_threads()
    native.set_num_threads(1)
    try:
        build_index(rows, index_key=KEY, output=tmp_path / "b")
    finally:
        native.set_num_threads(threads)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
