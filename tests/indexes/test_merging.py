"""Merging: index folders of one training become one, with the hits that one index of all rows has."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cluscomp import merge_indexes
from cluscomp.errors import (
    CorruptIndexError,
    DTypeError,
    DuplicateIdError,
    EncoderMismatchError,
    IndexMissingError,
    OutputExistsError,
    UsageError,
)
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.build import build_index

DIM = 16


@pytest.fixture
def save(trained, rows, tmp_path):
    """save(name, key, ids, ...) -> folder of an index of the rows of that number, added in two parts."""

    def make(name, key="IVF8,PQ4", ids=range(10), metric="ip", names=None, delete=()):
        index, ids = trained(key, metric), np.asarray(ids)
        for part in (slice(0, len(ids) // 2), slice(len(ids) // 2, None)):
            if len(ids[part]):
                index.add(rows[ids[part]], ids[part] if names is None else names[part])
        if len(delete):
            index.delete(delete)
        index.save(tmp_path / name)
        return tmp_path / name

    return make


@pytest.mark.filterwarnings("ignore::cluscomp.errors.IncompleteResultsWarning")
def test_every_key_answers_as_one_index_of_all_rows(save, trained, rows, queries, tmp_path, any_key):
    a, b, c = (
        save("a", any_key, range(200), delete=[7]),
        save("b", any_key, range(300, 450)),
        save("c", any_key, [250]),
    )
    report = merge_indexes([a, b, c], tmp_path / "all")
    merged = open_index(tmp_path / "all", verify=True)
    assert (report.rows, report.deleted, report.segments) == (350, 1, 5)
    assert report.bytes == sum(path.stat().st_size for path in (tmp_path / "all").glob("*.npy"))
    if "BIVF" not in any_key:  # whose lists depend on what was added together
        once = trained(any_key)
        for ids in (np.arange(200), np.arange(300, 450), np.array([250])):
            once.add(rows[ids], ids)
        once.delete([7])
        for nprobe in (2, 8):
            mine, theirs = (i.search(queries, 9, nprobe=min(nprobe, i.spec.nlist)) for i in (merged, once))
            assert mine[0].tobytes() == theirs[0].tobytes() and mine[1].tolist() == theirs[1].tolist()
    before = merged.search(queries, 9)
    merged.compact(segments=1, dead=0)
    assert [part.tolist() for part in merged.search(queries, 9)] == [part.tolist() for part in before]
    assert merged.add(rows[:1]).ids[-1] == 450


def test_files_are_linked_and_the_sources_stay(save, tmp_path):
    a, b = save("a"), save("b", ids=range(20, 30))
    before = {path: path.read_bytes() for folder in (a, b) for path in folder.iterdir()}
    merge_indexes([a, str(b)], tmp_path / "all")
    inodes = {path.stat().st_ino for path in before}
    for path in (tmp_path / "all").glob("s*.npy"):
        assert path.stat().st_ino in inodes
    assert {path: path.read_bytes() for path in before} == before
    with pytest.raises(OutputExistsError):
        merge_indexes([a, b], tmp_path / "all")
    merge_indexes([b, a], tmp_path / "all", if_exists="replace")
    assert open_index(tmp_path / "all").ids[0] == 20


def test_documents_of_several_vectors(tmp_path):
    rng = np.random.default_rng(5)
    index = index_factory("Pool4,IVF4,SQ8", DIM, "cosine")
    x = rng.standard_normal((400, DIM)).astype(np.float32)
    index.train(x, lengths=[8] * 50)
    index.save(tmp_path / "empty")
    for name, part, ids in (("a", x[:160], range(20)), ("b", x[160:], range(20, 50))):
        open_index(tmp_path / "empty").add(part, ids, lengths=[8] * (len(part) // 8)).save(tmp_path / name)
    merge_indexes([tmp_path / "a", tmp_path / "b", tmp_path / "empty"], tmp_path / "all")
    merged, once = open_index(tmp_path / "all", verify=True), open_index(tmp_path / "empty")
    once.add(x[:160], range(20), lengths=[8] * 20).add(x[160:], range(20, 50), lengths=[8] * 30)
    mine, theirs = (i.search(x[:24], 7, lengths=[8] * 3) for i in (merged, once))
    assert mine[0].tobytes() == theirs[0].tobytes() and mine[1].tolist() == theirs[1].tolist()
    assert merged.score(x[:8], merged.ids).tobytes() == once.score(x[:8], once.ids).tobytes()


def test_what_differs_is_named_with_both_folders(save, rows, tmp_path):
    a = save("a")
    for other, error, words in (
        (save("key", "IVF8,SQ8", range(20, 30)), UsageError, "key 'IVF8,PQ4'"),
        (save("metric", metric="l2", ids=range(20, 30)), UsageError, "metric 'ip'"),
    ):
        with pytest.raises(error, match=words) as caught:
            merge_indexes([a, other], tmp_path / "out")
        assert str(a) in str(caught.value) and str(other) in str(caught.value)
    index_factory("IVF8,PQ4", DIM, seed=4).train(rows).add(rows[:5], range(50, 55)).save(tmp_path / "apart")
    with pytest.raises(UsageError, match=r"trained apart: their arrays partition\.centroids differ"):
        merge_indexes([a, tmp_path / "apart"], tmp_path / "out")
    index_factory("Flat", 8).save(tmp_path / "d8")
    index_factory("Flat", 9).save(tmp_path / "d9")
    with pytest.raises(UsageError, match="dim 8.*dim 9|dim 8.*has 9"):
        merge_indexes([tmp_path / "d8", tmp_path / "d9"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_encoders(save, tmp_path):
    def with_encoder(name, fingerprint, ids):
        folder = save(name, ids=ids)
        index = open_index(folder)
        index.encoder = {"name": name, "fingerprint": fingerprint, "kind": "dense"}
        index.save(folder)
        return folder

    plain, one, same, other = (
        save("plain", ids=range(5)), with_encoder("one", "f", range(5, 9)), with_encoder("same", "f", range(9, 12)),
        with_encoder("other", "g", range(20, 30)),
    )  # fmt: skip
    merge_indexes([one, same], tmp_path / "out")
    assert open_index(tmp_path / "out").encoder["name"] == "one"
    for wrong, words in ((other, "'one'.*'other'"), (plain, "'one'.*an unknown encoder")):
        with pytest.raises(EncoderMismatchError, match=words):
            merge_indexes([one, wrong], tmp_path / "out2")


def test_ids(save, rows, tmp_path):
    a, b = save("a", ids=range(10)), save("b", ids=[20, 3, 21])
    with pytest.raises(DuplicateIdError, match="id 3 is in .*a and in .*b"):
        merge_indexes([a, b], tmp_path / "out")
    freed = open_index(a)
    freed.delete([3])
    freed.save(a)
    merge_indexes([a, b], tmp_path / "out")
    assert sorted(open_index(tmp_path / "out").ids.tolist()) == [*range(10), 20, 21]
    t = save("t", ids=[30, 31, 32], names=["x", "y", "3"])
    u = save("u", ids=[40, 41], names=["z", "y"])
    with pytest.raises(DuplicateIdError, match="id 'y' is in .*t and in .*u"):
        merge_indexes([t, u], tmp_path / "out2")
    with pytest.raises(DTypeError, match="int64.*str"):
        merge_indexes([a, t], tmp_path / "out2")
    with pytest.raises(DuplicateIdError):
        merge_indexes([t, t], tmp_path / "out2")


def test_texts_come_along_without_those_of_deleted_rows(tmp_path):
    from cluscomp.encoders.base import EncoderInfo

    class Letters:
        info = EncoderInfo(
            name="letters", kind="dense", dim=4, normalize=False, query_prompt="", document_prompt="",
            max_seq_length=None, fingerprint="f",
        )  # fmt: skip

        def encode_documents(self, texts, progress=None):
            return np.array(
                [[len(text), text.count("a"), text.count("e"), 1] for text in texts], dtype=np.float32
            )

    corpora = {"a": ["p", "q", "r"], "b": ["q", "s"]}
    for name, ids in corpora.items():
        build_index([(i, f"title {i}", f"{name}{i}") for i in ids], index_key="Flat", encoder=Letters(), store_texts=True,
                    output=tmp_path / name, cache=False)  # fmt: skip
    index = open_index(tmp_path / "a")
    index.delete(["q"])
    index.save(tmp_path / "a")
    report = merge_indexes([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    assert report.texts
    records = open_index(tmp_path / "all", verify=True).get(["p", "q", "r", "s"])
    assert [(r.id, r.title, r.text) for r in records] == [
        ("p", "title p", "ap"), ("q", "title q", "bq"), ("r", "title r", "ar"), ("s", "title s", "bs"),
    ]  # fmt: skip


def test_wrong_calls_and_damaged_folders(save, tmp_path):
    a = save("a")
    for paths in ([a], [], str(a), a):
        with pytest.raises(UsageError, match="at least two"):
            merge_indexes(paths, tmp_path / "out")
    with pytest.raises(IndexMissingError):
        merge_indexes([a, tmp_path / "nothing"], tmp_path / "out")
    b = save("b", ids=range(20, 30))
    assert merge_indexes([a, b], tmp_path / "out", dry_run=True).to_json()["rows"] == 20
    assert not (tmp_path / "out").exists()
    manifest = json.loads((b / "manifest.json").read_text())
    manifest["segments"][0]["rows"] += 1
    (b / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CorruptIndexError):
        merge_indexes([a, b], tmp_path / "out")
    assert not (tmp_path / "out").exists()
