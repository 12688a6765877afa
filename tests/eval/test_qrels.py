import gzip

import numpy as np
import pytest

from cluscomp import errors
from cluscomp.eval import read_qrels
from cluscomp.eval.qrels import level_of


@pytest.fixture
def write(tmp_path):
    def write(text, name="test.tsv"):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


HEADER = "query-id\tcorpus-id\tscore\n"
EXPECTED = {"q1": {"d1": 1, "d2": 0}, "q2": {"d1": 3}}


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "q1\td1\t1\nq1\td2\t0\nq2\td1\t3\n",
        "q1\td1\t1\nq1\td2\t0\nq2\td1\t3",
        "q1 0 d1 1\nq1 0 d2 0\nq2 0 d1 3\n",
        "q1\t0\td1\t1\nq1\t0\td2\t0\nq2\t0\td1\t3\n",
        "\ufeff" + HEADER.replace("\n", "\r\n") + "q1\td1\t1\r\n\r\nq1\td2\t0\r\nq2\td1\t3\r\n\n",
        "q1   0  d1\t1\n".replace("\t", "  ") + "q1 0 d2 0\nq2 0 d1 3\n",
    ],
    ids=["beir", "no header", "trec", "ms marco", "crlf bom blank", "wide trec"],
)
def test_layouts(write, text):
    assert read_qrels(write(text)) == EXPECTED


def test_gzip(write):
    assert read_qrels(write(gzip.compress(b"q1\td1\t1\n"), "test.tsv.gz")) == {"q1": {"d1": 1}}


def test_ids_with_blanks_and_unicode(write):
    path = write(HEADER + "query_0\tGeneva Durben\t1\nfrage ä\tdoc\u2028文\t-1\n")
    assert read_qrels(path) == {"query_0": {"Geneva Durben": 1}, "frage ä": {"doc\u2028文": -1}}


def test_whole_numbers_may_have_a_point(write):
    text = "q\ta\t1.0\nq\tb\t-2.00\nq\tc\t 0\nq\td\t3e0\n"
    assert read_qrels(write(text)) == {"q": {"a": 1, "b": -2, "c": 0, "d": 3}}


@pytest.mark.parametrize("level", ["0.5", "1.9", "nan", "inf", "1e400", "high", "", "0x1", "one"])
def test_what_is_no_whole_number_is_refused(write, level):
    with pytest.raises(errors.MalformedFileError, match="is not an integer; levels are whole numbers"):
        read_qrels(write(f"q\ta\t1\nq\tb\t{level}\n"))


@pytest.mark.parametrize(
    ("value", "level"),
    [(1, 1), (1.0, 1), (np.float32(2), 2), (np.int8(-1), -1), ("2.0", 2), (0.5, None), (1.9, None), (None, None),
     (float("nan"), None), ([1], None)],
)  # fmt: skip
def test_levels_of_tables(value, level):
    assert level_of(value) == level


def test_equal_repetitions_are_accepted(write):
    assert read_qrels(write("q\td\t1\nq\td\t1\n")) == {"q": {"d": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q\td\t1\nq\td\t2\n", r":2: document 'd' is judged 2 .*, and 1"),
        (HEADER + "q\td\thigh\n", r":2: relevance 'high'"),
        ("q\td\t1.5\n", r":1: relevance '1.5'"),
        ("q\td\t1\nq\td\n", r":2: has 2 columns, the lines before have 3"),
        ("q d\n", r":1: has 2 columns; needed are 3"),
        ("\td\t1\n", r":1: the query id is empty"),
        ("q\t\t1\n", r":1: the document id is empty"),
    ],
)
def test_faults_are_named_by_file_and_line(write, text, message):
    with pytest.raises(errors.MalformedFileError, match=r"test\.tsv" + message):
        read_qrels(write(text))


@pytest.mark.parametrize("text", ["", HEADER, "\n\n"])
def test_nothing_inside(write, text):
    with pytest.raises(errors.EmptyInputError, match="0 judgements"):
        read_qrels(write(text))


def test_missing_file_names_the_nearest(write):
    write("q\td\t1\n", "test.tsv")
    with pytest.raises(errors.MissingInputError, match=r"did you mean .*test\.tsv"):
        read_qrels(write("", "x").parent / "tst.tsv")
