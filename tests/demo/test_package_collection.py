"""The collection of installed packages, on a small folder of packages that stands for an environment."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from package_trees import BOAT, DRUM, GONG, SIZES, install, small_site

from cluscomp import errors
from cluscomp.demo import build_package_collection
from cluscomp.demo.near_equal import first_of_each, words
from cluscomp.demo.package_source import installed_packages


@pytest.fixture
def site(tmp_path):
    return small_site(tmp_path / "site")


def build(site, target, **sizes):
    return build_package_collection(target, path=[str(site)], **{**SIZES, **sizes})


def read(folder):
    corpus = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text().splitlines()]
    qrels = {
        split: [line.split("\t") for line in (folder / "qrels" / f"{split}.tsv").read_text().splitlines()]
        for split in ("train", "test")
    }
    return {d["_id"]: d for d in corpus}, {q["_id"]: q["text"] for q in queries}, qrels


def test_documents_and_queries_by_hand(site, tmp_path):
    info = build(site, tmp_path / "out")
    corpus, queries, qrels = read(tmp_path / "out")
    assert corpus["boat:boat.row_boat"]["text"] == (
        'def _(oars, *, river="Thames"): Parameters oars : int How many of them _ may use; an odd number '
        "makes circles. return [river] * oars"
    )
    assert corpus["boat:boat.Anchor"]["text"] == (
        "class _(object): Made of iron, with two arms and a chain of forty rusty links. def drop(self, depth):"
    )
    assert corpus["boat:boat.moor"]["text"].startswith(
        'def _(rope, post, *, knots=("bowline", "clove hitch",'
    )
    assert {document["title"] for document in corpus.values()} == {""}
    assert queries["q:boat:boat.row_boat"] == "Move the boat over the water by muscle."
    assert "q:boat:boat.moor" not in queries
    assert qrels["test"] == [
        ["query-id", "corpus-id", "score"],
        ["q:drum:drum.beat", "drum:drum.beat", "1"],
        ["q:kite-a:kite_a.core.fold", "kite-a:kite_a.core.fold", "1"],
        ["q:kite-c:kite_c.core.mend", "kite-c:kite_c.core.mend", "1"],
        ["q:kite:kite.core.fly", "kite:kite.core.fly", "1"],
    ]
    assert (info.n_documents, info.n_train_queries, info.n_test_queries) == (len(corpus), 4, 4)
    assert info.packages["boat"] == "1.0" and len(info.packages) == 6


def test_splits_share_no_package(site, tmp_path):
    info = build(site, tmp_path / "out")
    _, queries, qrels = read(tmp_path / "out")
    packages = {split: {row[1].split(":")[0] for row in rows[1:]} for split, rows in qrels.items()}
    assert not packages["train"] & packages["test"]
    assert sorted(packages["test"]) == info.test_packages
    assert "boat" in packages["train"], "it has more than a quarter of the test queries"
    assert len(queries) == info.n_train_queries + info.n_test_queries


def test_same_versions_same_bytes_and_another_version_another_collection(site, tmp_path):
    first, again = build(site, tmp_path / "a"), build(site, tmp_path / "b")
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/train.tsv", "qrels/test.tsv", "collection.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert first.checksum == again.checksum
    stamp = (tmp_path / "a" / "corpus.jsonl").stat().st_mtime_ns
    assert build(site, tmp_path / "a") == first
    assert (tmp_path / "a" / "corpus.jsonl").stat().st_mtime_ns == stamp
    install(site, "whistle", "3.0", {"whistle.py": DRUM.replace("beat", "blow").replace("sticks", "lips")})
    assert build(site, tmp_path / "a").packages["whistle"] == "3.0"


def test_near_copies_and_shared_queries_are_left_out(site, tmp_path):
    install(site, "oars", "1.0", {"oars.py": BOAT.replace("row_boat", "row_ship")})
    install(site, "gong", "1.0", {"gong.py": GONG})
    build(site, tmp_path / "out")
    corpus, queries, _ = read(tmp_path / "out")
    assert "boat:boat.row_boat" in corpus and not any(name.startswith("oars:") for name in corpus)
    assert "gong:gong.strike" in corpus and "drum:drum.beat" in corpus
    assert "Hit the skin with two sticks." not in queries.values()


def test_too_few_packages(site, tmp_path):
    with pytest.raises(
        errors.TooFewRowsError, match=r"6 installed packages give 4 train and 4 test queries, but 50"
    ):
        build(site, tmp_path / "out", min_train_queries=50)
    assert not (tmp_path / "out").exists()
    with pytest.raises(errors.UsageError, match="n_test_queries must be .* but is 0"):
        build(site, tmp_path / "out", n_test_queries=0)


def test_foreign_folder_is_left_alone(site, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(errors.OutputExistsError, match="something else"):
        build(site, tmp_path / "out")


def test_files_of_packages(site):
    found = {package.name: package for package in installed_packages([str(site)])}
    assert sorted(found) == ["boat", "drum", "kite", "kite-a", "kite-b", "kite-c"]
    assert [file.relative_to(site).as_posix() for file in found["boat"].files] == ["boat/__init__.py"]
    assert [entry.name for entry in found["drum"].entries(site / "drum.py")] == ["drum.beat"]


def test_packages_of_this_environment():
    found = {package.name: package for package in installed_packages()}
    assert found["python"].version == ".".join(map(str, sys.version_info[:3]))
    assert "numpy" in found and "cluscomp" not in found
    assert all(file.suffix == ".py" for file in found["numpy"].files)
    assert not any("tests" in file.parts for file in found["numpy"].files)


# ---- near copies -----------------------------------------------------------------------------------


def test_words_are_parts_of_identifiers():
    assert words("getHTTPResponse(max_len=20)") == ["get", "http", "response", "max", "len", "20"]


def pairs(text):
    found = words(text)
    return set(zip(["", *found], found, strict=False))


@given(st.lists(st.text(alphabet="ab ", max_size=8), max_size=12))
def test_equal_texts_are_kept_once(texts):
    kept = first_of_each(texts, resemblance=1.0)
    assert kept == [
        i for i, text in enumerate(texts) if not any(pairs(text) == pairs(earlier) for earlier in texts[:i])
    ]


def test_resemblance_decides():
    text = "one two three four five six seven eight nine ten"
    changed = text.replace("ten", "eleven")  # 9 of 11 pairs are shared
    assert first_of_each([text, changed], resemblance=0.8) == [0]
    assert first_of_each([text, changed], resemblance=0.9) == [0, 1]
