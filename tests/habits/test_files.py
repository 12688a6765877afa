"""Files as tools and shells leave them: order of parts, other names of columns, line ends, what lies beside them."""

from __future__ import annotations

import numpy as np
import pytest

import cluscomp as cc
from cluscomp import errors
from cluscomp.inputs import iter_corpus, iter_queries, open_embeddings


def numbered(folder, names):
    """One row a file, whose value is its place in `names`."""
    folder.mkdir()
    for place, name in enumerate(names):
        np.save(folder / name, np.full((1, 2), place, "f4"))
    return folder


@pytest.mark.parametrize(
    "names",
    [[f"emb_{i}.npy" for i in range(12)],
     ["part-00001.npy", "part-00002.npy", "part-00010.npy"],
     ["a1b2.npy", "a1b10.npy", "a2b1.npy", "a10b1.npy"],
     ["b.npy", "b1.npy", "c.npy"], ["x01.npy", "x1.npy", "x2.npy"], ["9.npy", "10.npy", "a.npy"]],
)  # fmt: skip
def test_parts_are_ordered_by_the_numbers_in_their_names(tmp_path, names):
    source = open_embeddings(numbered(tmp_path / "parts", names))
    assert source.read(0, source.n)[:, 0].tolist() == list(range(len(names)))


def test_what_macos_leaves_beside_parts_is_passed_over(tmp_path):
    folder = numbered(tmp_path / "parts", ["x_1.npy", "x_2.npy"])
    (folder / "._x_1.npy").write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    assert open_embeddings(folder).n == 2


def test_ids_beside_numbered_parts_name_their_vectors(tmp_path):
    folder = numbered(tmp_path / "parts", [f"emb_{i}.npy" for i in range(12)])
    (tmp_path / "ids.txt").write_text("".join(f"row{i}\n" for i in range(12)))
    cc.build_index(folder, ids=tmp_path / "ids.txt", index_key="Flat", metric="l2", output=tmp_path / "x")
    assert cc.open_index(tmp_path / "x").search(np.full((1, 2), 10.0), 1)[1][0, 0] == "row10"


@pytest.mark.parametrize("form", [str, lambda path: path])
def test_a_path_of_ids_is_read_beside_an_array_too(tmp_path, form):
    np.save(tmp_path / "ids.npy", np.array([30, 10, 20, 5, 7, 9, 1]))  # as many as the letters of "ids.npy"
    x = np.eye(7, dtype="f4")
    cc.build_index(x, ids=form(tmp_path / "ids.npy"), index_key="Flat", output=tmp_path / "x")
    assert cc.open_index(tmp_path / "x").ids.tolist() == [30, 10, 20, 5, 7, 9, 1]


def test_masked_values_are_no_numbers(tmp_path):
    x = np.ma.masked_equal(np.arange(12.0).reshape(4, 3), 7)
    for call in (
        lambda: cc.build_index(x, index_key="Flat", output=tmp_path / "x"),
        lambda: cc.index_factory("Flat", 3).add(x),
        lambda: cc.KMeans(2).fit(x),
        lambda: cc.assign(x, x[:1]),
    ):
        with pytest.raises(errors.InputError, match="1 masked values.*filled"):
            call()
    whole = np.ma.masked_array(np.arange(12.0).reshape(4, 3))
    assert len(cc.index_factory("Flat", 3).add(whole)) == 4


@pytest.mark.parametrize(("suffix", "dtype"), [(".fbin", "<f4"), (".u8bin", "u1")])
@pytest.mark.parametrize("n", [0xFEFF, 0x4B50])
def test_headers_may_look_like_other_formats(tmp_path, suffix, dtype, n):
    """A count of rows that begins with the bytes FF FE is no UTF-16, and one of PK is no archive."""
    path = tmp_path / f"x{suffix}"
    rows = (np.arange(n * 2) % 200).astype(dtype)
    path.write_bytes(np.array([n, 2], "<u4").tobytes() + rows.tobytes())
    source = open_embeddings(path)
    assert (source.n, source.dim) == (n, 2)
    np.testing.assert_array_equal(source.read(n - 1, n)[0], rows[-2:])


def test_fvecs_of_a_dim_that_looks_like_utf16(tmp_path):
    path, dim = tmp_path / "x.fvecs", 0xFEFF
    path.write_bytes(np.array([dim], "<i4").tobytes() + np.ones(dim, "<f4").tobytes())
    assert open_embeddings(path).dim == dim


def test_text_in_the_place_of_vectors_is_still_named(tmp_path):
    path = tmp_path / "x.fbin"
    path.write_bytes("a text\n".encode("utf-16"))
    with pytest.raises(errors.MalformedFileError, match="UTF-16 text"):
        open_embeddings(path)


def ids_of(kind):
    """Five text ids in another form, or a skip."""
    names = [f"d{i % 3}{i}" for i in range(5)]
    if kind == "StringDType":
        return np.array(names, dtype=np.dtypes.StringDType()), names
    if kind.startswith("arrow"):
        arrow = pytest.importorskip("pyarrow")
        made = {"arrow": arrow.array(names), "arrow dictionary": arrow.array(names).dictionary_encode(),
                "arrow chunks": arrow.chunked_array([names[:2], names[2:]]),
                "arrow large": arrow.array(names, arrow.large_string())}  # fmt: skip
        if kind == "arrow view":
            return arrow.array(names, arrow.string_view()), names
        return made[kind], names
    pandas = pytest.importorskip("pandas")
    return pandas.Series(names, dtype={"pandas": object, "pandas category": "category"}[kind]), names


@pytest.mark.parametrize(
    "kind",
    ["StringDType", "arrow", "arrow dictionary", "arrow chunks", "arrow large", "arrow view", "pandas",
     "pandas category"],
)  # fmt: skip
def test_text_ids_in_other_forms(kind, tmp_path):
    ids, names = ids_of(kind)
    x = np.eye(5, dtype="f4")
    index = cc.index_factory("Flat", 5).add(x, ids=ids)
    assert index.ids.tolist() == names
    cc.build_index(x, ids=ids, index_key="Flat", output=tmp_path / "x")
    assert cc.open_index(tmp_path / "x").ids.tolist() == names
    assert index.delete(ids[:2]) == 2 and index.ids.tolist() == names[2:]


def parquet(tmp_path, **columns):
    arrow, files = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    files.write_table(arrow.table(columns), tmp_path / "x.parquet")
    return tmp_path / "x.parquet"


@pytest.mark.parametrize(
    "kind", ["dictionary", "large_string", "string_view", "int32", "dictionary of int64"]
)
def test_ids_of_parquet_in_other_types(tmp_path, kind):
    arrow = pytest.importorskip("pyarrow")
    names = arrow.array([3, 1, 3 + 4]) if "int" in kind else arrow.array(["b", "a", "c"])
    typed = names.dictionary_encode() if "dictionary" in kind else names.cast(getattr(arrow, kind)())
    source = open_embeddings(parquet(tmp_path, id=typed, v=[[1.0], [2.0], [3.0]]))
    assert list(source.ids) == names.to_pylist() and source.id_column == "id"


def test_columns_of_parquet_can_be_named(tmp_path):
    path = parquet(tmp_path, key=["x", "y"], id=[1, 2], title=[[1.0, 2.0], [3.0, 4.0]], body=[[5.0], [6.0]])
    with pytest.raises(errors.MalformedFileError, match=r"2 columns of number lists.*columns="):
        open_embeddings(path)
    source = open_embeddings(path, columns={"vectors": "body", "id": "key"})
    assert source.ids == ["x", "y"] and source.read(0, 2).tolist() == [[5.0], [6.0]]
    with pytest.raises(errors.MalformedFileError, match="no column 'sub'; it has: key, id, title, body"):
        open_embeddings(path, columns={"vectors": "sub"})
    with pytest.raises(errors.UsageError, match="role 'text'; known here are: vectors, id"):
        open_embeddings(path, columns={"text": "key"})
    with pytest.raises(errors.DTypeError, match="'key' has type string, but lists of numbers"):
        open_embeddings(path, columns={"vectors": "key"})
    cc.build_index(path, columns={"vectors": "title", "id": "key"}, index_key="Flat", output=tmp_path / "i")
    assert cc.open_index(tmp_path / "i").ids.tolist() == ["x", "y"]


def test_null_rows_of_parquet_are_named(tmp_path):
    rows = [[1.0, 2.0]] * 9
    with pytest.raises(errors.MalformedFileError, match="'v' is null in row 7"):
        source = open_embeddings(parquet(tmp_path, v=[*rows[:7], None, *rows]))
        source.read(0, source.n)
    with pytest.raises(errors.MalformedFileError, match="'v' holds a null in row 3"):
        source = open_embeddings(parquet(tmp_path, v=[*rows[:3], [1.0, None], *rows]))
        source.read(0, source.n)
    with pytest.raises(errors.MalformedFileError, match=r"column 'docid' \(its ids\) is null in row 2"):
        open_embeddings(parquet(tmp_path, docid=["a", "b", None], v=rows[:3]))


def write(tmp_path, text, name="c.tsv"):
    (tmp_path / name).write_bytes(text.encode())
    return tmp_path / name


@pytest.mark.parametrize(
    "text",
    [
        "doc_key\tabstract\n1\tone two\n2\ttwo\n",
        "id\tabstract\n1\tone two\n",
        "key\ttitle\ttext\n1\ta\tb c\n",
    ],
)
def test_a_header_of_unknown_names_is_no_document(tmp_path, text):
    with pytest.raises(errors.MalformedFileError, match=r"c\.tsv:1: .*header"):
        list(iter_corpus(write(tmp_path, text)))


@pytest.mark.parametrize("text", ["a\tone two\nb\tthree\n", "q1\tstatins\nq2\tdo statins help\n", "1\ttext\n2\ttwo words\n",
                                  "cat\tanimal\ndog\ta large animal\n"])  # fmt: skip
def test_records_that_are_short_are_no_headers(tmp_path, text):
    assert len(list(iter_corpus(write(tmp_path, text)))) == 2
    assert len(list(iter_queries(write(tmp_path, text, "q.tsv")))) == 2


def test_further_columns_of_a_header_are_passed_over(tmp_path):
    text = "id\turl\ttitle\ttext\n7\thttp://x\tT\tone\n"
    assert [tuple(doc) for doc in iter_corpus(write(tmp_path, text))] == [("7", "T", "one")]


@pytest.mark.parametrize("name", ["c.tsv", "c.jsonl", "c.parquet"])
def test_columns_of_texts_can_be_named(tmp_path, name):
    rows = [("1", "one", "first line"), ("2", "two", "second")]
    text = {"c.tsv": "my key\tHead\tbody\n" + "".join("\t".join(row) + "\n" for row in rows),
            "c.jsonl": "".join(f'{{"my key": "{k}", "Head": "{h}", "body": "{b}"}}\n' for k, h, b in rows)}  # fmt: skip
    if name == "c.parquet":
        path = parquet(
            tmp_path, **dict(zip(("my key", "Head", "body"), map(list, zip(*rows, strict=True)), strict=True))
        )
    else:
        path = write(tmp_path, text[name], name)
    found = iter_corpus(path, columns={"id": "my key", "title": "Head", "text": "body"})
    assert [tuple(document) for document in found] == rows
    with pytest.raises(errors.MalformedFileError, match="no_such"):
        list(iter_corpus(path, columns={"id": "my key", "text": "no_such"}))


@pytest.mark.parametrize("name", ["c.tsv", "c.txt", "q.tsv", "ids.txt", "run.trec", "qrels.tsv"])
def test_line_ends_of_old_macs_are_named(tmp_path, name):
    from cluscomp.eval import read_qrels, read_run
    from cluscomp.inputs import read_ids

    text = {"c.tsv": "1\tone\r2\ttwo\r", "c.txt": "one\rtwo\r", "q.tsv": "1\tone\r2\ttwo", "ids.txt": "a\rb\r",
            "run.trec": "q Q0 d 1 1.0 t\rq Q0 e 2 0.5 t\r", "qrels.tsv": "q\td\t1\rq\te\t1\r"}[name]  # fmt: skip
    readers = {"c.tsv": iter_corpus, "c.txt": iter_corpus, "q.tsv": iter_queries, "run.trec": read_run,
               "qrels.tsv": read_qrels, "ids.txt": lambda path: read_ids(path, 2)}  # fmt: skip
    with pytest.raises(errors.MalformedFileError, match=r"CR line ends.*tr '\\r' '\\n'"):
        list(readers[name](write(tmp_path, text, name)))


def test_a_return_within_a_text_stays(tmp_path):
    assert [doc.text for doc in iter_corpus(write(tmp_path, "1\tone\rtwo\n2\tthree\n"))] == [
        "one\rtwo",
        "three",
    ]
