"""build-index: what it makes, how it is configured, and what it prints where."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys

import numpy as np
import pytest


def built_key(folder):
    return json.loads((folder / "manifest.json").read_text())["key"]


def test_vectors_become_an_index(index, vectors):
    from cluscomp.indexes import open_index

    rows = np.load(vectors)
    scores, ids = open_index(index, verify=True).search(rows[[5]], 3)
    exact = rows @ rows[5]
    best = np.argsort(-exact)[:3]
    assert list(ids[0]) == [f"row{i}" for i in best]
    np.testing.assert_allclose(scores[0], exact[best], rtol=1e-5)


@pytest.mark.parametrize(
    "key", ["SQ8", "PQ4x4", "IVF4,Flat", "OPQ4,IVF4,PQ4x4", "PCA8,SQfp16", "IVF4,SQ8,RFlat", "BIVF4,SQ8"]
)
def test_keys_with_training(invoke, vectors, tmp_path, key):
    result = invoke("build-index", "--embeddings", vectors, "--index-key", key, "--output", tmp_path / "i")
    assert result.exit_code == 0, result.output
    assert built_key(tmp_path / "i") == key


def test_results_to_stdout_and_progress_to_stderr(program, vectors, tmp_path):
    done = program(
        "build-index", "--embeddings", vectors, "--index-key", "SQ8", "--output", tmp_path / "i", "--json"
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["n"] == 300
    assert report["code_bytes_per_document"] == 16
    assert report["index_bytes"] == sum(f.stat().st_size for f in (tmp_path / "i").iterdir())
    for stage in ("read", "sample", "train", "add", "write"):
        assert stage in done.stderr
    assert "\x1b" not in done.stderr + done.stdout  # no bars and no colour when stderr is no terminal


def test_quiet_leaves_stderr_empty(program, vectors, tmp_path):
    done = program(
        "build-index", "--embeddings", vectors, "--index-key", "SQ8", "--output", tmp_path / "i", "-q"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_alias_is_the_same_command(vectors, tmp_path):
    code = "import sys; from cluscomp.cli.main import run_build_index; run_build_index()"
    args = ["--embeddings", vectors, "--index-key", "Flat", "--output", tmp_path / "i", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["key"] == "Flat"


def test_key_is_short_for_index_key(invoke, vectors, tmp_path):
    result = invoke("build-index", "--embeddings", vectors, "--key", "SQ8", "--train-rows", 40, "--metric", "euclidean",
                    "--max-memory", "8G", "--output", tmp_path / "i")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert built_key(tmp_path / "i") == "SQ8"


def test_underscores_are_dashes(invoke, vectors, tmp_path):
    result = invoke("build_index", "--embeddings", vectors, "--index_key=SQ8", "--if_exists", "fail",
                    "--output", tmp_path / "i_j")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert built_key(tmp_path / "i_j") == "SQ8"  # names of files keep their underscores


class TestConfiguration:
    """A flag beats the environment, which beats the file, which beats the default."""

    @pytest.fixture
    def key_of(self, invoke, vectors, tmp_path, monkeypatch):
        def build(file=None, env=None, flag=None):
            args = [
                "build-index",
                "--embeddings",
                vectors,
                "--output",
                tmp_path / "i",
                "--if-exists",
                "replace",
            ]
            if file is not None:
                (tmp_path / "c.toml").write_text(file)
                args += ["--config", tmp_path / "c.toml"]
            if env is not None:
                monkeypatch.setenv("CLUSCOMP_INDEX_KEY", env)
            if flag is not None:
                args += ["--index-key", flag]
            result = invoke(*args)
            assert result.exit_code == 0, result.output
            return built_key(tmp_path / "i")

        return build

    def test_file(self, key_of):
        assert key_of(file='index-key = "SQ8"') == "SQ8"

    def test_file_with_underscores_and_own_table(self, key_of):
        assert key_of(file='index_key = "Flat"\n[build-index]\nindex_key = "SQ8"\n[search]\nk = 3') == "SQ8"

    def test_environment_beats_file(self, key_of):
        assert key_of(file='index-key = "Flat"', env="SQ8") == "SQ8"

    def test_flag_beats_environment(self, key_of):
        assert key_of(file='index-key = "Flat"', env="SQ8", flag="SQfp16") == "SQfp16"

    def test_key_of_another_command_is_no_fault(self, key_of):
        assert key_of(file='index-key = "SQ8"\nnprobe = 3') == "SQ8"

    def test_unknown_key_names_the_nearest(self, invoke, vectors, tmp_path):
        (tmp_path / "c.toml").write_text('index-kay = "SQ8"')
        result = invoke("build-index", "--embeddings", vectors, "--config", tmp_path / "c.toml")
        assert result.exit_code == 2
        assert "index-kay" in result.stderr and "index-key" in result.stderr

    @pytest.mark.parametrize("content", ["index-key = ", None])
    def test_unreadable_file(self, invoke, vectors, tmp_path, content):
        if content is not None:
            (tmp_path / "c.toml").write_text(content)
        result = invoke("build-index", "--embeddings", vectors, "--config", tmp_path / "c.toml")
        assert result.exit_code == 2
        assert "c.toml" in result.stderr.replace("\n", "")

    def test_resolved_settings_are_in_the_index(self, key_of, tmp_path):
        key_of(file='index-key = "SQ8"\nseed = 5\nmax-memory = "2G"')
        config = json.loads((tmp_path / "i" / "build.json").read_text())["config"]
        assert config["index-key"] == "SQ8"
        assert config["seed"] == 5
        assert config["max-memory"] == "2G"
        assert config["metric"] == "ip"


class TestDryRun:
    """--dry-run prints the plan, writes nothing, and says by its exit code whether it can be done."""

    def test_feasible(self, program, vectors, tmp_path):
        before = set(tmp_path.iterdir())
        done = program("build-index", "--embeddings", vectors, "--index-key", "IVF4,PQ4x4", "--output", tmp_path / "i",
                       "--dry-run", "--json")  # fmt: skip
        assert done.returncode == 0, done.stderr
        plan = json.loads(done.stdout)
        assert [stage["name"] for stage in plan["stages"]] == ["read", "sample", "train", "add", "write"]
        assert plan["code_bytes_per_document"] == 2
        assert plan["peak_memory"] >= plan["baseline_bytes"] > 0
        assert set(tmp_path.iterdir()) == before

    def test_table(self, program, vectors):
        done = program("build-index", "--embeddings", vectors, "--index-key", "SQ8", "--dry-run")
        assert done.returncode == 0, done.stderr
        for word in ("sample", "train", "peak memory", "disk", "time", "feasible: yes"):
            assert word in done.stdout

    def test_infeasible(self, program, vectors, tmp_path):
        args = [
            "build-index",
            "--embeddings",
            vectors,
            "--index-key",
            "SQ8",
            "--output",
            tmp_path / "i",
            "--max-memory",
            "9M",
        ]
        plan = program(*args, "--dry-run")
        assert plan.returncode == 3
        assert "feasible: no" in plan.stdout and "9M are allowed" in plan.stdout
        build = program(*args)
        assert build.returncode == 3
        assert build.stdout == ""
        assert build.stderr.startswith("error: ") and "9M" in build.stderr and "--max-memory" in build.stderr
        assert not (tmp_path / "i").exists() and not list(tmp_path.glob(".i*"))

    def test_size_of_the_folder_is_foreseen(self, invoke, vectors, tmp_path):
        args = [
            "build-index",
            "--embeddings",
            vectors,
            "--ids",
            tmp_path / "x.ids.txt",
            "--index-key",
            "IVF4,PQ4x4,RFlat",
        ]
        plan = json.loads(invoke(*args, "--dry-run", "--json").stdout)
        report = json.loads(invoke(*args, "--output", tmp_path / "i", "--json").stdout)
        assert report["index_bytes"] == pytest.approx(
            plan["index_bytes"], abs=6000
        )  # three JSON files are estimated


class TestCorpus:
    """Texts through an encoder."""

    def test_beir_folder(self, text_index):
        manifest = json.loads((text_index / "manifest.json").read_text())
        assert manifest["encoder"]["name"] == "hash"
        texts = f"{manifest['segments'][0]['name']}.docs.sqlite"
        assert {texts, "build.json", "report.json"} == manifest["extra_files"].keys()

    def test_texts_are_stored_as_they_are(self, text_index):
        rows = (
            sqlite3.connect(next(text_index.glob("*.docs.sqlite")))
            .execute("SELECT id, title, text FROM documents")
            .fetchall()
        )
        assert ("cat", "Cats", "a cat sleeps on the warm stove all day") in rows and len(rows) == 4

    def test_without_store_texts_no_text_is_kept(self, invoke, hash_encoder, beir, tmp_path):
        invoke(
            "build-index",
            "--corpus",
            beir,
            "--encoder",
            "hash",
            "--index-key",
            "Flat",
            "--output",
            tmp_path / "i",
        )
        assert b"stove" not in b"".join(f.read_bytes() for f in (tmp_path / "i").iterdir())

    @pytest.mark.parametrize("name", ["c.jsonl", "c.tsv", "c.txt"])
    def test_single_files(self, invoke, hash_encoder, tmp_path, name):
        content = {"c.jsonl": '{"id": "a", "text": "x y"}\n', "c.tsv": "a\tx y\n", "c.txt": "x y\n"}[name]
        (tmp_path / name).write_text(content)
        result = invoke("build-index", "--corpus", tmp_path / name, "--encoder", "hash", "--index-key", "Flat",
                        "--output", tmp_path / "i")  # fmt: skip
        assert result.exit_code == 0, result.output

    @pytest.mark.parametrize(("policy", "code", "n"), [("fail", 4, None), ("skip", 0, 1), ("keep", 0, 2)])
    def test_empty_documents(self, invoke, hash_encoder, tmp_path, policy, code, n):
        (tmp_path / "c.jsonl").write_text('{"_id": "full", "text": "x"}\n{"_id": "hollow", "text": " "}\n')
        result = invoke("build-index", "--corpus", tmp_path / "c.jsonl", "--encoder", "hash", "--index-key", "Flat",
                        "--output", tmp_path / "i", "--empty-documents", policy, "--json")  # fmt: skip
        assert result.exit_code == code
        if n is None:
            assert "hollow" in result.stderr
            assert "pass --empty-documents skip or --empty-documents keep" in result.stderr
        else:
            assert json.loads(result.stdout)["n"] == n

    def test_vectors_of_a_known_encoder(self, invoke, hash_encoder, vectors, tmp_path):
        result = invoke("build-index", "--embeddings", vectors, "--encoder", "hash", "--index-key", "Flat",
                        "--output", tmp_path / "i")  # fmt: skip
        assert result.exit_code == 0, result.output
        assert json.loads((tmp_path / "i" / "manifest.json").read_text())["encoder"]["name"] == "hash"


class TestExisting:
    """What stands at the output is touched only when that was asked for, and only by a complete index."""

    def test_fail_is_the_default(self, invoke, vectors, index):
        before = (index / "manifest.json").read_bytes()
        result = invoke("build-index", "--embeddings", vectors, "--index-key", "SQ8", "--output", index)
        assert result.exit_code == 2
        assert "exists" in result.stderr
        assert (index / "manifest.json").read_bytes() == before

    def test_replace(self, invoke, vectors, index):
        result = invoke("build-index", "--embeddings", vectors, "--index-key", "SQ8", "--output", index,
                        "--if-exists", "replace")  # fmt: skip
        assert result.exit_code == 0, result.output
        assert built_key(index) == "SQ8"

    def test_failed_replace_keeps_the_old_index(self, invoke, index, tmp_path):
        rows = np.zeros((5, 16), np.float32)
        rows[3, 2] = np.nan
        np.save(tmp_path / "bad.npy", rows)
        before = {f.name: f.read_bytes() for f in index.iterdir()}
        result = invoke("build-index", "--embeddings", tmp_path / "bad.npy", "--index-key", "Flat", "--output", index,
                        "--if-exists", "replace")  # fmt: skip
        assert result.exit_code == 4
        assert {f.name: f.read_bytes() for f in index.iterdir()} == before
        assert not list(tmp_path.glob(".*"))

    def test_what_is_no_index_is_never_replaced(self, invoke, vectors, tmp_path):
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
        result = invoke("build-index", "--embeddings", vectors, "--index-key", "Flat", "--output", tmp_path / "photos",
                        "--if-exists", "replace")  # fmt: skip
        assert result.exit_code == 2
        assert (tmp_path / "photos" / "a.jpg").exists()

    def test_resume_of_a_finished_index_is_done_at_once(self, invoke, vectors, index, tmp_path):
        args = ["build-index", "--embeddings", vectors, "--ids", tmp_path / "x.ids.txt", "--output", index]
        before = (index / "manifest.json").stat().st_mtime_ns
        result = invoke(*args, "--index-key", "Flat", "--if-exists", "resume")
        assert result.exit_code == 0, result.output
        assert (index / "manifest.json").stat().st_mtime_ns == before
        other = invoke(*args, "--index-key", "SQ8", "--if-exists", "resume")
        assert other.exit_code == 2
        assert "--index-key was 'Flat' and is now 'SQ8'" in other.stderr
