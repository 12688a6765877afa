"""The whole run on a tiny model: what it writes, what it freezes, and that a killed run goes on to the same end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import OutputExistsError, UsageError
from cluscomp.training.checkpoint import state_folder

torch = pytest.importorskip("torch")

SETTINGS = {
    "m": 4, "nbits": 4, "batch_size": 8, "joint_epochs": 1.0, "jpq_epochs": 1.0, "balance_rows": 64,
    "live_negatives": 20, "mined": 10, "distill_weight": 0.5, "checkpoint_steps": 2, "document_tokens": 32,
}  # fmt: skip


@pytest.fixture
def train(collection, tiny_model, tmp_path):
    from cluscomp.training.repconc.train import train_repconc

    def run(name="out", source=collection, **settings):
        known = {"if_exists", "report", "progress", "pseudo_queries", "split"}
        call = {key: settings.pop(key) for key in known & settings.keys()}
        output = tmp_path / name
        return train_repconc(
            source, encoder=str(tiny_model), output=output, **call, **{**SETTINGS, **settings}
        )

    return run


def contents(folder):
    """Bytes of all that decides a result: weights and codec."""
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*.safetensors"))}


def test_output_is_an_encoder_and_a_codec(train, tiny_model, tmp_path):
    from cluscomp.quantization.learned import LearnedCodec

    steps = []
    report = train(report=lambda stage, step, metrics: steps.append((stage, step, metrics)))
    assert [(stage, step) for stage, step, _ in steps] == [("joint", i) for i in (1, 2, 3)] + [
        ("jpq", i) for i in (1, 2, 3)
    ]
    assert set(steps[0][2]) == {"loss", "error", "balance", "moved"}
    assert set(steps[3][2]) == {"loss", "distilled", "found"}
    assert not state_folder(tmp_path / "out").exists()
    codec = LearnedCodec.load(tmp_path / "out" / "codec")
    assert (codec.dim, codec.m, codec.nbits, codec.kind) == (16, 4, 4, "repconc")
    assert codec.provenance["seed"] == 0 and codec.provenance["encoder"] == str(tiny_model)
    assert not np.array_equal(codec.document_centroids, codec.query_centroids)  # JPQ moves the latter alone
    encoder = cc.load_encoder(str(tmp_path / "out" / "encoder"))
    documents = encoder.encode_documents(["a red cat"])
    assert not np.allclose(documents, encoder.encode_queries(["a red cat"]))
    assert not np.allclose(documents, cc.load_encoder(str(tiny_model)).encode_documents(["a red cat"]))
    facts = json.loads((tmp_path / "out" / "training.json").read_text())
    assert len(facts["history"]["joint"]) == 3 and facts["key"] == report.key


def test_the_index_key_scores_with_the_second_centroids(train, collection, tmp_path):
    """Codes come from stage one, scores from stage two (the codec keeps both)."""
    from cluscomp.indexes.build import build_index
    from cluscomp.quantization.learned import LearnedCodec

    report = train()
    encoder = cc.load_encoder(str(tmp_path / "out" / "encoder"))
    codec = LearnedCodec.load(tmp_path / "out" / "codec")
    build_index(collection, output=tmp_path / "x", encoder=encoder, index_key=report.key, metric="ip")
    index = cc.open_index(tmp_path / "x")
    query = encoder.encode_queries(["a red cat"])
    scores, ids = index.search(query, k=5)
    records = [json.loads(line) for line in (collection / "corpus.jsonl").read_text().splitlines()]
    vectors = encoder.encode_documents([r["title"] + " " + r["text"] for r in records])
    expected = codec.rotate_queries(query) @ codec.decode(codec.encode(vectors)).T
    assert np.allclose(scores[0], np.sort(expected[0])[::-1][:5], atol=1e-4)
    assert records[int(expected[0].argmax())]["_id"] == ids[0][0]


def test_a_killed_run_resumes_to_the_same_result(train, collection, tiny_model, tmp_path):
    """All in processes of their own: what ran here before has changed torch's number of threads, and so its sums."""
    program = f"""
import os, signal, sys
from cluscomp.training.repconc.train import train_repconc

output, if_exists, killed_in = sys.argv[1:]

def report(stage, step, metrics):
    if (stage, step) == (killed_in, 3):
        os.kill(os.getpid(), signal.SIGKILL)

train_repconc({str(collection)!r}, encoder={str(tiny_model)!r}, output=output, if_exists=if_exists, report=report,
              **{SETTINGS!r})
"""

    def run(name: str, if_exists: str, killed_in: str, code: int) -> None:
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / name), if_exists, killed_in],
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr

    run("whole", "fail", "no stage", 0)
    for stage, if_exists in (("joint", "fail"), ("jpq", "resume")):
        run("killed", if_exists, stage, -signal.SIGKILL)
        assert state_folder(tmp_path / "killed").is_dir() and not (tmp_path / "killed").exists()
    with pytest.raises(OutputExistsError, match="unfinished"):
        train("killed")
    with pytest.raises(UsageError, match="jpq_lr was 5e-05 and is now 0.5"):
        train("killed", if_exists="resume", jpq_lr=0.5)
    run("killed", "resume", "no stage", 0)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert not state_folder(tmp_path / "killed").exists()


def test_stages_can_be_left_out(train, tiny_model, tmp_path):
    from cluscomp.quantization.learned import LearnedCodec

    train("joint", jpq_epochs=0)
    codec = LearnedCodec.load(tmp_path / "joint" / "codec")
    assert np.array_equal(codec.document_centroids, codec.query_centroids)
    encoder = cc.load_encoder(str(tmp_path / "joint" / "encoder"))
    assert np.array_equal(encoder.encode_documents(["a cat"]), encoder.encode_queries(["a cat"]))
    train("jpq", joint_epochs=0)
    untouched = cc.load_encoder(str(tiny_model)).encode_documents(["a cat"])
    assert np.allclose(
        cc.load_encoder(str(tmp_path / "jpq" / "encoder")).encode_documents(["a cat"]), untouched
    )


def test_settings_reach_the_run(train, collection, tmp_path):
    train("seed0")
    train("seed1", seed=1)
    assert contents(tmp_path / "seed0") != contents(tmp_path / "seed1")
    (collection / "qrels" / "train.tsv").unlink()
    report = train(
        "pseudo", topics=True, chunk=4, bf16=True, jpq_loss="pair", jpq_epochs=0.2, joint_epochs=0.2
    )
    assert report.data == {"documents": 120, "queries": 0, "pseudo_queries": 120, "positives": 120}
    assert len(report.history["joint"]) == 3


def test_output_that_exists(train, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    for if_exists in ("fail", "replace", "resume"):
        with pytest.raises(OutputExistsError):
            train(if_exists=if_exists)
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"joint_epochs": 0, "jpq_epochs": 0}, "nothing would be trained"),
        ({"jpq_loss": "other"}, "jpq_loss"),
        ({"epsilon": 0}, "epsilon"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, but is 0"),
        ({"m": 5}, "m=5"),
        ({"if_exists": "maybe"}, "if_exists"),
    ],
)
def test_wrong_settings(train, settings, word, tmp_path):
    with pytest.raises(UsageError, match=word):
        train(**settings)
    assert not (tmp_path / "out").exists()


def test_without_the_constraint_no_code_moves(train):
    """Nearest codes are what an index takes; balanced ones are used more evenly, at the cost of moved codes."""
    kept = {}
    for constrained in (True, False):
        steps = []
        train(
            f"out-{constrained}", constrained=constrained, jpq_epochs=0.0,
            report=lambda stage, step, metrics, steps=steps: steps.append(metrics),
        )  # fmt: skip
        kept[constrained] = steps
    assert all(metrics["moved"] == 0 for metrics in kept[False])
    assert all(0 < metrics["moved"] < 1 for metrics in kept[True])
    assert kept[True][0]["balance"] < kept[False][0]["balance"]
    assert kept[True][0]["error"] > kept[False][0]["error"]
