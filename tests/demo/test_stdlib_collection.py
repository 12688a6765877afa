from __future__ import annotations

import ast
import json
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluscomp import errors
from cluscomp.demo import build_stdlib_collection
from cluscomp.demo.stdlib_collection import split_docstring
from cluscomp.demo.stdlib_source import stdlib_entries


@pytest.fixture(scope="session")
def collection(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stdlib") / "collection"
    return build_stdlib_collection(folder)


def read(folder):
    corpus = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text().splitlines()]
    qrels = [line.split("\t") for line in (folder / "qrels" / "test.tsv").read_text().splitlines()]
    return corpus, queries, qrels


def test_size_and_layout(collection):
    corpus, queries, qrels = read(collection.folder)
    assert 3000 <= collection.n_documents == len(corpus) <= 5000
    assert 300 <= collection.n_queries == len(queries) <= 500
    assert qrels[0] == ["query-id", "corpus-id", "score"]
    ids = {document["_id"] for document in corpus}
    assert len(ids) == len(corpus) and len({query["_id"] for query in queries}) == len(queries)
    assert [(row[0], row[2]) for row in qrels[1:]] == [(query["_id"], "1") for query in queries]
    assert all(row[1] in ids for row in qrels[1:])
    assert not ids & {query["_id"] for query in queries}, "BEIR drops hits whose id is the query's"


def test_queries_are_worth_asking_and_unambiguous(collection):
    _, queries, _ = read(collection.folder)
    texts = [query["text"].casefold() for query in queries]
    assert len(set(texts)) == len(texts)
    assert all(len(text.split()) >= 2 and len(text) <= 200 for text in texts)


def test_no_document_holds_its_query(collection):
    corpus, queries, qrels = read(collection.folder)
    texts = {document["_id"]: document["text"] for document in corpus}
    asked = {query["_id"]: query["text"] for query in queries}
    given_away = [row for row in qrels[1:] if asked[row[0]] in texts[row[1]]]
    assert not given_away


def test_documents_are_short_and_not_empty(collection):
    corpus, _, _ = read(collection.folder)
    assert all(60 <= len(document["text"]) <= 450 for document in corpus)
    assert all(document["title"] == document["_id"] for document in corpus)


def test_real_sources_are_read():
    folder = Path(sysconfig.get_paths()["stdlib"]) / "json"
    entries = {entry.name: entry for entry in stdlib_entries(folder)}
    assert "decoder.JSONDecoder.raw_decode" in entries
    assert entries["scanner.py_make_scanner"].signature == "def py_make_scanner(context):"
    assert not any("._" in name for name in entries)


def test_same_python_same_bytes(collection, tmp_path):
    build_stdlib_collection(tmp_path / "again")
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv", "collection.json"):
        assert (tmp_path / "again" / name).read_bytes() == (collection.folder / name).read_bytes()


# ---- with a small library --------------------------------------------------------------------------

SOURCE = '''
def shout(text, *, loud=True):
    """Turn a text into capital letters. Punctuation is kept as it is, and so are digits and white space."""
    return text.upper()

def whisper(text):
    """whisper(text) -> str

    Turn a text into small letters.
    """
    lowered = text.lower()
    return lowered if lowered else "nothing to whisper about"

def _hidden():
    """Never found by anybody at all."""

def hum(tune, *, length_of_the_hum_in_seconds=10, volume=0.5, breath=None): return tune

class Voice(object):
    """A voice that can say things. It has a pitch and a volume, both in units of its own choosing."""

    def say(self, text):
        """Say a text with this voice. The text is said once, and the number of words said is returned."""
        return len(text.split())
'''


@pytest.fixture
def library(tmp_path, monkeypatch):
    folder = tmp_path / "library"
    (folder / "tests").mkdir(parents=True)
    (folder / "sound").mkdir()
    (folder / "sound" / "__init__.py").write_text(SOURCE)
    (folder / "tests" / "test_sound.py").write_text(SOURCE)
    (folder / "broken.py").write_text("def f(:\n")
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(folder)})
    return folder


def test_small_library_by_hand(library, tmp_path):
    info = build_stdlib_collection(tmp_path / "out")
    corpus, queries, _ = read(tmp_path / "out")
    texts = {document["_id"]: document["text"] for document in corpus}
    assert texts == {
        "sound.Voice": "class Voice(object): It has a pitch and a volume, both in units of its own choosing.",
        "sound.Voice.say": "def say(self, text): The text is said once, and the number of words said is returned.",
        "sound.shout": "def shout(text, *, loud=True): Punctuation is kept as it is, and so are digits and white space.",
        "sound.hum": "def hum(tune, *, length_of_the_hum_in_seconds=10, volume=0.5, breath=None): return tune",
        "sound.whisper": 'def whisper(text): lowered = text.lower() return lowered if lowered else "nothing to whisper about"',
    }
    assert {query["_id"]: query["text"] for query in queries} == {
        "q:sound.Voice": "A voice that can say things.",
        "q:sound.Voice.say": "Say a text with this voice.",
        "q:sound.shout": "Turn a text into capital letters.",
        "q:sound.whisper": "Turn a text into small letters.",
    }
    assert (info.n_documents, info.n_queries) == (5, 4)


def test_first_sentence_shared_by_two_is_no_query(library, tmp_path):
    (library / "echo.py").write_text(SOURCE)
    assert build_stdlib_collection(tmp_path / "out").n_queries == 0
    assert len(read(tmp_path / "out")[0]) == 10


def test_limits(library, tmp_path):
    info = build_stdlib_collection(tmp_path / "out", max_documents=3, max_queries=2)
    assert (info.n_documents, info.n_queries) == (3, 2)
    with pytest.raises(errors.UsageError, match="max_queries must be .* but is 0"):
        build_stdlib_collection(tmp_path / "out", max_queries=0)


def test_second_call_reuses_and_other_numbers_rebuild(library, tmp_path):
    folder = tmp_path / "out"
    first = build_stdlib_collection(folder)
    stamp = (folder / "corpus.jsonl").stat().st_mtime_ns
    assert build_stdlib_collection(folder) == first
    assert (folder / "corpus.jsonl").stat().st_mtime_ns == stamp
    assert build_stdlib_collection(folder, max_documents=2).n_documents == 2
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".partial")] == []


def test_foreign_folder_is_left_alone(library, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(errors.OutputExistsError, match="something else"):
        build_stdlib_collection(tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"


def test_failure_leaves_the_old_collection(library, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    build_stdlib_collection(folder)
    before = (folder / "corpus.jsonl").read_bytes()
    monkeypatch.setattr("cluscomp.demo.beir_folder.query_id", lambda document: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_stdlib_collection(folder, max_documents=1)
    assert (folder / "corpus.jsonl").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["library", "out"]


def test_python_without_sources(tmp_path, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(errors.MissingInputError, match=r"\.py files"):
        build_stdlib_collection(tmp_path / "out")


@pytest.mark.parametrize(
    ("docstring", "sentence", "rest"),
    [
        ("", "", ""),
        ("One only", "One only", ""),
        ("First one. Then more.", "First one.", "Then more."),
        ("First line\ngoes on here.\n\nRest.", "First line goes on here.", "Rest."),
        ("Uses e.g. lower case after stops. Next.", "Uses e.g. lower case after stops.", "Next."),
        ("f(x, y) -> int\n\nAdds two numbers. Slowly.", "Adds two numbers.", "Slowly."),
        ("No stop at the end\n\nBut a paragraph.", "No stop at the end", "But a paragraph."),
    ],
)
def test_split_docstring(docstring, sentence, rest):
    assert split_docstring(docstring) == (sentence, rest)


@given(st.text(alphabet="aB .!?\n()`"))
def test_split_docstring_loses_nothing_but_white_space(docstring):
    sentence, rest = split_docstring(docstring)
    joined = "".join((sentence + rest).split())
    assert "".join(docstring.split()).endswith(joined)


@given(st.text(alphabet="ab.( \n", max_size=30))
def test_any_docstring_can_be_read(text):
    source = f"def f():\n    {text!r}\n    return 1\n"
    assert split_docstring(ast.get_docstring(ast.parse(source).body[0]) or "") is not None
