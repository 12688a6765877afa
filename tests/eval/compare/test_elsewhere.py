"""Columns of keys that were trained on the documents of another collection."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from tiny_benchmark import DIM, write_collection, write_tokens
from typer.testing import CliRunner

from cluscomp import index_factory
from cluscomp.cli.main import app
from cluscomp.errors import UsageError
from cluscomp.eval import evaluate
from cluscomp.eval.compare import compare_indexes, read_config
from cluscomp.eval.compare.config import train_others_on
from cluscomp.eval.compare.config_file import parse_config
from cluscomp.eval.compare.loading import load_collection
from cluscomp.eval.compare.measure import yardstick
from cluscomp.eval.report.markdown import render_markdown
from cluscomp.eval.retrieval import run_from_results

GOOD = {"keys": ["Flat"], "encoder": "minilm"}
QUALITIES = ("elsewhere_ndcg@10", "elsewhere_exact_recall@10")


@pytest.fixture
def pair(tmp_path):
    """pair(keys, tokens=False) -> config of two collections, `here` and `there`, trained on each other."""
    tables = []
    for seed, name in enumerate(("here", "there")):
        tables.append(write_collection(tmp_path / name, seed=3 + seed))
        tables[-1]["trained_on"] = "there" if name == "here" else "here"

    def make(keys, tokens=False, **changes):
        lines = [f"threads = 1\nrepeats = 1\nkeys = {keys}\nsearch = {{ nprobe = [2, 8] }}"]
        for table in tables:
            given = {**table, **changes}
            lines.append("[[datasets]]")
            lines += [f'{name} = "{value}"' for name, value in given.items() if value]
            if tokens:
                lines.append(f"tokens = {write_tokens(tmp_path / table['name'])}")
        (tmp_path / "bench.toml").write_text("\n".join(lines))
        return read_config(tmp_path / "bench.toml")

    return make


def by_hand(config, key, **parameters):
    """Figures of the first dataset with an index trained on the second."""
    here, there = (load_collection(spec, {}) for spec in config.datasets)
    index = index_factory(key, DIM, "ip", seed=0).train(there.documents).add(here.documents)
    scores, positions = index.search(here.queries, 100, **parameters)
    run = run_from_results(here.query_ids, scores, here.document_ids[positions])
    neighbours = yardstick(here, 100).neighbours
    return evaluate(run, here.qrels, ("ndcg@10",))["ndcg@10"], evaluate(run, neighbours, ("recall@10",))[
        "recall@10"
    ]


def test_figures_are_those_of_an_index_trained_on_the_other_documents(pair, tmp_path):
    config = pair('["Flat", "SQfp16", "SQ8", "OPQ4,IVF8,PQ4", "RR,RaBitQ2"]')
    rows = [row for row in compare_indexes(config, tmp_path / "out").rows if row["dataset"] == "here"]
    assert [row["key"] for row in rows] == ["Flat", "SQfp16", "SQ8", "OPQ4,IVF8,PQ4", "OPQ4,IVF8,PQ4",
                                            "RR,RaBitQ2"]  # fmt: skip
    for row in rows[:2]:  # nothing is trained
        assert [row[name] for name in ("trained_on", *QUALITIES)] == [None, None, None]
    for row in rows[2:]:
        assert row["trained_on"] == "there"
        parameters = {"nprobe": row["nprobe"]} if row["nprobe"] else {}
        assert tuple(row[name] for name in QUALITIES) == pytest.approx(
            by_hand(config, row["key"], **parameters), abs=1e-12
        )
    lists = rows[4]  # all of them
    assert lists["elsewhere_exact_recall@10"] < lists["exact_recall@10"]


def test_the_usual_columns_do_not_change(pair, tmp_path):
    keys = '["IVF8,PQ4"]'
    both = compare_indexes(pair(keys), tmp_path / "both").rows
    alone = compare_indexes(pair(keys, trained_on=""), tmp_path / "alone").rows
    for one, other in zip(both, alone, strict=True):
        assert other["trained_on"] is None
        same = ("ndcg@10", "exact_recall@10", "index_bytes", "loss_below", "key", "nprobe")
        assert [one[name] for name in same] == [other[name] for name in same]


def test_rows_are_kept_while_the_other_documents_are_the_same(pair, tmp_path):
    config = pair('["Flat", "PQ4"]')
    out = tmp_path / "out"
    first = compare_indexes(config, out)
    assert not (out / "indexes").exists()
    again = compare_indexes(config, out)
    assert (again.measured, again.resumed) == (0, 4)
    assert again.rows == first.rows
    file = tmp_path / "there" / "docs.npy"
    np.save(file, 2 * np.load(file))
    more = compare_indexes(config, out)  # Flat learns nothing from them
    assert (more.measured, more.resumed) == (3, 1)


def test_token_vectors_are_trained_on_token_vectors(pair, tmp_path):
    rows = compare_indexes(pair('["Pool2,PQ4"]', tokens=True), tmp_path / "out").rows
    assert [(row["dataset"], row["trained_on"]) for row in rows] == [("here", "there"), ("there", "here")]
    for row in rows:
        assert row["vectors"] == "tokens"
        assert 0 < row["elsewhere_exact_recall@10"] < row["exact_recall@10"]


def test_faiss(pair, tmp_path):
    if importlib.util.find_spec("faiss") is None:
        pytest.skip("faiss is not installed")
    rows = compare_indexes(pair('["faiss:Flat", "faiss:SQ8", "faiss:HNSW8"]'), tmp_path / "out").rows
    flat, scalar, graph = rows[0], rows[1], rows[-1]
    assert (flat["trained_on"], graph["trained_on"], scalar["trained_on"]) == (None, None, "there")
    faiss = importlib.import_module("faiss")
    config = pair('["faiss:SQ8"]')
    here, there = (load_collection(spec, {}) for spec in config.datasets)
    index = faiss.index_factory(DIM, "SQ8", faiss.METRIC_INNER_PRODUCT)
    index.train(there.documents)
    index.add(here.documents)
    scores, positions = index.search(here.queries, 100)
    run = run_from_results(here.query_ids, scores, here.document_ids[positions])
    assert scalar["elsewhere_ndcg@10"] == pytest.approx(evaluate(run, here.qrels, ("ndcg@10",))["ndcg@10"])


def test_a_collection_too_small_to_train_on_is_the_reason_of_a_row(pair, tmp_path):
    config = pair('["Flat", "PQ4"]')
    file = tmp_path / "there" / "docs.npy"
    np.save(file, np.load(file)[:20])
    (tmp_path / "there" / "docs.ids.txt").write_text("".join(f"d{i}\n" for i in range(20)))
    result = compare_indexes(config, tmp_path / "out")
    failed = {(row["dataset"], row["key"]): row["error"] for row in result.failed}
    assert set(failed) == {("here", "PQ4"), ("there", "PQ4")}
    assert "256 rows, but there are 20" in failed["here", "PQ4"]


def test_tables_have_the_columns_only_where_something_was_trained_elsewhere(pair, tmp_path):
    rows = compare_indexes(pair('["Flat", "PQ4"]'), tmp_path / "out").rows
    page = render_markdown(rows, title="T")
    assert "there for here, here for there" in page
    head = next(line for line in page.splitlines() if line.startswith("| key | search |"))
    columns = [cell.strip() for cell in head.split("|")]
    at = columns.index("elsewhere nDCG@10")
    assert columns[at - 1 : at + 3] == ["exact", "elsewhere nDCG@10", "elsewhere exact", "loses <"]
    cells = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")]
        for line in page.split("## here")[1].split("## there")[0].splitlines()
        if line.startswith("| `")
    }
    assert cells["`Flat`"][at : at + 2] == ["-", "-"]
    row = rows[1]
    assert cells["`PQ4`"][at : at + 2] == [f"{row[QUALITIES[0]]:.4f}", f"{row[QUALITIES[1]]:.3f}"]
    plain = compare_indexes(pair('["Flat", "PQ4"]', trained_on=""), tmp_path / "out").rows
    assert "elsewhere" not in render_markdown(plain, title="T")


def test_the_flag_names_a_dataset_for_all_others(pair, tmp_path):
    pair('["PQ4"]', trained_on="")
    run = CliRunner()
    arguments = ["compare", str(tmp_path / "bench.toml"), "--output", str(tmp_path / "out"), "--no-report"]
    answer = run.invoke(app, [*arguments, "--trained-on", "there", "--only-dataset", "here", "--quiet"])
    assert answer.exit_code == 0, answer.output
    assert "elsewhere" in answer.stdout
    wrong = run.invoke(app, [*arguments, "--trained-on", "ther"])
    assert wrong.exit_code == 2
    assert "did you mean 'there'" in " ".join(wrong.output.split())


def test_one_for_all_and_one_of_its_own():
    tables = ["data/a", {"path": "b", "trained_on": "c"}, "c"]
    config = parse_config({**GOOD, "datasets": tables, "trained_on": "a"})
    assert [spec.elsewhere and spec.elsewhere.name for spec in config.datasets] == [None, "c", "a"]
    tokens = parse_config({**GOOD, "datasets": ["a", "b"], "tokens": {"encoder": "m"}, "trained_on": "a"})
    assert [(s.name, s.form, s.elsewhere and s.elsewhere.form) for s in tokens.datasets] == [
        ("a", "dense", None), ("a", "tokens", None), ("b", "dense", "dense"), ("b", "tokens", "tokens"),
    ]  # fmt: skip
    other = train_others_on(config, "c")
    assert [spec.elsewhere and spec.elsewhere.name for spec in other.datasets] == ["c", "c", None]


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ([{"path": "a", "trained_on": "a"}, "b"], "'a': trained_on names the dataset itself"),
        ([{"path": "a", "trained_on": "c"}, "b"], "trained_on 'c' is unknown; known are: a, b"),
        ([{"path": "a", "trained_on": 3}, "b"], "of the wrong type"),
    ],
)
def test_wrong_names(datasets, message):
    with pytest.raises(UsageError, match=message):
        parse_config({**GOOD, "datasets": datasets})


def test_the_only_dataset_cannot_be_the_other():
    with pytest.raises(UsageError, match="itself"):
        parse_config({**GOOD, "datasets": ["a"], "trained_on": "a"})
    with pytest.raises(UsageError, match="itself"):
        train_others_on(parse_config({**GOOD, "datasets": ["a"]}), "a")
