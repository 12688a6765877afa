"""demo: the whole way on a small part of the standard library, with an encoder that needs no model."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from package_trees import SIZES, small_site

KEYS = ("Flat", "IVF4,PQ4x4")


@pytest.fixture
def small_demo(monkeypatch, hash_encoder):
    import cluscomp.demo
    from cluscomp.cli import demo

    whole = cluscomp.demo.build_stdlib_collection
    monkeypatch.setattr(
        cluscomp.demo,
        "build_stdlib_collection",
        lambda folder: whole(folder, max_documents=150, max_queries=20),
    )
    monkeypatch.setattr(demo, "KEYS", KEYS)


def test_table_and_hits(invoke, small_demo, tmp_path):
    result = invoke("demo", "--output", tmp_path / "d", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["documents"], facts["queries"]) == (150, 20)
    assert [row["key"] for row in facts["table"]] == list(KEYS)
    flat, compressed = facts["table"]
    assert flat["code_bytes_per_document"] == 64 and compressed["code_bytes_per_document"] == 2
    assert flat["recall"] >= compressed["recall"] > 0
    assert len(facts["hits"]) == 3 and all(len(found["hits"]) == 3 for found in facts["hits"])
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == [
        "Flat.index",
        "IVF4_PQ4x4.index",
        "collection",
    ]
    again = invoke("demo", "--output", tmp_path / "d")  # indexes of an earlier run are replaced
    assert again.exit_code == 0, again.output
    for word in (
        *KEYS,
        "nDCG@10",
        "Recall@100",
        "bytes / document",
        "index size",
        "queries / s",
        "build time",
    ):
        assert word in again.stdout


def test_nothing_stays_without_output(invoke, small_demo, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    assert invoke("demo", "-q").exit_code == 0
    assert list((tmp_path / "tmp").iterdir()) == []


def test_without_the_optional_packages():
    code = "import sys; sys.modules['sentence_transformers'] = None; from cluscomp.cli.main import run; run()"
    done = subprocess.run([sys.executable, "-c", code, "demo"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'cluscomp[demo]'" in done.stderr and "Traceback" not in done.stderr


@pytest.fixture
def few_packages(monkeypatch, hash_encoder, tmp_path):
    import cluscomp.demo
    from cluscomp.cli import demo

    whole, site = cluscomp.demo.build_package_collection, small_site(tmp_path / "site")
    monkeypatch.setattr(
        cluscomp.demo,
        "build_package_collection",
        lambda folder, **more: whole(folder, path=[str(site)], **SIZES, **more),
    )
    monkeypatch.setattr(demo, "KEYS", KEYS[:1])


def test_collection_of_packages(invoke, few_packages, tmp_path):
    made = invoke("demo", "--collection", "packages", "--collection-only", "-o", tmp_path / "d", "--json")
    assert made.exit_code == 0, made.output
    facts = json.loads(made.stdout)
    assert (facts["documents"], facts["train_queries"], facts["test_queries"]) == (9, 4, 4)
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["collection"]
    result = invoke("demo", "--collection", "packages", "--output", tmp_path / "d", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["documents"], facts["queries"]) == (9, 4)
    assert facts["hits"][0]["query"].startswith("solve a sparse system")


def test_collection_only_needs_a_place(invoke):
    result = invoke("demo", "--collection-only")
    assert result.exit_code == 2 and "--output" in result.output
