"""train repconc --frozen: from vectors on disk to an index; wrong flags and input leave nothing behind."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from cluscomp.quantization import LearnedCodec


@pytest.fixture
def files(tmp_path: Path, rng) -> Path:
    centres = rng.standard_normal((30, 16))
    x = (centres[rng.integers(30, size=600)] + 0.5 * rng.standard_normal((600, 16))).astype(np.float32)
    answers = rng.permutation(600)[:100]
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "q.npy", x[answers] + np.float32(0.1))
    (tmp_path / "ids.txt").write_text("".join(f"d{i}\n" for i in range(600)))
    (tmp_path / "qids.txt").write_text("".join(f"q{i}\n" for i in range(100)))
    lines = [f"q{i}\td{answer}\t1\n" for i, answer in enumerate(answers)]
    (tmp_path / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    return tmp_path


def flags(files: Path, *names: str) -> list[object]:
    paths = {
        "embeddings": "x.npy", "ids": "ids.txt", "query-embeddings": "q.npy", "query-ids": "qids.txt",
        "qrels": "train.tsv",
    }  # fmt: skip
    return [part for name in names for part in (f"--{name}", files / paths[name])]


def test_from_vectors_to_an_index(invoke, files: Path) -> None:
    given = flags(files, "embeddings", "ids", "query-embeddings", "query-ids", "qrels")
    done = invoke(
        "train", "repconc", "--frozen", *given, "--m", 4, "--nbits", 4, "--output", files / "codec", "--json"
    )
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["n_documents"], report["n_queries"]) == (600, 100)
    assert report["key"] == f"RepCONC({files / 'codec'})"
    codec = LearnedCodec.load(files / "codec")
    assert (codec.kind, codec.code_size, codec.has_adapter) == ("frozen", 2, True)
    base = ["build-index", "--embeddings", files / "x.npy", "--codec", files / "codec", "--output"]
    for key, name in (
        ([], "a"),
        (["--index-key", "IVF4,RFlat"], "b"),
        (["--index-key", "IVF4,RepCONC"], "c"),
    ):
        built = invoke(*base, files / name, *key, "-q")
        assert built.exit_code == 0, built.stderr
    shown = invoke("inspect", files / "b", "--json")
    assert json.loads(shown.stdout)["key"] == f"IVF4,RepCONC({files / 'codec'}),RFlat"


def test_without_queries_documents_stand_for_them(invoke, files: Path) -> None:
    command = ["train", "repconc", "--frozen", *flags(files, "embeddings"), "--m", 2, "--nbits", 4]
    done = invoke(*command, "--output", files / "codec")
    assert done.exit_code == 0, done.stderr
    assert "documents in place of queries" in done.stdout
    assert "next: build-index --embeddings" in done.stdout
    again = invoke(*command, "--output", files / "codec")
    assert again.exit_code == 2
    assert "--if-exists replace" in again.stderr
    assert invoke(*command, "--output", files / "codec", "--if-exists", "replace", "-q").exit_code == 0


def test_documents_of_several_vectors(invoke, files: Path, rng) -> None:
    """600 rows are 100 documents of 6 tokens; 100 rows are 50 queries of 2."""
    np.save(files / "lengths.npy", np.full(100, 6))
    np.save(files / "query_lengths.npy", np.full(50, 2))
    (files / "ids.txt").write_text("".join(f"d{i}\n" for i in range(100)))
    (files / "qids.txt").write_text("".join(f"q{i}\n" for i in range(50)))
    (files / "train.tsv").write_text("".join(f"q{i}\td{i}\t1\n" for i in range(50)))
    given = flags(files, "embeddings", "ids", "query-embeddings", "query-ids", "qrels")
    late = [
        "--lengths",
        files / "lengths.npy",
        "--query-lengths",
        files / "query_lengths.npy",
        "--pool",
        "Pool3",
    ]
    command = ["train", "repconc", "--frozen", *given, *late, "--m", 4, "--nbits", 4]
    done = invoke(*command, "--output", files / "codec", "-q")
    assert done.exit_code == 0, done.stderr
    assert "2 code bytes a vector, 100 documents, 50 queries, taught by 50 positives" in done.stdout
    following = shlex.split(done.stdout.split("next: ")[1])
    assert following[following.index("--index-key") + 1] == f"Pool3,RepCONC({files / 'codec'})"
    assert invoke(*following, "-q").exit_code == 0
    by_folder = ["build-index", *flags(files, "embeddings", "ids"), *late[:2], "--codec", files / "codec"]
    assert invoke(*by_folder, "--index-key", "Pool3", "--output", files / "b", "-q").exit_code == 0
    asked = ["--query-embeddings", files / "q.npy", *late[2:4]]
    shown = invoke("search", files / "b", *asked, "-k", 3, "--json")
    assert shown.exit_code == 0, shown.stderr


@pytest.mark.parametrize(
    ("names", "more", "code", "fault"),
    [
        ((), (), 2, "--frozen needs --embeddings"),
        (("embeddings", "qrels"), (), 2, "--query-embeddings is needed"),
        (("embeddings", "query-embeddings", "query-ids", "qrels"), (), 2, "--ids is needed"),
        (("embeddings", "query-ids"), (), 2, "belongs to --query-embeddings"),
        (("embeddings",), ("--pool", "Pool4"), 2, "--pool belongs to --lengths"),
        (("embeddings", "query-embeddings"), ("--lengths", "x.npy"), 2, "come together"),
        (("embeddings",), ("--metric", "l2"), 2, "'ip' and 'cosine'"),
        (("embeddings",), ("--m", "5"), 2, "does not split into m=5"),
    ],
)
def test_wrong_flags_leave_nothing(invoke, files: Path, names, more, code, fault) -> None:
    done = invoke(
        "train", "repconc", "--frozen", *flags(files, *names), "--m", 4, "--output", files / "codec", *more
    )
    assert done.exit_code == code
    assert fault in done.stderr
    assert not (files / "codec").exists()


def test_ids_that_nobody_judged(invoke, files: Path) -> None:
    (files / "train.tsv").write_text("a\tb\t1\n")
    given = flags(files, "embeddings", "ids", "query-embeddings", "query-ids", "qrels")
    done = invoke("train", "repconc", "--frozen", *given, "--m", 4, "--output", files / "codec")
    assert done.exit_code == 4
    assert "check --ids, --query-ids and --qrels" in done.stderr
