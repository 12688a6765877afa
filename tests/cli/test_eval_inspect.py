"""eval and inspect: figures that agree with the functions behind them and with the file system."""

from __future__ import annotations

import json

import numpy as np
import pytest
from stored_files import file_of


class TestEval:
    """Scores of an index on judged queries."""

    def test_figures(self, invoke, text_index, beir):
        result = invoke("eval", text_index, "--dataset", beir, "--json")
        assert result.exit_code == 0, result.output
        facts = json.loads(result.stdout)
        assert facts["metrics"] == {"ndcg@10": 1.0, "recall@100": 1.0, "mrr@10": 1.0}
        assert (facts["n_queries"], facts["n_docs"]) == (2, 4)  # q3 has no judgement
        assert facts["code_bytes_per_document"] == 64
        assert facts["folder_bytes"] == sum(f.stat().st_size for f in text_index.iterdir())

    def test_table(self, invoke, text_index, beir):
        shown = invoke("eval", text_index, "--dataset", beir, "--split", "test").stdout
        for word in ("nDCG@10", "Recall@100", "MRR@10", "bytes / document", "latency p50", "queries / s"):
            assert word in shown

    def test_run_file_gives_the_same_score(self, invoke, text_index, beir, tmp_path):
        from cluscomp.eval import evaluate, load_beir, read_run

        facts = json.loads(
            invoke("eval", text_index, "--dataset", beir, "--output", tmp_path / "r.trec", "--json").stdout
        )
        _, _, qrels = load_beir(beir)
        assert evaluate(read_run(tmp_path / "r.trec"), qrels) == facts["metrics"]

    def test_query_vectors(self, invoke, hash_encoder, text_index, beir, tmp_path):
        np.save(tmp_path / "q.npy", hash_encoder().encode_queries(["cold deep water", "warm stove cat"]))
        (tmp_path / "q.txt").write_text("q2\nq1\n")
        result = invoke("eval", text_index, "--dataset", beir, "--query-embeddings", tmp_path / "q.npy",
                        "--query-ids", tmp_path / "q.txt", "--json")  # fmt: skip
        assert json.loads(result.stdout)["metrics"]["mrr@10"] == 1.0

    def test_unanswered_queries_count_zero_and_are_named(
        self, invoke, hash_encoder, text_index, beir, tmp_path
    ):
        np.save(tmp_path / "q.npy", hash_encoder().encode_queries(["cold deep water"]))
        (tmp_path / "q.txt").write_text("q2\n")
        result = invoke("eval", text_index, "--dataset", beir, "--query-embeddings", tmp_path / "q.npy",
                        "--query-ids", tmp_path / "q.txt", "--json")  # fmt: skip
        assert json.loads(result.stdout)["metrics"]["mrr@10"] == 0.5
        assert "1 of 2" in result.stderr and "'q1'" in result.stderr

    def test_no_relevant_document_is_in_the_index(self, invoke, hash_encoder, beir, tmp_path):
        """An index of vectors that was built without --ids numbers its rows."""
        np.save(tmp_path / "x.npy", hash_encoder().encode_queries(["a", "b", "c"]))
        vectors, folder = tmp_path / "x.npy", tmp_path / "x"
        invoke("build-index", "--embeddings", vectors, "--index-key", "Flat", "--output", folder)
        np.save(tmp_path / "q.npy", hash_encoder().encode_queries(["cold deep water", "warm stove cat"]))
        (tmp_path / "q.txt").write_text("q2\nq1\n")
        options = (
            "--dataset",
            beir,
            "--query-embeddings",
            tmp_path / "q.npy",
            "--query-ids",
            tmp_path / "q.txt",
        )
        result = invoke("eval", folder, *options)
        assert result.exit_code == 4 and result.stdout == ""
        assert "none of the 2 relevant documents is in the index" in result.stderr
        assert "an id of the index is '0'" in result.stderr
        (beir / "qrels" / "test.tsv").write_text("q1\tcat\t1\nq2\t2\t1\n")  # '2' is there by number
        result = invoke("eval", folder, *options)
        assert result.exit_code == 0 and "1 of 2 relevant documents are not in the index" in result.stderr

    def test_queries_of_another_collection(self, invoke, hash_encoder, text_index, beir, tmp_path):
        np.save(tmp_path / "q.npy", hash_encoder().encode_queries(["x"]))
        result = invoke("eval", text_index, "--dataset", beir, "--query-embeddings", tmp_path / "q.npy")
        assert result.exit_code == 4
        assert "none of the 2 judged queries" in result.stderr

    def test_baseline(self, invoke, text_index, beir, tmp_path):
        run = tmp_path / "r.trec"
        invoke("eval", text_index, "--dataset", beir, "--output", run)
        arguments = ("eval", text_index, "--dataset", beir, "--baseline", run)
        first = json.loads(invoke(*arguments, "--json").stdout)["comparisons"][0]
        assert (first["metric"], first["difference"], first["p_value"]) == ("ndcg@10", 0, 1)
        shown = invoke(*arguments, "--margin", "0.02").stdout
        assert "loses < 0.02 (95%)" in shown and "0 / 2 / 0" in shown
        assert invoke("eval", text_index, "--dataset", beir, "--baseline", tmp_path / "no").exit_code == 4

    def test_ms_marco(self, invoke, hash_encoder, tmp_path):
        folder = tmp_path / "msmarco"
        folder.mkdir()
        (folder / "collection.tsv").write_text("0\tcold deep water\n1\twarm stove\n")
        (folder / "queries.dev.small.tsv").write_text("7\tdeep water\n8\tnot judged\n")
        (folder / "qrels.dev.small.tsv").write_text("7\t0\t0\t1\n")
        index = tmp_path / "i"
        built = invoke(
            "build-index", "--corpus", folder, "--encoder", "hash", "--index-key", "Flat", "-o", index
        )
        assert built.exit_code == 0, built.output
        result = invoke("eval", index, "--dataset", folder, "--split", "dev.small", "-k", "2", "--json")
        facts = json.loads(result.stdout)
        assert (facts["n_queries"], facts["metrics"]["mrr@2"]) == (1, 1.0)
        wrong = invoke("eval", index, "--dataset", folder)
        assert wrong.exit_code == 4 and "it has: dev.small" in wrong.stderr

    def test_small_k(self, invoke, text_index, beir):
        facts = json.loads(invoke("eval", text_index, "--dataset", beir, "-k", "3", "--json").stdout)
        assert facts["metrics"].keys() == {"ndcg@3", "recall@3", "mrr@3"}

    @pytest.mark.parametrize(
        ("args", "code", "fragment"),
        [
            (["--split", "dev"], 4, "test"),
            (["--query-ids", "x.txt"], 2, "--query-embeddings"),
        ],
    )
    def test_wrong_arguments(self, invoke, text_index, beir, args, code, fragment):
        result = invoke("eval", text_index, "--dataset", beir, *args)
        assert result.exit_code == code
        assert fragment in result.stderr

    def test_dataset_is_required(self, invoke, text_index):
        assert invoke("eval", text_index).exit_code == 2


class TestInspect:
    """What an index says of itself."""

    def test_bytes_add_up_to_the_folder(self, invoke, vectors, tmp_path):
        invoke("build-index", "--embeddings", vectors, "--ids", tmp_path / "x.ids.txt", "--index-key",
               "OPQ4,IVF8,PQ4x4,RFlat", "--output", tmp_path / "i")  # fmt: skip
        facts = json.loads(invoke("inspect", tmp_path / "i", "--json").stdout)
        total = sum(f.stat().st_size for f in (tmp_path / "i").rglob("*"))
        assert facts["folder_bytes"] == total == sum(facts["bytes"].values())
        assert {"codes", "refine", "positions", "ids", "centroids", "codebooks", "rotation"} <= facts[
            "bytes"
        ].keys()
        assert facts["lists"]["nlist"] == 8
        assert facts["build"]["planned_peak"] > 0 < facts["build"]["measured_peak"]

    def test_strangers_are_named(self, invoke, index):
        (index / "notes.txt").write_text("mine")
        assert json.loads(invoke("inspect", index, "--json").stdout)["bytes"]["notes.txt"] == 4

    def test_text(self, invoke, text_index):
        shown = invoke("inspect", text_index).stdout
        for word in ("Flat", "hash", "dim 16", "texts", "total", "bytes / document", "seed"):
            assert word in shown

    def test_verify_finds_an_altered_byte(self, invoke, index):
        assert invoke("inspect", index, "--verify").exit_code == 0
        file = file_of(index, "segment0.codes")
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        assert invoke("inspect", index).exit_code == 0
        result = invoke("inspect", index, "--verify")
        assert result.exit_code == 5
        assert "checksum" in result.stderr
