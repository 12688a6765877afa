"""Collections of the hub, read by the real `datasets` and compared with BEIR's own loader."""

from __future__ import annotations

import json

import pytest

from cluscomp.errors import InputError, MissingInputError
from cluscomp.eval import load_beir
from cluscomp.eval.hub import dataset_folder, download_beir

CORPUS = [{"_id": str(i), "title": f"t{i}" if i else "", "text": f"text {i} ü"} for i in range(6)]
QUERIES = [{"_id": f"q{i}", "text": f"query {i}"} for i in range(3)]
QRELS = {"train": [("q0", "1", 1)], "test": [("q1", "2", 2), ("q1", "3", 0), ("q2", "0", 1)]}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Two repositories in the hub's layout, in folders that `datasets` takes for repositories."""
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    texts, judgements = tmp_path / "Toy" / "set", tmp_path / "Toy" / "set-qrels"
    texts.mkdir(parents=True)
    judgements.mkdir()
    for name, rows in (("corpus", CORPUS), ("queries", QUERIES)):
        (texts / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    configs = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: {name}\n    path: {name}.jsonl\n"
        for name in ("corpus", "queries")
    )
    (texts / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    for split, rows in QRELS.items():
        lines = "".join(f"{query}\t{document}\t{level}\n" for query, document, level in rows)
        (judgements / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + lines)
    return "Toy/set"


def test_a_collection_of_the_hub_becomes_a_beir_folder(hub, tmp_path):
    folder = download_beir(hub, tmp_path / "copy")
    corpus, queries, qrels = load_beir(folder)
    assert corpus == {row["_id"]: {"title": row["title"], "text": row["text"]} for row in CORPUS}
    assert queries == {"q1": "query 1", "q2": "query 2"}
    assert qrels == {"q1": {"2": 2, "3": 0}, "q2": {"0": 1}}
    assert load_beir(folder, "train")[2] == {"q0": {"1": 1}}


@pytest.mark.parametrize("levels", [(1.0, 2.0), (0.5, 1.9)])
def test_grades_follow_the_rule_of_files(hub, tmp_path, levels):
    """Fractions are refused as in a file, and not cut to 0 and 1."""
    lines = "".join(f"q1\t{document}\t{level}\n" for document, level in enumerate(levels))
    for split in QRELS:
        (tmp_path / "Toy" / "set-qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + lines)
    if levels == (1.0, 2.0):
        assert load_beir(download_beir(hub, tmp_path / "copy"))[2] == {"q1": {"0": 1, "1": 2}}
        return
    with pytest.raises(
        InputError, match=r"document .* is judged 0\.5 for query 'q1'; levels are whole numbers"
    ):
        download_beir(hub, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_it_equals_beirs_own_loader(hub, tmp_path):
    loader = pytest.importorskip("beir.datasets.data_loader")
    folder = download_beir(hub, tmp_path / "copy")
    corpus, queries, qrels = loader.GenericDataLoader(str(folder)).load(split="test")
    ours = load_beir(folder)
    assert (corpus, queries) == ours[:2]
    assert {name: dict(levels) for name, levels in qrels.items()} == ours[2]


def test_beirs_loader_of_the_hub_gives_the_same(hub, tmp_path):
    loader = pytest.importorskip("beir.datasets.data_loader_hf")
    corpus, queries, qrels = loader.HFDataLoader(hf_repo=hub).load(split="test")
    ours = load_beir(download_beir(hub, tmp_path / "copy"))
    assert {row["id"]: {"title": row["title"], "text": row["text"]} for row in corpus} == ours[0]
    assert {row["id"]: row["text"] for row in queries} == ours[1]
    assert {name: dict(levels) for name, levels in qrels.items()} == ours[2]


def test_folders_come_first_and_downloads_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / "set").mkdir(parents=True)
    assert dataset_folder("own/set").resolve() == tmp_path / "own" / "set"
    assert dataset_folder("own/other").name == "other"  # its parent is here: a misspelt path, no hub id
    kept = tmp_path / "cache" / "datasets" / "BeIR--toy"
    pytest.importorskip("datasets")
    kept.mkdir(parents=True)
    assert dataset_folder("BeIR/toy") == kept


def test_what_the_hub_does_not_give_leaves_nothing(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingInputError, match="neither a folder nor a collection"):
        load_beir("BeIR/no-such-collection")
    assert not any((tmp_path / "cache" / "datasets").iterdir())


def test_without_the_package_the_message_names_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingInputError, match=r"cluscomp\[eval\]"):
        dataset_folder("BeIR/toy")
