"""`cluscomp identifiers`: of vectors and of codes, prefix trees, wrong input."""

from __future__ import annotations

import json

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.indexes.code_identifiers import code_identifiers


@pytest.fixture
def vectors(tmp_path):
    x = np.random.default_rng(0).standard_normal((300, 8), dtype=np.float32)
    x[7] = x[5]
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "ids.txt").write_text("".join(f"d{row}\n" for row in range(300)), encoding="utf-8")
    return x


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_of_vectors(invoke, vectors, tmp_path):
    out, tree = tmp_path / "paths.jsonl", tmp_path / "tree.npz"
    options = ["--branching", "4", "--leaf-size", "5", "--prefix-tree", tree]
    result = invoke("identifiers", tmp_path / "x.npy", "--ids", tmp_path / "ids.txt", "-o", out, *options)
    assert result.exit_code == 0, result.output
    found = read(out)
    expected = cc.hierarchical_identifiers(vectors, branching=4, leaf_size=5)
    assert [line["id"] for line in found] == [f"d{row}" for row in range(300)]
    assert [tuple(line["path"]) for line in found] == expected
    assert cc.PrefixTree.load(tree).row(expected[7]) == 7
    before = out.read_bytes()
    invoke("identifiers", tmp_path / "x.npy", "--ids", tmp_path / "ids.txt", "-o", out, *options)
    assert out.read_bytes() == before
    shown = json.loads(invoke("identifiers", tmp_path / "x.npy", "-o", out, "--json").stdout)
    assert shown["documents"] == 300 and sum(shown["lengths"].values()) == 300
    assert read(out)[3]["id"] == 3
    lines = invoke("identifiers", tmp_path / "x.npy", "-o", "-", "-q").stdout.splitlines()
    assert len(lines) == 300


@pytest.mark.parametrize("key", ["PQ4", "PQ4x4", "IVF4,PQ4x4", "OPQ4,IVF4,PQ2x6,RFlat"])
def test_of_codes(invoke, vectors, tmp_path, key):
    """Lists and codes stand for what the index decodes; equal rows are told apart by the last number."""
    index = cc.index_factory(key, dim=8).train(vectors).add(vectors[:200]).add(vectors[200:])
    index.delete([0, 250])
    index.save(tmp_path / "x.index")
    out = tmp_path / "codes.jsonl"
    result = invoke("identifiers", tmp_path / "x.index", "--codes", "-o", out)
    assert result.exit_code == 0, result.output
    found = {line["id"]: line["path"] for line in read(out)}
    assert sorted(found) == [row for row in range(300) if row not in (0, 250)]
    pipeline, m = index.pipeline, index.pipeline.codec.m
    kept = np.array(sorted(found))
    paths = np.array([found[row] for row in kept])
    decoded = pipeline.codec.codebooks[np.arange(m), paths[:, -1 - m : -1]].reshape(len(kept), -1)
    if pipeline.partition is not None:
        lists = pipeline.partition.probe(pipeline.project(vectors[kept]), 1).lists[:, 0]
        np.testing.assert_array_equal(paths[:, 0], lists)
        decoded = decoded + pipeline.partition.centroids[lists]
    if pipeline.refine is None:
        np.testing.assert_array_equal(decoded, index.vectors(kept))
    assert {len(path) for path in found.values()} == {m + 1 + (pipeline.partition is not None)}
    assert found[5][:-1] == found[7][:-1] and found[7][-1] == found[5][-1] + 1


def test_codes_of_a_hybrid_index_are_those_of_its_vectors(vectors):
    from cluscomp.indexes import index_factory
    from cluscomp.terms import HybridRows

    rows = HybridRows(vectors, [{"a": 1.0}] * len(vectors))
    both = index_factory("IVF4,PQ4x4+Sparse", 8).train(rows).add(rows)
    both.delete([5])
    dense = index_factory("IVF4,PQ4x4", 8).train(vectors).add(vectors)
    dense.delete([5])
    assert code_identifiers(both) == code_identifiers(dense)


def test_an_empty_index_has_no_identifiers(vectors):
    assert code_identifiers(cc.index_factory("PQ4", dim=8).train(vectors)) == []


def test_wrong_input(invoke, vectors, tmp_path):
    flat = tmp_path / "flat.index"
    cc.index_factory("Flat", dim=8).add(vectors).save(flat)
    out = tmp_path / "o.jsonl"
    for arguments, code, message in (
        ((flat, "-o", out), 2, "add --codes"),
        ((flat, "--codes", "-o", out), 2, "'Flat' has no product codes"),
        ((flat, "--codes", "--ids", tmp_path / "ids.txt", "-o", out), 2, "--ids belong to vectors"),
        ((tmp_path / "x.npy", "-o", out, "--prefix-tree", out), 2, "name two files"),
        ((tmp_path / "x.npy", "-o", "-", "--json"), 2, "choose one of them"),
        ((tmp_path / "x.npy", "-o", out, "--branching", "1"), 2, "branching"),
        ((tmp_path / "none.npy", "-o", out), 4, "none.npy"),
    ):
        result = invoke("identifiers", *arguments)
        assert result.exit_code == code, (arguments, result.output)
        assert message in result.stderr and not out.exists()
