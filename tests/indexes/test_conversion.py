"""convert_index: the rows of an index under another key, in the newest format, or as files of other tools."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.indexes.build.writer import IndexWriter
from cluscomp.indexes.storage.manifest import FORMAT_VERSION
from cluscomp.indexes.storage.texts import write_documents
from cluscomp.inputs.corpus import Document
from cluscomp.inputs.embeddings import open_embeddings, read_ids

DIM, N = 16, 500
KEYS = (
    "Flat",
    "SQ8",
    "PQ4",
    "IVF8,PQ4x4",
    "OPQ4,BIVF8(cap=1.2),PQ4x4,RFlat",
    "PCA8,IVF8,SQ8,RFlat",
    "RR,SQ8",
    "RR,IVF8,RaBitQ4",
)


def saved(tmp_path, rows, key="IVF8,SQ8", metric="ip", names=str, name="old"):
    """An index of three segments with deleted rows in two of them; returns it with the numbers of its rows."""
    index = cc.index_factory(key, DIM, metric).train(rows)
    for part in (slice(0, 200), slice(200, 230), slice(230, N)):
        index.add(rows[part], [names(i) for i in range(N)[part]])
    gone = [3, 199, 229, 210]
    index.delete([names(i) for i in gone])
    index.encoder = {"name": "m", "fingerprint": "f", "dim": DIM, "kind": "dense"}
    index.save(tmp_path / name)
    return index, np.setdiff1d(np.arange(N), gone)


@pytest.mark.parametrize(
    ("key", "metric"), [*((key, "ip") for key in KEYS), ("IVF8,PQ4x4", "l2"), ("SQ8", "cosine")]
)
def test_a_new_key_encodes_what_the_codes_stand_for(tmp_path, rows, key, metric):
    old, left = saved(tmp_path, rows, key, metric)
    report = cc.convert_index(tmp_path / "old", tmp_path / "new", index_key="SQ8,RFlat", max_memory="4G")
    new = cc.open_index(tmp_path / "new", verify=True)
    assert new.ids.tolist() == old.ids.tolist() == [str(i) for i in left] and new.metric == metric
    assert (report.rows, report.dropped, report.key, report.vectors_from) == (N - 4, 4, "SQ8,RFlat", "codes")
    # The rerank of the new index keeps its rows as they are, scaled for cosine, so that they can be compared.
    wanted = old.vectors(old.ids)
    if metric == "cosine":
        wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(new.vectors(new.ids), wanted, rtol=1e-6, atol=1e-6)
    assert report.added_error < 1e-12 and report.error_rows == N - 4
    assert report.coded_twice is (
        key not in ("Flat", "OPQ4,BIVF8(cap=1.2),PQ4x4,RFlat", "PCA8,IVF8,SQ8,RFlat")
    )
    assert new.encoder == old.encoder and cc.verify_index(tmp_path / "new") == []


def test_a_source_is_matched_by_ids(tmp_path, rows):
    old, left = saved(tmp_path, rows)
    order = np.random.default_rng(1).permutation(len(rows))  # 600 rows: 100 of them are not in the index
    options = {"source": rows[order], "ids": [str(i) for i in order], "index_key": "Flat"}
    report = cc.convert_index(tmp_path / "old", tmp_path / "new", **options)
    new = cc.open_index(tmp_path / "new")
    assert np.array_equal(new.vectors(new.ids), rows[left]) and new.ids.tolist() == old.ids.tolist()
    assert (report.vectors_from, report.coded_twice, report.added_error) == ("source", False, 0.0)
    with pytest.raises(cc.InputError, match="'0' of the index is not among the 599 vectors"):
        keep = order != 0
        cc.convert_index(
            tmp_path / "old",
            tmp_path / "x",
            index_key="Flat",
            source=rows[order][keep],
            ids=[str(i) for i in order[keep]],
        )
    with pytest.raises(cc.UsageError, match="text ids, and the vectors have none"):
        cc.convert_index(tmp_path / "old", tmp_path / "x", index_key="Flat", source=rows)
    with pytest.raises(cc.DimensionError, match="dim 8, but .* dim 16"):
        cc.convert_index(
            tmp_path / "old",
            tmp_path / "x",
            index_key="Flat",
            source=rows[:, :8],
            ids=[str(i) for i in range(600)],
        )
    assert not (tmp_path / "x").exists()


def test_it_is_the_build_of_the_same_rows(tmp_path, rows):
    """The new codes are those that build_index makes of the decoded rows: there is no other way of encoding."""
    old, _ = saved(tmp_path, rows)
    key = "OPQ4,IVF8,PQ4"
    cc.convert_index(tmp_path / "old", tmp_path / "new", index_key=key, seed=3)
    cc.build_index(old.vectors(old.ids), index_key=key, output=tmp_path / "built", ids=list(old.ids), seed=3)
    new, built = cc.open_index(tmp_path / "new"), cc.open_index(tmp_path / "built")
    found, wanted = new.search(rows[:20], 5, nprobe=8), built.search(rows[:20], 5, nprobe=8)
    assert np.array_equal(found[0], wanted[0]) and np.array_equal(found[1], wanted[1])


def test_numbers_go_on_behind_deleted_ones(tmp_path, rows):
    index = cc.index_factory("Flat", DIM).add(rows[:10])
    index.delete([9, 8])
    index.save(tmp_path / "old")
    cc.convert_index(tmp_path / "old", tmp_path / "new", index_key="SQ8")
    new = cc.open_index(tmp_path / "new")
    assert new.add(rows[:1]).ids.tolist() == [*range(8), 10]


def test_texts_come_along(tmp_path, rows):

    documents = [(str(i), f"title {i}", f"text {i}") for i in range(30)]
    with IndexWriter(cc.index_factory("Flat", DIM), tmp_path / "old") as writer:
        writer.add(rows[:30], [d[0] for d in documents])
        write_documents(tmp_path / "docs.sqlite", [Document(*d) for d in documents])
        writer.finish(texts=tmp_path / "docs.sqlite")
    index = cc.open_index(tmp_path / "old")
    index.delete(["4"])
    index.save(tmp_path / "old")
    assert cc.convert_index(tmp_path / "old", tmp_path / "new", index_key="SQ8").texts
    (record,) = cc.open_index(tmp_path / "new").get(["3", "4"], missing="ignore")
    assert (record.id, record.title, record.text) == ("3", "title 3", "text 3")
    assert cc.verify_index(tmp_path / "new") == []


def test_documents_become_documents(tmp_path, rows):
    lengths = np.array([3, 1, 5, 2] * 40)
    x = rows[: int(lengths.sum())] / np.linalg.norm(rows[: int(lengths.sum())], axis=1, keepdims=True)
    old = cc.index_factory("Pool(f=1),IVF8,SQ8", DIM).train(x, lengths=lengths)
    old.add(x[: int(lengths[:80].sum())], lengths=lengths[:80])
    old.add(x[int(lengths[:80].sum()) :], lengths=lengths[80:])
    old.delete([2, 100])
    old.save(tmp_path / "old")
    report = cc.convert_index(tmp_path / "old", tmp_path / "new", index_key="Pool(f=1),Flat")
    new = cc.open_index(tmp_path / "new")
    assert new.ids.tolist() == old.ids.tolist() and report.rows == 158 and report.coded_twice
    for found, wanted in zip(new.vectors(new.ids), old.vectors(old.ids), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    again = np.random.default_rng(2).permutation(len(lengths))
    ends = np.cumsum(lengths)
    parts = [x[ends[i] - lengths[i] : ends[i]] for i in again]
    report = cc.convert_index(
        tmp_path / "old", tmp_path / "exact", index_key="Pool(f=1),Flat",
        source=np.concatenate(parts), lengths=lengths[again], ids=again,
    )  # fmt: skip
    exact = cc.open_index(tmp_path / "exact")
    left = np.setdiff1d(np.arange(160), [2, 100])
    wanted = np.concatenate([x[ends[i] - lengths[i] : ends[i]] for i in left])
    assert np.array_equal(exact.vectors(exact.ids)[0], wanted) and report.added_error < 1e-12
    files = cc.convert_index(tmp_path / "old", tmp_path / "v.npy", to="npy").files
    assert len(files) == 3 and np.load(tmp_path / "v.lengths.npy").tolist() == lengths[left].tolist()
    with pytest.raises(cc.UsageError, match="rows of one kind cannot become the other"):
        cc.convert_index(tmp_path / "old", tmp_path / "x", index_key="Flat")


def test_what_cannot_be_decoded_needs_a_source(tmp_path, rows):
    cc.index_factory("MRL12,PQ4", DIM).train(rows).add(rows).save(tmp_path / "old")
    with pytest.raises(cc.UsageError, match="cannot be decoded: .*MRL12.* pass the vectors"):
        cc.convert_index(tmp_path / "old", tmp_path / "new", index_key="Flat")
    report = cc.convert_index(tmp_path / "old", tmp_path / "new", index_key="MRL12,SQ8", source=rows)
    assert report.added_error is None  # nor can the new codes be decoded
    cc.convert_index(tmp_path / "old", tmp_path / "flat", index_key="Flat", source=rows)
    assert np.array_equal(cc.open_index(tmp_path / "flat").vectors(range(600)), rows)


@pytest.mark.parametrize("names", [str, int])
def test_files_of_other_tools(tmp_path, rows, names):
    old, left = saved(tmp_path, rows, "IVF8,SQ8", "l2", names)
    cc.convert_index(tmp_path / "old", tmp_path / "v.npy", to="npy")
    vectors, wanted = old.vectors(old.ids), [names(i) for i in left]
    assert np.array_equal(np.load(tmp_path / "v.npy"), vectors)
    assert list(read_ids(tmp_path / "v.ids.npy")) == wanted
    pytest.importorskip("pyarrow")
    cc.convert_index(tmp_path / "old", tmp_path / "p.parquet", to="parquet")
    source = open_embeddings(tmp_path / "p.parquet")
    assert list(source.ids) == wanted and np.array_equal(source.read(0, source.n), vectors)
    faiss = pytest.importorskip("faiss")
    cc.convert_index(tmp_path / "old", tmp_path / "f.index", to="faiss")
    found = faiss.read_index(str(tmp_path / "f.index")).search(rows[:9], 5)[1]
    if names is str:
        found = np.load(tmp_path / "f.ids.npy")[found]
    assert np.array_equal(found, old.search(rows[:9], 5)[1].astype(found.dtype))
    with pytest.raises(cc.OutputExistsError, match=r"v\.ids\.npy is there already"):
        cc.convert_index(tmp_path / "old", tmp_path / "v.npy", to="npy")
    cc.convert_index(tmp_path / "old", tmp_path / "v.npy", to="npy", if_exists="replace")


@pytest.mark.parametrize("to", ["lance", "cuvs"])
def test_codebooks_for_other_tools(tmp_path, rows, to):
    """All that the methods return, in one file that NumPy reads; of an index without rows as well."""
    index = cc.index_factory("OPQ4,IVF8,PQ4", DIM, "cosine").train(rows)
    index.save(tmp_path / "old")
    report = cc.convert_index(tmp_path / "old", tmp_path / "c.npz", to=to)
    assert (report.to, report.vectors_from, report.files) == (to, None, (str(tmp_path / "c.npz"),))
    copied = getattr(index, f"to_{to}")()
    arguments = (
        copied.arguments
        if to == "lance"
        else {**copied.arrays, "dim": DIM, "index_params": copied.index_params}
    )
    with np.load(tmp_path / "c.npz") as file:
        others = json.loads(str(file["arguments"]))
        assert {n: a.shape for n, a in arguments.items() if n not in others} == {
            n: file[n].shape for n in file.files if n not in ("arguments", "normalize", "projection")
        }
        assert all(np.array_equal(file[n], a) for n, a in arguments.items() if n not in others)
        assert others == {n: a for n, a in arguments.items() if n in others}
        base = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        assert file["normalize"] and ("projection" in file) is (to == "lance")
        prepared = base @ file["projection"].T if to == "lance" else base
        np.testing.assert_allclose(prepared, copied.rows(rows), atol=1e-5)
    with pytest.raises(cc.OutputExistsError):
        cc.convert_index(tmp_path / "old", tmp_path / "c.npz", to=to)
    cc.index_factory("MRL12,PQ4", DIM).train(rows).save(tmp_path / "mrl")
    with pytest.raises(cc.UsageError, match=r"MRL12, which is more than a matrix.*from Python"):
        cc.convert_index(tmp_path / "mrl", tmp_path / "m.npz", to=to)
    assert not (tmp_path / "m.npz").exists()


def test_the_newest_format(tmp_path, rows):
    old, _ = saved(tmp_path, rows)
    report = cc.convert_index(tmp_path / "old", tmp_path / "new", format=FORMAT_VERSION)
    new = cc.open_index(tmp_path / "new", verify=True)
    assert report.format_version == FORMAT_VERSION and report.dropped == 0
    assert np.array_equal(new.search(rows, 5)[1], old.search(rows, 5)[1]) and new.n_deleted == 4
    assert cc.convert_index(tmp_path / "old", format=FORMAT_VERSION).output == str(tmp_path / "old")
    with pytest.raises(cc.UsageError, match=f"writes {FORMAT_VERSION} only"):
        cc.convert_index(tmp_path / "old", tmp_path / "x", format=1)


def test_wrong_arguments(tmp_path, rows):
    saved(tmp_path, rows)
    for options, word in (
        ({}, "none is given"),
        ({"index_key": "Flat", "to": "npy"}, "index_key='Flat' and to='npy' is given"),
        ({"to": "npy", "source": rows}, "pass index_key"),
        ({"index_key": "Flat", "ids": [1]}, "source, which is not given"),
        ({"to": "csv"}, "csv"),
        ({"index_key": "Flat", "if_exists": "maybe"}, "maybe"),
    ):
        with pytest.raises(cc.UsageError, match=word):
            cc.convert_index(tmp_path / "old", tmp_path / "x", **options)
    with pytest.raises(cc.UsageError, match="output is missing"):
        cc.convert_index(tmp_path / "old", index_key="Flat")
    with pytest.raises(cc.UsageError, match="is the index that is read"):
        cc.convert_index(tmp_path / "old", tmp_path / "old", index_key="Flat", if_exists="replace")
    with pytest.raises(cc.InfeasibleError):
        cc.convert_index(tmp_path / "old", tmp_path / "x", index_key="Flat", max_memory="1M", dry_run=True)
    report = cc.convert_index(tmp_path / "old", tmp_path / "x", index_key="Flat", dry_run=True)
    assert report.planned_peak > 0 and report.bytes == 0 and not (tmp_path / "x").exists()
    cc.index_factory("Flat", DIM).save(tmp_path / "empty")
    for options in ({"index_key": "SQ8"}, {"to": "npy"}):
        with pytest.raises(cc.EmptyInputError, match="holds no rows"):
            cc.convert_index(tmp_path / "empty", tmp_path / "x", **options)


def test_terms_are_no_vectors(tmp_path):
    cc.index_factory("Sparse", 1).add([{"a": 1.0}, {"b": 2.0}]).save(tmp_path / "old")
    there = [target for target, name in (("parquet", "pyarrow"), ("faiss", "faiss")) if find_spec(name)]
    for options in ({"index_key": "Sparse"}, *({"to": target} for target in ("npy", *there))):
        with pytest.raises(cc.UsageError, match="terms"):
            cc.convert_index(tmp_path / "old", tmp_path / "x", **options)
    assert cc.convert_index(tmp_path / "old", tmp_path / "new", format=FORMAT_VERSION).rows == 2


def test_attributes_go_into_a_parquet_file_and_come_back_from_it(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    rows = np.random.default_rng(0).standard_normal((300, 8)).astype("f4")
    index = cc.index_factory("IVF4,SQ8", 8).train(rows)
    index.declare_attributes({"owner": cc.Field("text", tenant=True), "seen": "timestamp"})
    index.add(
        rows,
        [f"n{i}" for i in range(300)],
        attributes={
            "owner": [f"t{i % 3}" for i in range(300)],
            "seen": ["2024-05-01" if i % 2 else None for i in range(300)],
            "year": [i if i % 5 else None for i in range(300)],
            "ok": [bool(i % 2) for i in range(300)],
            "size": [i / 4 for i in range(300)],
            "tags": [["a", "b"][: i % 3] if i % 7 else None for i in range(300)],
        },
    )
    index.delete(["n3", "n299"], tenant=None)
    index.save(tmp_path / "i")
    cc.convert_index(tmp_path / "i", tmp_path / "x.parquet", to="parquet")
    table = pq.read_table(tmp_path / "x.parquet")
    wanted = index.attributes(tenant=None)
    assert table.drop(["id", "vector"]).to_pydict() == wanted.to_arrow().to_pydict()
    assert table["id"].to_pylist() == index.ids.tolist()
    np.testing.assert_array_equal(np.stack(table["vector"].to_numpy()), index.vectors(index.ids, tenant=None))
    path = tmp_path / "x.parquet"
    kinds = {"owner": cc.Field("text", tenant=True)}
    cc.build_index(path, index_key="SQ8", output=tmp_path / "j", attributes=path, attribute_kinds=kinds)
    assert cc.open_index(tmp_path / "j").attributes(tenant=None).to_dict() == wanted.to_dict()
    index.set_attributes(["n1"], {"vector": ["taken"]}, new_attributes=True)
    index.save(tmp_path / "i")
    with pytest.raises(cc.UsageError, match="'vector' has the name of a column"):
        cc.convert_index(tmp_path / "i", tmp_path / "y.parquet", to="parquet")
    assert not (tmp_path / "y.parquet").exists()
