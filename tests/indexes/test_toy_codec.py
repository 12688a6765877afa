"""A codec that one file defines and registers goes the whole way: key, plan, build, kill and resume, add, search,
save, open, inspect, describe, and a typed refusal by faiss. So do a transform and a partition.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from stored_files import arrays_of, file_name

from cluscomp import errors
from cluscomp.indexes import index_factory, open_index, parse_key
from cluscomp.indexes.build import build_index, plan_build
from cluscomp.indexes.keys import forms
from cluscomp.indexes.stages import registry

DIM = 24
KEYS = (
    "Signs", "IVF8,Signs", "OPQ4,BIVF8,Signs16", "PCA12,Signs,RFlat", "SQ8,Refine(Signs)",
    "IVF8,PQ4,BiDR(Signs)", "Reversed,Slices8,SQ8", "PCA12,Reversed,Slices5,Signs", "Reversed,OPQ4,PQ4",
)  # fmt: skip
SCRIPT = """
import os, signal, sys
import toy_codec
from cluscomp.indexes.build import build_index
key, source, output, stage = sys.argv[1:]
def progress(name, done, total):
    if name == stage and done:
        os.kill(os.getpid(), signal.SIGKILL)
print(build_index(source, index_key=key, output=output, if_exists="resume", progress=progress).resumed)
"""  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def toy():
    """The codec, known while these tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forms, "_FORMS", list(forms._FORMS))
        patch.setattr(registry, "_CLASSES", dict(registry._CLASSES))
        import toy_codec
        import toy_stages  # noqa: F401 - makes itself known

        yield toy_codec
    for name in ("toy_codec", "toy_stages"):
        sys.modules.pop(name)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((12, DIM)) * 2
    return (centres[rng.integers(12, size=900)] + rng.standard_normal((900, DIM))).astype(np.float32)


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((15, DIM)).astype(np.float32)


def decoded(index) -> np.ndarray:
    """Rows that the codes of an index without lists stand for."""
    return np.concatenate([index.pipeline.codec.decode(segment.codes) for segment in index.segments])


def test_keys_are_read_and_suggested() -> None:
    assert str(parse_key("IVF8,Signs16")) == "IVF8,Signs16"
    assert str(parse_key("PQ4,Refine(Signs)").refine) == "Signs"
    assert parse_key("PQ4,BiDR(Signs)").on_disk
    with pytest.raises(errors.UnknownKeyError, match=r"did you mean 'IVF8,Signs12'.*codecs .*Signs\[d\]"):
        parse_key("IVF8,Sings12")
    with pytest.raises(errors.UsageError, match="registered already"):
        forms.add_form(forms.Form("codec", rf"Signs{forms.NUMBER}?", "Signs", str))


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
def test_search_finds_what_plain_numpy_finds(rows, queries, metric) -> None:
    index = index_factory("Signs", DIM, metric).train(rows).add(rows[:500]).add(rows[500:])
    index.delete([3, 700])
    x, q = decoded(index).astype(np.float64), queries.astype(np.float64)
    if metric == "cosine":
        q /= np.linalg.norm(q, axis=1, keepdims=True)
    wanted = q @ x.T if metric != "l2" else -((q[:, None] - x) ** 2).sum(axis=2)
    wanted[:, [3, 700]] = -np.inf
    scores, ids = index.search(queries, 5)
    np.testing.assert_allclose(scores, -np.sort(-wanted, axis=1)[:, :5], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.take_along_axis(wanted, ids, axis=1), scores, rtol=1e-4, atol=1e-4)


def test_queries_are_prepared_once_a_search(rows, queries, monkeypatch, toy) -> None:
    index = index_factory("IVF8,Signs", DIM).train(rows).add(rows[:500]).add(rows[500:])
    prepare, calls = toy.SignCodec.prepare, []
    monkeypatch.setattr(toy.SignCodec, "prepare", lambda *args: calls.append(1) or prepare(*args))
    index.search(queries, 5)
    assert calls == [1]


@pytest.mark.parametrize("key", KEYS)
def test_streamed_saved_and_opened_is_what_was_added(rows, queries, tmp_path, key) -> None:
    index = index_factory(key, DIM).train(rows).add(rows)
    index.save(tmp_path / "saved")
    opened = open_index(tmp_path / "saved", verify=True)
    report = build_index(rows, index_key=key, output=tmp_path / "built")
    built = open_index(tmp_path / "built", verify=True)
    for other in (opened, built):
        for got, wanted in zip(other.search(queries, 7), index.search(queries, 7), strict=True):
            np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(built.vectors([5, 3]), deepcopy(index).vectors([5, 3]))
    plan = plan_build(rows, index_key=key)
    assert plan.feasible and plan.code_bytes_per_document == report.code_bytes_per_document == index.code_size
    assert plan.index_bytes == pytest.approx(report.index_bytes, abs=6000)


def test_files_bytes_and_inspect(rows, tmp_path, capsys) -> None:
    from typer.testing import CliRunner

    from cluscomp.cli.main import app

    index = index_factory("IVF8,Signs,Refine(Signs16)", DIM).train(rows).add(rows)
    index.save(tmp_path / "i")
    assert {"codes", "magnitudes", "refine", "refine_magnitudes"} <= arrays_of(tmp_path / "i", 0)
    facts = index.describe()
    assert (facts["code_size"], facts["refine_code_size"]) == (3 + 4, 2 + 4)
    assert facts["bytes"]["codes"] == 2 * 128 + 900 * 7 and facts["bytes"]["refine"] >= 2 * 128 + 900 * 6
    assert facts["bytes"]["total"] == sum(path.stat().st_size for path in (tmp_path / "i").iterdir())
    shown = CliRunner().invoke(app, ["inspect", str(tmp_path / "i"), "--json"])
    assert shown.exit_code == 0 and json.loads(shown.stdout)["key"] == "IVF8,Signs,Refine(Signs16)"


@pytest.mark.parametrize("stage", ["train", "add"])
def test_a_killed_build_goes_on(rows, tmp_path, stage) -> None:
    np.save(tmp_path / "x.npy", rows)
    support = Path(sys.modules["toy_codec"].__file__).parent

    def run(output: str, stop: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-c",
            SCRIPT,
            KEYS[2],
            str(tmp_path / "x.npy"),
            str(tmp_path / output),
            stop,
        ]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(support)}
        )

    assert run("straight", "never").returncode == 0
    assert run("out", stage).returncode == -signal.SIGKILL
    resumed = run("out", "never")
    assert resumed.returncode == 0 and "train" in resumed.stdout, resumed.stderr
    arrays = {path.name: path.read_bytes() for path in (tmp_path / "straight").glob("*.npy")}
    assert arrays == {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.npy")}
    assert {"codes", "magnitudes"} <= arrays_of(tmp_path / "out", 0)
    assert file_name(tmp_path / "out", "codec.shift") in arrays


def test_lists_and_order_of_components(rows, queries) -> None:
    plain = index_factory("Flat", DIM).train(rows).add(rows)
    index = index_factory("Reversed,Slices8,Flat", DIM).train(rows).add(rows)
    assert 100 < np.diff(index.segments[0].offsets).max() < 125
    for got, wanted in zip(index.search(queries, 7, nprobe=8), plain.search(queries, 7), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5)
    documents = index_factory("Pool(f=1),Reversed,Slices8,Flat", DIM).train(rows[None]).add(rows[None])
    np.testing.assert_array_equal(documents.vectors([0])[0], rows)


def test_what_is_not_there_is_refused_by_name(rows) -> None:
    with pytest.raises(errors.UsageError, match="stored as Signs"):
        index_factory("Pool4,Signs", DIM)
    pytest.importorskip("faiss")
    for key in ("Signs", "IVF8,Signs", "SQ8,Refine(Signs)"):
        with pytest.raises(errors.UsageError, match="faiss has no codes like those of Signs"):
            index_factory(key, DIM).train(rows).add(rows).to_faiss()
    for key, part in (("Reversed,SQ8", "step like Reversed"), ("Slices4,SQ8", "lists like those of Slices4")):
        with pytest.raises(errors.UsageError, match=part):
            index_factory(key, DIM).train(rows).add(rows).to_faiss()


def test_a_folder_is_refused_where_the_codec_is_not_known(rows, tmp_path) -> None:
    index_factory("Signs", DIM).train(rows).add(rows).save(tmp_path / "i")
    script = "import sys, cluscomp\ncluscomp.open_index(sys.argv[1])"
    command = [sys.executable, "-c", script, str(tmp_path / "i")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode and "names a key that this version cannot open" in done.stderr
