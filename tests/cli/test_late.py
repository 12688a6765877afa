"""Flags of searches in indexes of several vectors a document."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cluscomp.eval import read_run
from cluscomp.indexes import open_index

DIM = 16


def unit_rows(seed: int, n: int) -> np.ndarray:
    """n unit vectors near one of 20 directions."""
    directions = np.random.default_rng(0).standard_normal((20, DIM))
    rng = np.random.default_rng(seed)
    rows = directions[rng.integers(20, size=n)] + 0.4 * rng.standard_normal((n, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def late_index(invoke, tmp_path):
    """An index of 80 documents of several vectors in lists, d0 to d79."""
    lengths = np.random.default_rng(1).integers(1, 12, size=80)
    np.save(tmp_path / "x.npy", unit_rows(2, int(lengths.sum())))
    np.save(tmp_path / "x.lengths.npy", lengths)
    (tmp_path / "x.ids.txt").write_text("".join(f"d{i}\n" for i in range(80)))
    target = tmp_path / "late.index"
    result = invoke("build-index", "--embeddings", tmp_path / "x.npy", "--lengths", tmp_path / "x.lengths.npy",
                    "--ids", tmp_path / "x.ids.txt", "--index-key", "Pool4,IVF8,SQ8", "--output", target)  # fmt: skip
    assert result.exit_code == 0, result.output
    return target


@pytest.fixture
def asked(tmp_path):
    """Flags of three queries of 5, 1 and 8 vectors, q0 to q2."""
    np.save(tmp_path / "q.npy", unit_rows(3, 14))
    np.save(tmp_path / "q.lengths.npy", np.array([5, 1, 8]))
    (tmp_path / "q.ids.txt").write_text("q0\nq1\nq2\n")
    return ("--query-embeddings", tmp_path / "q.npy", "--query-lengths", tmp_path / "q.lengths.npy",
            "--query-ids", tmp_path / "q.ids.txt")  # fmt: skip


@pytest.fixture
def salience(tmp_path):
    np.save(tmp_path / "salience.npy", np.random.default_rng(5).random(14))
    return tmp_path / "salience.npy"


@pytest.fixture
def judged(tmp_path):
    """A collection that judges q2, then q0: another order, and fewer queries, than the file has."""
    folder = tmp_path / "judged"
    (folder / "qrels").mkdir(parents=True)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td3\t1\nq0\td7\t1\n")
    return folder


def expected(late_index, tmp_path, **parameters):
    """The run that the index's own search gives."""
    q, lengths = np.load(tmp_path / "q.npy"), np.load(tmp_path / "q.lengths.npy")
    scores, ids = open_index(late_index).search(q, 10, lengths=lengths, **parameters)
    return {
        f"q{i}": dict(zip(ids[i], map(float, scores[i].tolist()), strict=True)) for i in range(len(lengths))
    }


@pytest.mark.parametrize(
    ("flags", "parameters"),
    [
        (("--candidates", "10"), {"candidates": 10}),
        (("--candidates-by", "fde", "--candidates", "10"), {"candidates_by": "fde", "candidates": 10}),
        (("--candidates-by", "lists"), {}),
        (("--softmax", "0.05", "--refine-factor", "4"), {"softmax": 0.05, "refine_factor": 4}),
    ],
)
def test_flags_are_parameters_of_the_search(invoke, late_index, asked, tmp_path, flags, parameters):
    result = invoke("search", late_index, *asked, "-k", "10", *flags, "--output", tmp_path / "r.trec")
    assert result.exit_code == 0, result.output
    run = read_run(tmp_path / "r.trec")
    wanted = expected(late_index, tmp_path, **parameters)
    assert {q: list(hits) for q, hits in run.items()} == {q: list(hits) for q, hits in wanted.items()}
    for query, hits in wanted.items():
        assert run[query] == pytest.approx(hits, rel=1e-6)


def test_pruned_queries(invoke, late_index, asked, salience, tmp_path):
    flags = ("-k", "10", "--keep", "0.5", "--salience", salience, "--output", tmp_path / "r.trec")
    assert invoke("search", late_index, *asked, *flags).exit_code == 0
    wanted = expected(late_index, tmp_path, keep=0.5, salience=np.load(salience))
    whole = expected(late_index, tmp_path)
    assert {q: list(hits) for q, hits in read_run(tmp_path / "r.trec").items()} == {
        q: list(hits) for q, hits in wanted.items()
    }
    assert wanted["q0"] != whole["q0"]


def test_eval_takes_and_tells_them(invoke, late_index, asked, salience, judged, tmp_path):
    flags = ("--candidates-by", "fde", "--softmax", "0.1", "--keep", "0.5", "--salience", salience, "--json")
    result = invoke("eval", late_index, "--dataset", judged, *asked, "-k", "10", *flags, "--output",
                    tmp_path / "r.trec")  # fmt: skip
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["candidates_by"], told["softmax"], told["keep"]) == ("fde", 0.1, 0.5)
    wanted = expected(
        late_index, tmp_path, candidates_by="fde", softmax=0.1, keep=0.5, salience=np.load(salience)
    )
    run = read_run(tmp_path / "r.trec")
    assert sorted(run) == ["q0", "q2"]
    assert all(list(hits) == list(wanted[query]) for query, hits in run.items())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--candidates", "5"), ("--candidates: for indexes of several vectors", "'Flat'")),
        (("--candidates-by", "fde", "--softmax", "0.1"), ("--candidates-by, --softmax: for", "Pool")),
        (("--query-lengths", "nowhere.npy"), ("--query-lengths: for",)),
        (("--keep", "0.5", "--salience", "nowhere.npy"), ("--keep, --salience: for",)),
    ],
)
def test_an_index_of_single_vectors_refuses_them(invoke, index, vectors, flags, words):
    result = invoke("search", index, "--query-embeddings", vectors, "-k", "1", *flags)
    assert result.exit_code == 2, result.output
    assert all(word in result.stderr for word in words)


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--keep", "0.5"), 2, "--salience, a file with a number for each vector, come together"),
        (("--salience", "SALIENCE"), 2, "come together"),
        (
            ("--keep", "1.5", "--salience", "SALIENCE"),
            2,
            "keep must be a finite number above 0 and at most 1, but is 1.5",
        ),
        (("--keep", "0.5", "--salience", "SHORT"), 4, "shape (3,), but there are 14 query vectors"),
        (("--keep", "0.5", "--salience", "TEXT"), 4, "no .npy file of salience"),
        (("--keep", "0.5", "--salience", "WORDS"), 4, "one number a query vector, but its dtype is"),
        (("--softmax", "0"), 2, "softmax must be a finite number above 0, but is 0.0"),
        (("--candidates-by", "magic"), 2, "magic"),
        (("--candidates", "0"), 2, "--candidates"),
    ],
)
def test_wrong_values(invoke, late_index, asked, salience, tmp_path, flags, code, words):
    np.save(tmp_path / "short.npy", np.ones(3))
    np.save(tmp_path / "words.npy", np.array(["a"] * 14))
    (tmp_path / "text.npy").write_text("no array")
    files = {"SALIENCE": salience, "SHORT": tmp_path / "short.npy", "TEXT": tmp_path / "text.npy",
             "WORDS": tmp_path / "words.npy"}  # fmt: skip
    result = invoke("search", late_index, *asked, "-k", "3", *(files.get(flag, flag) for flag in flags))
    assert result.exit_code == code, result.output
    assert words in result.stderr


@pytest.mark.parametrize("flags", [("--keep", "0.5", "--salience", "s.npy"), ("--query-lengths", "l.npy")])
def test_files_of_query_vectors_need_query_vectors(invoke, late_index, flags):
    result = invoke("search", late_index, "--query", "words", *flags)
    assert result.exit_code == 2
    assert "to --query-embeddings" in result.stderr


def test_documents_fitted_to_queries(invoke, late_index, tmp_path, asked) -> None:
    """--pool-sample changes what a pool learns, and is refused where none does, or by shards."""
    base = ["build-index", "--embeddings", tmp_path / "x.npy", "--lengths", tmp_path / "x.lengths.npy"]
    base += ["--pool-sample", tmp_path / "q.npy", "--output", tmp_path / "other"]
    assert invoke(*base, "--index-key", "Pool4,SQ8", "--dry-run").exit_code == 0
    done = invoke(*base, "--index-key", "Pool4,IVF8,SQ8")
    assert done.exit_code == 0, done.output
    samples = [
        open_index(path).pipeline.support.parameters()["sample"] for path in (late_index, tmp_path / "other")
    ]
    assert np.any(samples[1][:14]) and not samples[1][14:].any() and samples[0][14:].any()
    for key, more, fault in (
        ("Pool4(ward),SQ8", (), "--pool-sample is for pools that are fitted"),
        ("Pool4,SQ8", ("--shards", 2), "does not go with --shards"),
    ):
        refused = invoke(*base, "--index-key", key, "--if-exists", "replace", *more)
        assert refused.exit_code == 2
        assert fault in refused.stderr
