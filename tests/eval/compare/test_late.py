"""Token vectors as rows beside dense ones: right figures, losses that add up, resumed, from texts and files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_benchmark import DOCUMENTS, QUERIES, arguments, write_collection, write_config, write_tokens

from cluscomp.errors import UsageError
from cluscomp.eval.compare import compare_indexes, read_config
from cluscomp.eval.compare.collection import make_collection
from cluscomp.eval.compare.exact import exact_search
from cluscomp.eval.report.markdown import render_markdown
from cluscomp.multivector import as_ragged

KEYS = '["Flat", "Pool4,SQfp16", { key = "Pool2,IVF8,PQ8x4", candidates = [12, 400] }, "Pool2,SQ4,RSQ8"]'
MEASURES = ("ndcg@10", "exact_recall@10")


def with_tokens(folder, keys=KEYS):
    table = write_collection(folder / "tiny")
    tokens = write_tokens(folder / "tiny")
    path = write_config(folder, table, keys, "k = 10")
    path.write_text(path.read_text() + f"tokens = {tokens}\n")
    return path


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("late")
    return compare_indexes(read_config(with_tokens(folder)), folder / "out")


def test_rows_stand_beside_the_dense_ones(result):
    assert not result.failed
    assert [(row["dataset"], row["vectors"], row["key"], row["candidates"]) for row in result.rows] == [
        ("tiny", "dense", "Flat", None),
        ("tiny", "tokens", "Pool4,SQfp16", None),
        ("tiny", "tokens", "Pool2,IVF8,PQ8x4", 12),
        ("tiny", "tokens", "Pool2,IVF8,PQ8x4", 400),
        ("tiny", "tokens", "Pool2,SQ4,Refine(SQ8)", None),
    ]
    assert {frozenset(row) for row in result.rows} == {frozenset(result.rows[0])}  # the same columns
    for row in result.rows:
        assert (row["n_docs"], row["n_queries"]) == (DOCUMENTS, QUERIES)
        assert row["bytes_per_document"] > row["code_bytes_per_document"] > 0
        assert row["queries_per_second"] > 0
    assert result.rows[1]["vectors_per_document"] > 2


def test_the_reference_is_plain_maxsim_of_all_token_vectors(tmp_path):
    write_collection(tmp_path / "tiny")
    write_tokens(tmp_path / "tiny")
    ragged = {
        name: as_ragged(
            np.load(tmp_path / f"tiny/{name}.tokens.npy"), np.load(tmp_path / f"tiny/{name}.lengths.npy")
        )
        for name in ("docs", "queries")
    }
    scores, positions = exact_search(ragged["queries"], ragged["docs"], 10, "ip")
    docs = np.split(ragged["docs"].rows.astype(np.float64), ragged["docs"].offsets[1:-1])
    for number, query in enumerate(
        np.split(ragged["queries"].rows.astype(np.float64), ragged["queries"].offsets[1:-1])
    ):
        want = np.array([(query @ doc.T).max(axis=1).sum() for doc in docs])
        best = np.argsort(-want, kind="stable")[:10]
        np.testing.assert_array_equal(positions[number], best)
        np.testing.assert_allclose(scores[number], want[best], rtol=1e-5)


@pytest.mark.parametrize("measure", MEASURES)
def test_losses_add_up_and_fall_where_they_belong(result, measure):
    late = result.rows[1:]
    for row in late:
        parts = [row[f"{cause}_loss_{measure}"] for cause in ("pooling", "coarse", "quantization", "rerank")]
        assert sum(parts) == pytest.approx(row[f"loss_{measure}"], abs=1e-12)
    pool4, few, everything, rerank = late
    assert pool4[f"coarse_loss_{measure}"] == everything[f"coarse_loss_{measure}"] == 0.0
    assert (
        few[f"pooling_loss_{measure}"]
        == everything[f"pooling_loss_{measure}"]
        == rerank[f"pooling_loss_{measure}"]
    )
    assert few[f"quantization_loss_{measure}"] == everything[f"quantization_loss_{measure}"]
    assert abs(pool4["quantization_loss_exact_recall@10"]) <= 0.01  # half precision
    assert few["coarse_loss_exact_recall@10"] > 0
    assert few["quantization_loss_exact_recall@10"] > rerank["quantization_loss_exact_recall@10"]


def test_resumed_without_the_exact_search(tmp_path, monkeypatch):
    config = read_config(with_tokens(tmp_path, '["Flat", "Pool2,SQ8"]'))
    assert compare_indexes(config, tmp_path / "out").measured == 2
    import cluscomp.eval.compare.rows as module

    monkeypatch.setattr(module, "yardstick", None)  # a call would fail
    again = compare_indexes(config, tmp_path / "out")
    assert (again.measured, again.resumed) == (0, 2)


def test_the_command_makes_the_same_figures(result, monkeypatch, tmp_path):
    from typer.testing import CliRunner

    from cluscomp.cli.main import app

    row = result.rows[2]
    build, evaluation = map(arguments, row["command"].splitlines())
    monkeypatch.chdir(tmp_path)
    assert evaluation[evaluation.index("--candidates") + 1] == "12"
    for command in (build, [*evaluation, "--json"]):
        answer = CliRunner().invoke(app, command)
        assert answer.exit_code == 0, answer.output
    metrics = json.loads(answer.stdout)["metrics"]
    assert {name: row[name] for name in metrics} == pytest.approx(metrics, abs=1e-12)


def test_datasets_without_what_a_key_needs(tmp_path):
    table = write_collection(tmp_path / "plain")
    path = with_tokens(tmp_path)
    second = "".join(f'{name} = "{value}"\n' for name, value in table.items())
    path.write_text(path.read_text() + f"[[datasets]]\n{second}")
    result = compare_indexes(read_config(path), tmp_path / "out")
    assert [row["dataset"] for row in result.rows if row["vectors"] == "tokens"] == ["tiny"] * 4
    (reason,) = result.skipped.values()
    assert reason.startswith("plain has no token vectors here: no rows of Pool4,SQfp16, ")
    with pytest.raises(
        UsageError, match="'Pool2,SQ8' is for documents of several vectors, and no dataset has them"
    ):
        compare_indexes(
            read_config(write_config(tmp_path, table, '["Flat", "Pool2,SQ8"]')), tmp_path / "other"
        )


def test_a_key_for_one_dataset_alone(tmp_path):
    first, second = write_collection(tmp_path / "one"), write_collection(tmp_path / "two", seed=5)
    path = write_config(
        tmp_path, first, '["Flat", { key = "SQ8", datasets = ["two"] }]', 'notes = ["SQ8: two only"]'
    )
    path.write_text(
        path.read_text() + "[[datasets]]\n" + "".join(f'{k} = "{v}"\n' for k, v in second.items())
    )
    result = compare_indexes(read_config(path), tmp_path / "out")
    assert [(row["dataset"], row["key"]) for row in result.rows] == [
        ("one", "Flat"),
        ("two", "Flat"),
        ("two", "SQ8"),
    ]


def test_markdown_names_the_exact_search_of_both_kinds(result):
    text = render_markdown(result.rows, title="Late")
    late = result.rows[1]
    exact = late["ndcg@10"] + late["loss_ndcg@10"]
    assert f"all token vectors ({late['vectors_per_document']:.1f} a document): nDCG@10 {exact:.4f}" in text
    assert "| `Pool2,IVF8,PQ8x4` | candidates 12 |" in text


def test_markdown_leaves_out_times_of_rows_that_were_disturbed(result):
    quiet = [{**row, "load": 1.0, "cores": 2, "queries_per_second": 1234.0} for row in result.rows]
    text = render_markdown(quiet, title="T")
    assert text.count("1 234") == len(quiet)
    assert "left out" not in text
    text = render_markdown([{**quiet[0], "load": 2.9}, *quiet[1:]], title="T")
    assert text.count("1 234") == len(quiet) - 1
    assert f"Times of 1 of {len(quiet)} rows are left out" in text
    assert "queries / s" not in render_markdown([{**row, "load": 2.9} for row in quiet], title="T")


def test_texts_become_token_vectors_once(tmp_path, monkeypatch):
    import cluscomp.encoders
    from cluscomp.encoders.base import EncoderInfo

    class Letters:
        """A vector for each letter."""

        info = EncoderInfo(
            name="letters", kind="tokens", dim=3, normalize=True, query_prompt="", document_prompt="",
            max_seq_length=None, fingerprint="e" * 32,
        )  # fmt: skip
        calls = 0

        def encode_documents(self, texts, progress=None):
            type(self).calls += 1
            rows = [np.eye(3, dtype=np.float32)["abc".index(letter)] for text in texts for letter in text]
            return np.array(rows), np.array([len(text) for text in texts])

        encode_queries = encode_documents

    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cluscomp.encoders, "load_encoder", lambda name, kind: Letters())
    (tmp_path / "texts" / "qrels").mkdir(parents=True)
    texts = ["aab", "bb", "ccc", "abc"] + ["b"] * 10
    (tmp_path / "texts" / "corpus.jsonl").write_text(
        "".join(
            json.dumps({"_id": f"d{i}", "title": "", "text": text}) + "\n" for i, text in enumerate(texts)
        )
    )
    (tmp_path / "texts" / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "ca"}) + "\n")
    (tmp_path / "texts" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td3\t1\n")
    (tmp_path / "b.toml").write_text(
        'keys = ["Pool8,SQfp16"]\n[[datasets]]\npath = "texts"\ntokens = { encoder = "letters" }\n'
    )
    for _ in range(2):
        result = compare_indexes(read_config(tmp_path / "b.toml"), tmp_path / "out", if_exists="replace")
        assert Letters.calls == 2  # documents and queries, the first time
    assert result.rows[0]["ndcg@10"] == 1.0  # "abc" alone has both letters
    assert "--encoder letters --encoder-kind tokens" in result.rows[0]["command"]
    (damaged,) = (tmp_path / "cache").rglob("document-*.npz")
    damaged.write_bytes(damaged.read_bytes()[:-40])
    compare_indexes(read_config(tmp_path / "b.toml"), tmp_path / "out", if_exists="replace")
    assert Letters.calls == 3


def test_collections_of_two_dims_are_refused():
    with pytest.raises(Exception, match="documents have dim 2, queries 3"):
        make_collection(
            "x",
            as_ragged(np.ones((2, 2)), [2]),
            ["a"],
            as_ragged(np.ones((1, 3)), [1]),
            ["q"],
            None,
            metric="ip",
        )
