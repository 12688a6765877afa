"""Streamed builds of documents: the folder that train and add make, resumed after a kill, within the plan."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from cluscomp.encoders.base import EncoderInfo
from cluscomp.errors import DimensionError, InfeasibleError, InputError, NonFiniteError, UsageError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.build import build_index, plan_build
from cluscomp.indexes.build import document_shape as build_module
from cluscomp.indexes.build import plan as plan_module
from cluscomp.inputs.corpus import Document

DIM = 24
KEY = "Pool4,IVF8,PQ12"


class WordEncoder:
    """A unit vector for each word, by its letters."""

    info = EncoderInfo("words", "tokens", DIM, True, "", "", 256, "0" * 32)

    def __init__(self) -> None:
        self.texts = 0

    def encode_documents(self, texts: Any, progress: Any = None) -> tuple[np.ndarray, np.ndarray]:
        self.texts += len(texts)
        words = [text.split() for text in texts]
        rows = [self._vector(word) for part in words for word in part]
        return np.array(rows, np.float32).reshape(-1, DIM), np.array([len(part) for part in words])

    encode_queries = encode_documents

    def _vector(self, word: str) -> np.ndarray:
        x = np.random.default_rng(sum(ord(c) * 31**i for i, c in enumerate(word))).standard_normal(DIM)
        return x / np.linalg.norm(x)


@pytest.fixture
def texts() -> list[Document]:
    rng = np.random.default_rng(3)
    vocabulary = [f"w{i}" for i in range(90)]
    return [
        Document(f"d{i}", "", " ".join(rng.choice(vocabulary, size=int(rng.integers(1, 30)))))
        for i in range(140)
    ]


@pytest.fixture
def small_blocks(monkeypatch) -> None:
    monkeypatch.setattr(build_module, "BLOCK_TEXTS", 32)
    monkeypatch.setattr(build_module, "BLOCK_VECTORS", 100)


def assert_same_folders(got, want) -> None:
    mine, other = open_index(got), open_index(want)
    for a, b in zip(mine.segments, other.segments, strict=True):
        for name, array in b.arrays().items():
            np.testing.assert_array_equal(a.arrays()[name], array, err_msg=name)
    assert mine.ids.tolist() == other.ids.tolist()


def test_a_build_says_what_bytes_chose(texts, tmp_path):
    asked = "Pool(bytes=24),OPQ,IVF8,PQ"
    report = build_index(texts, index_key=asked, output=tmp_path / "a", encoder=WordEncoder())
    assert report.key == "Pool12,OPQ2,IVF8,PQ2"
    facts = open_index(tmp_path / "a").describe()
    assert (facts["key"], facts["settings"]["asked_key"]) == (report.key, asked)
    again = build_index(
        texts, index_key=asked, output=tmp_path / "a", encoder=WordEncoder(), if_exists="resume"
    )
    assert again.key == report.key and again.stages == ()


def test_texts_make_what_add_makes(texts, tmp_path, small_blocks):
    encoder = WordEncoder()
    report = build_index(texts, index_key=KEY, output=tmp_path / "a", encoder=encoder, seed=3)
    assert report.n == 140 and report.measured_peak > 0
    vectors, lengths = encoder.encode_documents([d.content for d in texts])
    index = index_factory(KEY, DIM, seed=3).train(vectors, lengths=lengths)
    index.add(vectors, lengths=lengths, ids=[d.id for d in texts]).save(tmp_path / "b")
    assert_same_folders(tmp_path / "a", tmp_path / "b")
    opened = open_index(tmp_path / "a", verify=True)
    assert opened.encoder["kind"] == "tokens"
    q, ql = encoder.encode_queries([texts[5].content])
    assert opened.search(q, 1, lengths=ql)[1][0, 0] == "d5"


@pytest.mark.parametrize("index_key", [KEY, "Pool(f=3),SQ8,RFlat", "Pool4,BIVF8,PQ12"])
def test_vectors_make_what_add_makes(index_key, documents, tmp_path, small_blocks):
    x, lengths = documents
    names = [f"d{i}" for i in range(len(lengths))]
    build_index(x, index_key=index_key, output=tmp_path / "a", lengths=lengths, ids=names)
    index = index_factory(index_key, DIM).train(x, lengths=lengths).add(x, lengths=lengths, ids=names)
    index.save(tmp_path / "b")
    assert_same_folders(tmp_path / "a", tmp_path / "b")
    assert json.loads((tmp_path / "a" / "report.json").read_text())["planned_peak"] > 0


def test_a_killed_build_goes_on(texts, tmp_path, small_blocks, monkeypatch):
    whole = tmp_path / "whole"
    build_index(texts, index_key=KEY, output=whole, encoder=WordEncoder())
    encoder = WordEncoder()

    def interrupted(stage: str, done: int, total: int) -> None:
        if stage == "pool" and done == 64:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(texts, index_key=KEY, output=tmp_path / "a", encoder=encoder, progress=interrupted)
    before = encoder.texts
    report = build_index(texts, index_key=KEY, output=tmp_path / "a", encoder=encoder, if_exists="resume")
    assert "pool from 64" in report.resumed
    assert encoder.texts - before < 64 + 76 + 64  # 76 left, and the samples of the plan
    assert_same_folders(tmp_path / "a", whole)


def test_documents_that_changed_are_pooled_again(texts, tmp_path, small_blocks):
    def interrupted(stage: str, done: int, total: int) -> None:
        if stage == "train":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(texts, index_key=KEY, output=tmp_path / "a", encoder=WordEncoder(), progress=interrupted)
    changed = [*texts[:-1], Document("d139", "", "other words")]
    report = build_index(
        changed, index_key=KEY, output=tmp_path / "a", encoder=WordEncoder(), if_exists="resume"
    )
    assert report.resumed == ()
    build_index(changed, index_key=KEY, output=tmp_path / "b", encoder=WordEncoder())
    assert_same_folders(tmp_path / "a", tmp_path / "b")


def test_a_resumed_build_keeps_its_plan_when_less_memory_is_free(tmp_path, monkeypatch):
    """Sample and blocks stay as they were, or the codes would be those of another training."""
    x, lengths = np.random.default_rng(0).standard_normal((60_000, 64), dtype=np.float32), np.full(6000, 10)

    def build(free: int, until: str = "never") -> Any:
        def progress(stage: str, done: int, total: int) -> None:
            if stage == until and done == total:
                raise KeyboardInterrupt

        monkeypatch.setattr(plan_module, "available_bytes", lambda: free)
        return build_index(
            x, index_key="Pool(f=1),IVF4,PQ4x4", lengths=lengths, output=tmp_path / "out", seed=3,
            progress=progress, if_exists="resume",
        )  # fmt: skip

    much, little = 4_000_000_000, 130_000_000
    build(much)
    (tmp_path / "out").rename(tmp_path / "straight")
    with pytest.raises(KeyboardInterrupt):
        build(much, until="train")
    assert build(little).resumed == ("pool", "sample", "train")
    plans = [plan_of(tmp_path / name) for name in ("straight", "out")]
    assert plans[0]["train_rows"] == plans[1]["train_rows"] == 60_000
    assert plans[0]["block_rows"] == plans[1]["block_rows"]
    assert_same_folders(tmp_path / "out", tmp_path / "straight")
    (tmp_path / "out").rename(tmp_path / "resumed")
    build(little)  # begun with little memory, it takes a smaller sample
    assert plan_of(tmp_path / "out")["train_rows"] < 60_000


def plan_of(folder) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())["plan"]


def test_wrong_input(documents, texts, tmp_path):
    x, lengths = documents
    with pytest.raises(UsageError, match="how many each document"):
        build_index(x, index_key=KEY, output=tmp_path / "a")
    with pytest.raises(DimensionError, match="add up to"):
        build_index(x, index_key=KEY, output=tmp_path / "a", lengths=lengths[1:])
    with pytest.raises(UsageError, match="rows of 'Flat' are single vectors"):
        build_index(x, index_key="Flat", output=tmp_path / "a", lengths=lengths)
    with pytest.raises(UsageError, match="several vectors a text"):
        build_index(texts, index_key="Flat", output=tmp_path / "a", encoder=WordEncoder())
    bad = x.copy()
    bad[-1, 3] = np.nan
    with pytest.raises(NonFiniteError, match="id 'n149'"):
        build_index(
            bad, index_key=KEY, output=tmp_path / "a", lengths=lengths, ids=[f"n{i}" for i in range(150)]
        )
    with pytest.raises(InputError, match="0 vectors"):
        build_index(x, index_key=KEY, output=tmp_path / "a", lengths=[*lengths.tolist(), 0])
    with pytest.raises(InfeasibleError, match="memory limit"):
        build_index(x, index_key=KEY, output=tmp_path / "a", lengths=lengths, max_memory=10**7)
    assert not list(tmp_path.iterdir())


def test_plan(documents, texts):
    x, lengths = documents
    plan = plan_build(x, index_key="Pool(bytes=48),IVF8,PQ12", lengths=lengths)
    assert plan.key == KEY and plan.n == 150 and plan.feasible
    assert [stage.name for stage in plan.stages] == ["guides", "pool", "sample", "train", "add", "write"]
    plan = plan_build(texts, index_key=KEY, encoder=WordEncoder())
    assert plan.n == 140 and plan.seconds > 0 and plan.source_dtype == "text"
