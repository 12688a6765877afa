"""Rows: right figures, resumed, failed and skipped ones."""

from __future__ import annotations

import dataclasses
import importlib.util
import json

import numpy as np
import pytest
from tiny_benchmark import DIM, DOCUMENTS, QUERIES, arguments, write_collection, write_config

from cluscomp import open_index
from cluscomp.errors import (
    EmptyInputError,
    MalformedFileError,
    OutputExistsError,
    UnknownKeyError,
    UsageError,
)
from cluscomp.eval import evaluate_index
from cluscomp.eval.compare import compare_indexes, read_config
from cluscomp.eval.compare.results import write_parquet

KEYS = '["Flat", "IVF8,PQ8x4,RSQ8", "PQ4"]'


@pytest.fixture
def tiny(tmp_path):
    """tiny(keys, more) -> config of a small collection."""
    table = write_collection(tmp_path / "tiny")

    def make(keys=KEYS, more=""):
        return read_config(write_config(tmp_path, table, keys, more))

    return make


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    table = write_collection(folder / "tiny")
    config = read_config(write_config(folder, table, KEYS, "search = { nprobe = [1, 4, 99] }"))
    return compare_indexes(config, folder / "out", keep_indexes=True)


def test_every_setting_has_a_row(result):
    assert [(row["key"], row["nprobe"], row["refine_factor"]) for row in result.rows] == [
        ("Flat", None, None),
        *(("IVF8,PQ8x4,Refine(SQ8)", nprobe, 4) for nprobe in (1, 4, 8)),  # 99 of 8 lists are 8
        ("PQ4", None, None),
    ]
    assert (result.measured, result.resumed, result.failed, result.skipped) == (5, 0, [], {})
    row = result.rows[0]
    assert (row["n_docs"], row["n_queries"], row["dim"]) == (DOCUMENTS, QUERIES, DIM)
    for name in (
        "processor",
        "cores",
        "simd",
        "python",
        "numpy",
        "cluscomp",
        "seed",
        "threads",
        "measured_at",
    ):
        assert row[name] is not None, name


def test_flat_loses_nothing(result):
    row = result.rows[0]
    assert row["exact_recall@10"] == 1.0
    for name, value in row.items():
        if "loss_" in name:
            assert value == (None if name.startswith("pooling") else 0.0), name
    assert row["non_inferior"] is True
    assert row["p_value"] == 1.0


def test_figures_are_those_of_evaluate_index_on_the_stored_index(result, tmp_path):
    (folder,) = [
        path for path in (result.folder / "indexes").glob("*/files/index") if open_index(path).key == "PQ4"
    ]
    index, tiny = open_index(folder), result.config.datasets[0]
    queries = np.load(tiny.query_embeddings)
    qrels = {f"q{i}": {} for i in range(QUERIES)}
    for line in (tiny.base / "tiny" / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, level = line.split("\t")
        qrels[query][document.removeprefix("d")] = int(level)  # documents are numbered in the stored index
    want = evaluate_index(index, queries, list(qrels), qrels)
    row = result.rows[-1]
    assert {name: row[name] for name in want.metrics} == pytest.approx(want.metrics, abs=1e-12)
    assert row["index_bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    assert row["bytes_per_document"] == row["index_bytes"] / DOCUMENTS
    assert row["latency_p50_ms"] <= row["latency_p95_ms"] <= row["latency_p99_ms"]


@pytest.mark.parametrize("measure", ["ndcg@10", "exact_recall@10"])
def test_losses_add_up_and_fall_where_they_belong(result, measure):
    for row in result.rows:
        parts = [row[f"{cause}_loss_{measure}"] for cause in ("coarse", "quantization", "rerank")]
        assert sum(parts) == pytest.approx(row[f"loss_{measure}"], abs=1e-12)
    one, four, all_lists = result.rows[1:4]
    assert one["coarse_loss_exact_recall@10"] > four["coarse_loss_exact_recall@10"] >= 0
    assert all_lists[f"coarse_loss_{measure}"] == 0.0
    plain = result.rows[4]
    assert plain["quantization_loss_exact_recall@10"] == plain["loss_exact_recall@10"] > 0


def test_balance_of_lists(result):
    row = result.rows[1]
    assert row["lists_nlist"] == 8
    assert row["lists_max_over_mean"] >= 1
    assert result.rows[0]["lists_cv"] is None


def test_commands_make_the_same_figures(result, monkeypatch, tmp_path):
    from typer.testing import CliRunner

    from cluscomp.cli.main import app

    row = result.rows[2]
    build, evaluation = map(arguments, row["command"].splitlines())
    monkeypatch.chdir(tmp_path)
    for command in (build, [*evaluation, "--json"]):
        answer = CliRunner().invoke(app, command)
        assert answer.exit_code == 0, answer.output
    metrics = json.loads(answer.stdout)["metrics"]
    assert {name: row[name] for name in metrics} == pytest.approx(metrics, abs=1e-12)


def test_a_second_run_measures_nothing_and_a_changed_one_only_what_is_new(tiny, tmp_path):
    out = tmp_path / "out"
    first = compare_indexes(tiny('["Flat", "SQ8"]'), out)
    assert not (out / "indexes").exists()
    lines = (out / "results.jsonl").read_text().splitlines()
    again = compare_indexes(tiny('["SQ8", "Flat"]'), out)
    assert (again.measured, again.resumed) == (0, 2)
    assert again.rows[0] == json.loads(lines[1])
    more = compare_indexes(tiny('["Flat", "SQ8", "SQfp16"]'), out)
    assert (more.measured, more.resumed) == (1, 2)
    assert [row["key"] for row in more.rows] == ["Flat", "SQ8", "SQfp16"]
    other = compare_indexes(dataclasses.replace(tiny('["PQ4"]'), seed=1), out)
    assert other.rows[0]["seed"] == 1
    assert len(first.rows) == 2


def test_a_line_that_a_kill_left_half_is_measured_again(tiny, tmp_path):
    out = tmp_path / "out"
    compare_indexes(tiny('["Flat", "SQ8"]'), out)
    file = out / "results.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    again = compare_indexes(tiny('["Flat", "SQ8"]'), out)
    assert (again.measured, again.resumed) == (1, 1)
    assert len(file.read_text().splitlines()) == 2


def test_a_kept_index_is_not_built_again(tiny, tmp_path, monkeypatch):
    from cluscomp.eval.compare.ours import Ours

    out = tmp_path / "out"
    compare_indexes(tiny('["SQ8"]'), out, keep_indexes=True)
    (out / "results.jsonl").unlink()
    monkeypatch.setattr(Ours, "build", lambda *_: pytest.fail("built again"))
    again = compare_indexes(tiny('["SQ8"]'), out)
    assert again.measured == 1
    assert not (out / "indexes").exists()  # not asked to keep it this time


def test_existing_results(tiny, tmp_path):
    out = tmp_path / "out"
    compare_indexes(tiny('["Flat"]'), out)
    with pytest.raises(OutputExistsError, match="if_exists"):
        compare_indexes(tiny('["Flat"]'), out, if_exists="fail")
    assert compare_indexes(tiny('["Flat"]'), out, if_exists="replace").measured == 1
    (out / "results.jsonl").write_text("{}\n")
    with pytest.raises(MalformedFileError, match=r"results\.jsonl:1"):
        compare_indexes(tiny('["Flat"]'), out)


def test_a_key_that_does_not_work_here_is_a_row_with_its_reason(tiny, tmp_path):
    result = compare_indexes(tiny('["IVF512,Flat", "Flat"]'), tmp_path / "out")
    assert [row["key"] for row in result.good] == ["Flat"]
    assert "512 training rows, but got 400" in result.failed[0]["error"]
    again = compare_indexes(tiny('["IVF512,Flat", "Flat"]'), tmp_path / "out")
    assert (again.measured, again.resumed, len(again.failed)) == (0, 1, 1)
    with pytest.raises(EmptyInputError, match="512 training rows"):
        compare_indexes(tiny('["IVF512,Flat"]'), tmp_path / "out")


def test_keys_that_can_never_work_are_errors_before_anything_is_built(tiny, tmp_path):
    for keys, fault, message in (
        ('["Flat", "Flot"]', UnknownKeyError, "Flot"),
        ('["Flat", "PQ5"]', UsageError, "m=5"),
        ('["Flat", "Pool4,PQ4"]', UsageError, "several vectors"),
        ('["Flat", "fais:Flat"]', UsageError, "did you mean 'faiss'"),
        ('["Flat", "hnswlib:m=3"]', UsageError, "'m=3' is unknown"),
        ('["Flat", "hnswlib:M=x"]', UsageError, "M is 'x'"),
    ):
        with pytest.raises(fault, match=message):
            compare_indexes(tiny(keys), tmp_path / "out")
        assert not (tmp_path / "out" / "results.jsonl").exists()


def test_libraries_that_are_not_installed_are_skipped(tiny, tmp_path, monkeypatch):
    from cluscomp import errors
    from cluscomp.eval.compare import adapters

    def library(name, part=""):
        raise errors.OptionalDependencyError(f"{name}.{part} is missing")

    monkeypatch.setattr(adapters, "library", library)
    result = compare_indexes(tiny('["Flat", "usearch:dtype=f32"]'), tmp_path / "out")
    assert [row["key"] for row in result.rows] == ["Flat"]
    assert result.skipped == {"usearch": "usearch.index is missing"}


def test_without_judgements_the_exact_neighbours_are_the_measure(tmp_path):
    table = write_collection(tmp_path / "tiny")
    del table["path"]
    result = compare_indexes(read_config(write_config(tmp_path, table, '["SQ8"]')), tmp_path / "out")
    (row,) = result.rows
    assert row["ndcg@10"] is None
    assert row["p_value"] is None
    assert 0.5 < row["exact_recall@10"] < 1
    assert row["loss_exact_recall@10"] == pytest.approx(1 - row["exact_recall@10"])


def test_texts_are_encoded_once(tmp_path, monkeypatch):
    import cluscomp.encoders
    from cluscomp.encoders.base import EncoderInfo

    class Lengths:
        info = EncoderInfo(
            name="lengths", kind="dense", dim=2, normalize=False, query_prompt="", document_prompt="",
            max_seq_length=None, fingerprint="f" * 32,
        )  # fmt: skip
        calls = 0

        def encode_documents(self, texts, progress=None):
            type(self).calls += 1
            return np.array([[len(text), 1] for text in texts], np.float32)

        encode_queries = encode_documents

    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cluscomp.encoders, "load_encoder", lambda name, kind: Lengths())
    folder = tmp_path / "texts"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": f"d{i}", "title": "", "text": "x" * i}) + "\n" for i in range(1, 20))
    )
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "yyy"}) + "\n")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td19\t1\n")
    (tmp_path / "b.toml").write_text('datasets = ["texts"]\nkeys = ["Flat"]\nencoder = "lengths"\n')
    for _ in range(2):
        result = compare_indexes(read_config(tmp_path / "b.toml"), tmp_path / "out", if_exists="replace")
    assert result.rows[0]["ndcg@10"] == 1.0
    assert Lengths.calls == 2  # documents and queries, the first time
    assert "--encoder lengths" in result.rows[0]["command"]


def test_parquet_holds_the_same_table(result, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_parquet(result.rows, tmp_path / "r.parquet")
    table = parquet.read_table(tmp_path / "r.parquet").to_pylist()
    assert [row["bytes_per_document"] for row in table] == [row["bytes_per_document"] for row in result.rows]
    assert set(table[0]) == set(result.rows[0])


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize(
    ("module", "key", "least"),
    [
        ("faiss", "faiss:Flat", 1.0),
        ("faiss", "faiss:IVF4,Flat", 1.0),
        ("faiss", "faiss:HNSW8", 0.95),
        ("faiss", "faiss:IVF4,PQ8x4fs,RFlat", 0.9),
        ("hnswlib", "hnswlib:M=8", 0.95),
        ("usearch", "usearch:connectivity=8", 0.95),
        ("scann", "scann:leaves=4", 0.9),
        ("scann", "scann:leaves=0,reorder=0", 0.3),
    ],
)
def test_rivals(tmp_path, metric, module, key, least):
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    table = write_collection(tmp_path / "tiny") | {"metric": metric}
    result = compare_indexes(read_config(write_config(tmp_path, table, f'["{key}"]')), tmp_path / "out")
    assert not result.failed
    row = max(result.rows, key=lambda row: (row["exact_recall@10"], -row["missing_hits"]))
    assert row["exact_recall@10"] >= least
    assert row["version"] is not None
    assert row["bytes_per_document"] > 2
    assert row["missing_hits"] == 0
    assert f"--only-key '{key}'" in row["command"] or f"--only-key {key}" in row["command"]


def test_load_is_that_of_the_time_of_the_row():
    import subprocess
    import sys
    import time

    from cluscomp.eval.compare.load import LoadMeter

    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.3)
        meter = LoadMeter()
        time.sleep(0.6)
        assert meter.load(1) > 1.2  # less than 2 where more processes than cores run
    finally:
        other.kill()
        other.wait()
