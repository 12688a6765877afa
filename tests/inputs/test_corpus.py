import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluscomp import errors
from cluscomp.inputs import Document, corpus_fingerprint, corpus_size, count_documents, iter_corpus, unique


@pytest.fixture
def write(tmp_path):
    def write(text, name="corpus.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def jsonl(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


ROWS = [
    {"_id": "d1", "title": "Wing", "text": "in a slipstream"},
    {"id": 7, "text": "no title", "url": "unused"},
    {"docid": "ü 文", "contents": "pyserini", "title": None},
]
DOCS = [
    Document("d1", "Wing", "in a slipstream"),
    Document("7", "", "no title"),
    Document("ü 文", "", "pyserini"),
]


def test_content_joins_title_and_text_as_beir_does():
    assert [doc.content for doc in DOCS] == ["Wing in a slipstream", "no title", "pyserini"]
    assert Document("d", " a ", "").content == "a"


def test_jsonl_and_its_id_and_text_names(write):
    assert list(iter_corpus(write(jsonl(*ROWS)))) == DOCS


def test_beir_folder(write):
    assert list(iter_corpus(write(jsonl(*ROWS)).parent)) == DOCS


def test_beir_folder_with_gzip(write):
    assert list(iter_corpus(write(gzip.compress(jsonl(*ROWS).encode()), "corpus.jsonl.gz").parent)) == DOCS


def test_crlf_bom_and_blank_lines(write):
    text = "\ufeff" + jsonl(*ROWS).replace("\n", "\r\n\r\n  \r\n")
    assert list(iter_corpus(write(text))) == DOCS


def test_last_line_without_end(write):
    assert list(iter_corpus(write(jsonl(*ROWS).rstrip("\n")))) == DOCS


def test_underscore_id_wins(write):
    assert next(iter_corpus(write(jsonl({"id": "meta", "_id": "d", "text": "x"})))).id == "d"


def test_escaped_characters_outside_the_basic_plane(write):
    assert next(iter_corpus(write('{"_id": "a", "text": "\\ud83d\\ude42"}'))).text == "🙂"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1\tone\n2\ttwo\r\n", [("1", "", "one"), ("2", "", "two")]),
        ("1\tT\tone\n\n2\t\ttwo", [("1", "T", "one"), ("2", "", "two")]),
        ("id\ttext\ttitle\n1\tone\tT\n", [("1", "T", "one")]),
        ("docid\ttitle\tcontents\n1\tT\tone\n", [("1", "T", "one")]),
        ("id\tis not a header here\n", [("id", "", "is not a header here")]),
        ('1\t"quoted" text\n', [("1", "", '"quoted" text')]),
    ],
)
def test_tsv_layouts(write, text, expected):
    path = write(text, "collection.tsv")
    assert [tuple(doc) for doc in iter_corpus(path)] == expected
    assert count_documents(path) == len(expected)


def test_txt_counts_lines_from_zero(write):
    assert list(iter_corpus(write("first\nsecond\n", "notes.txt"))) == [
        Document("0", "", "first"),
        Document("1", "", "second"),
    ]


def test_txt_blank_line_is_an_empty_document_that_keeps_its_number(write):
    path = write("first\n\nthird\n", "notes.txt")
    assert [doc.id for doc in iter_corpus(path, empty_documents="skip")] == ["0", "2"]
    assert [doc.id for doc in iter_corpus(path, empty_documents="keep")] == ["0", "1", "2"]
    with pytest.raises(errors.EmptyInputError, match=r"notes\.txt:2: document '1'"):
        list(iter_corpus(path))


@pytest.mark.parametrize("name", ["c.tsv.gz", "c.txt.gz", "c.jsonl.gz", "c.jsonl"])
def test_gzip_of_every_text_format(write, name):
    plain = {"tsv": "0\tx\n", "txt": "x\n", "jsonl": '{"_id": 0, "text": "x"}\n'}[name.split(".")[1]]
    path = write(gzip.compress(plain.encode()), name)
    assert list(iter_corpus(path)) == [Document("0", "", "x")]
    assert corpus_size(path) == (1, len(plain))


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    table = pa.table(
        {"_id": ["a", "b", "c"], "title": ["T", None, ""], "text": ["x", "y", "z"], "n": [1, 2, 3]}
    )
    pq.write_table(table, tmp_path / "c.parquet", row_group_size=2)
    assert list(iter_corpus(tmp_path / "c.parquet")) == [("a", "T", "x"), ("b", "", "y"), ("c", "", "z")]
    assert count_documents(tmp_path / "c.parquet") == 3


def test_parquet_with_integer_ids_and_its_faults(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "c.parquet"
    pq.write_table(pa.table({"id": [3, 3], "text": ["x", "y"]}), path)
    assert next(iter_corpus(path)).id == "3"
    with pytest.raises(errors.DuplicateIdError, match=r":2: id '3' .*line 1"):
        list(iter_corpus(path))
    pq.write_table(pa.table({"id": ["a", None], "text": ["x", "y"]}), path)
    with pytest.raises(errors.MalformedFileError, match="row 2: has no id"):
        list(iter_corpus(path))
    pq.write_table(pa.table({"id": [1], "body_text": ["x"]}), path)
    with pytest.raises(errors.MalformedFileError, match=r"no text column.*'body_text'"):
        list(iter_corpus(path))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(errors.MalformedFileError, match="no complete Parquet"):
        list(iter_corpus(path))


def test_streams_and_does_not_read_ahead(write):
    documents = iter_corpus(write(jsonl({"_id": "a", "text": "x"}) + "broken\n"))
    assert next(documents).id == "a"
    with pytest.raises(errors.MalformedFileError, match=r"corpus\.jsonl:2: "):
        next(documents)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", r"not a JSON object"),
        ('{"_id": "a", "text": "x"', r"not a JSON object"),
        ("[1, 2]", r"a JSON array, not an object"),
        ("3", r"a JSON number"),
        ("null", r"a JSON null"),
        ('{"text": "x"}', r"has no id; one of '_id', 'id'.*found 'text'"),
        ('{"_id": null, "text": "x"}', r"has no id"),
        ('{"_id": "", "text": "x"}', r"the id is blank"),
        ('{"_id": 1.5, "text": "x"}', r"the id is a JSON number"),
        ('{"_id": true, "text": "x"}', r"the id is a JSON boolean"),
        ('{"_id": "a"}', r"has no text; one of 'text', 'contents'.*found '_id'"),
        ('{"_id": "a", "text": 3}', r"'text' is a JSON number"),
        ('{"_id": "a", "text": ["x"]}', r"'text' is a JSON array"),
        ('{"_id": "a", "text": "x", "title": {}}', r"'title' is a JSON object"),
        ('{"_id": "a", "text": "\\ud83d"}', r"half of a surrogate pair \(\\ud83d\)"),
        ('{"_id": "\\uDE42", "text": "x"}', r"half of a surrogate pair"),
        ("[" * 100_000, r"not a JSON object"),
    ],
)
def test_malformed_lines_are_named_by_file_and_line(write, line, message):
    path = write(jsonl({"_id": "ok", "text": "x"}) + "\n" + line + "\n")
    with pytest.raises(errors.MalformedFileError, match=r"corpus\.jsonl:3: .*" + message):
        list(iter_corpus(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\tone\n2\n", r":2: has 1 tab-separated columns, the lines before have 2"),
        ("1\tone\n2\ta\tb\n", r":2: has 3 tab-separated columns, the lines before have 2"),
        ("only\n", r":1: has 1 tab-separated columns, needed are 2"),
        ("1\t2\t3\t4\n", r":1: has 4 tab-separated columns"),
        ("1\tone\n\ttwo\n", r":2: the id is blank"),
    ],
)
def test_malformed_tsv(write, text, message):
    with pytest.raises(errors.MalformedFileError, match=r"c\.tsv" + message):
        list(iter_corpus(write(text, "c.tsv")))


def test_latin1(write):
    path = write(b'{"_id": "a", "text": "caf\xe9"}\n')
    with pytest.raises(errors.MalformedFileError, match=r"corpus\.jsonl:1: byte 26 .*not UTF-8"):
        list(iter_corpus(path))


def test_duplicate_id_names_both_lines(write):
    path = write(
        jsonl({"_id": "a", "text": "x"}, {"_id": "b", "text": "y"}) + "\n" + jsonl({"_id": "a", "text": "z"})
    )
    with pytest.raises(errors.DuplicateIdError, match=r"corpus\.jsonl:4: id 'a' was already used in line 1"):
        list(iter_corpus(path))


def test_string_and_integer_spelling_of_one_id_are_the_same(write):
    with pytest.raises(errors.DuplicateIdError, match="'7'"):
        list(iter_corpus(write(jsonl({"_id": 7, "text": "x"}, {"_id": "7", "text": "y"}))))


def test_a_collision_of_hashes_is_no_duplicate(write, monkeypatch):
    monkeypatch.setattr(unique, "hash", lambda item: 5, raising=False)
    path = write(jsonl(*({"_id": str(i), "text": "x"} for i in range(5))))
    assert [doc.id for doc in iter_corpus(path)] == list("01234")


EMPTY = jsonl(
    {"_id": "a", "text": "x"},
    {"_id": "b", "title": " ", "text": "\t"},
    {"_id": "c", "title": "T", "text": ""},
)


def test_empty_document_policies(write):
    path = write(EMPTY)
    with pytest.raises(errors.EmptyInputError, match=r"corpus\.jsonl:2: document 'b' .*skip.*keep"):
        list(iter_corpus(path))
    assert [doc.id for doc in iter_corpus(path, empty_documents="skip")] == ["a", "c"]
    assert [doc.id for doc in iter_corpus(path, empty_documents="keep")] == ["a", "b", "c"]
    with pytest.raises(errors.UsageError, match="'drop' is unknown; known are: fail, skip, keep"):
        iter_corpus(path, empty_documents="drop")


@pytest.mark.parametrize("name", ["c.jsonl", "c.tsv", "c.txt"])
def test_no_documents(write, name):
    with pytest.raises(errors.EmptyInputError, match="0 documents"):
        list(iter_corpus(write("", name)))


def test_only_empty_documents_skipped_is_an_empty_stream(write):
    assert list(iter_corpus(write('{"_id": "a", "text": ""}\n'), empty_documents="skip")) == []


def test_errors_of_the_path_come_at_once(tmp_path, write):
    with pytest.raises(errors.MissingInputError, match="does not exist"):
        iter_corpus(tmp_path / "absent.jsonl")
    write("x", "docs.md")
    write("x", "queries.jsonl")
    with pytest.raises(errors.MissingInputError, match=r"no corpus\.jsonl.*docs\.md, queries\.jsonl"):
        iter_corpus(tmp_path)


def test_unknown_format(write):
    with pytest.raises(errors.UsageError, match=r"cannot tell the format.*\.jsonl"):
        list(iter_corpus(write("x", "corpus.docx")))


def test_foreign_content(write):
    with pytest.raises(errors.MalformedFileError, match=r"Parquet file.*name it \.parquet"):
        list(iter_corpus(write(b"PAR1\x15\x00\x15", "corpus.jsonl")))


def test_lfs_pointer(write):
    with pytest.raises(errors.MalformedFileError, match="git lfs pull"):
        list(iter_corpus(write("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n")))


def test_corpus_size_counts_documents_and_bytes(write):
    text = EMPTY.replace("\n", "\n\n", 1)
    assert corpus_size(write(text)) == (3, len(text))
    assert count_documents(write("id\ttext\n1\tx\n", "c.tsv")) == 1
    assert count_documents(write("id\ttext\n", "c.tsv")) == 0
    assert count_documents(write("a\n\nb", "c.txt")) == 3


def test_fingerprint_of_folder_and_file(write):
    path = write(EMPTY)
    assert corpus_fingerprint(path) == corpus_fingerprint(path.parent)


def test_shared_scifact(shared_data):
    documents = list(iter_corpus(shared_data / "scifact"))
    assert len(documents) == len({doc.id for doc in documents}) == 5183
    assert count_documents(shared_data / "scifact") == 5183


def test_shared_cranfield_names_its_empty_document(shared_data):
    with pytest.raises(errors.EmptyInputError, match="document '471'"):
        list(iter_corpus(shared_data / "cranfield"))
    assert sum(1 for _ in iter_corpus(shared_data / "cranfield", empty_documents="skip")) == 1398


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["c.jsonl", "c.tsv", "c.txt", "c.jsonl.gz", "c.parquet"]),
    st.one_of(
        st.binary(max_size=60), st.text(alphabet='{}[]":,\\\t\r\n_idtex\x00é', max_size=40).map(str.encode)
    ),
    st.booleans(),
)
def test_any_bytes_give_documents_or_a_typed_error(tmp_path_factory, name, data, compress):
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path_factory.mktemp("fuzz") / name
    path.write_bytes(gzip.compress(data) if compress else data)
    try:
        documents = list(iter_corpus(path, empty_documents="keep"))
    except errors.InputError as exc:
        assert name in str(exc)
    else:
        assert len({doc.id for doc in documents}) == len(documents) > 0
