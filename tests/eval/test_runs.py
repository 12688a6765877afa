import errno
import gzip
import os
import stat

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluscomp import errors
from cluscomp.eval import evaluate_per_query, read_run, write_run
from cluscomp.eval.ranking import rank_documents

IDS = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters=" \t\n\r\x0b\x0c"),
    min_size=1,
    max_size=6,
)
SCORES = st.one_of(st.sampled_from([0.0, 1.0, -0.5]), st.floats(allow_nan=False))


def test_lines_as_trec_eval_reads_them(tmp_path):
    path = tmp_path / "run.trec"
    write_run({"q1": {"a": 0.5, "b": 1.0, "c": 0.5}, "q2": {"x": -3.0}}, path, tag="ours")
    assert path.read_text() == (
        "q1 Q0 b 1 1.0 ours\nq1 Q0 c 2 0.5 ours\nq1 Q0 a 3 0.5 ours\nq2 Q0 x 1 -3.0 ours\n"
    )


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(IDS, st.dictionaries(IDS, SCORES, min_size=1, max_size=8), max_size=4))
def test_round_trip_keeps_values_and_order(tmp_path_factory, run):
    path = tmp_path_factory.mktemp("runs") / "run.trec"
    write_run(run, path)
    back = read_run(path)
    assert back == run
    for query, scores in run.items():
        assert list(back[query]) == rank_documents(scores) == rank_documents(back[query])


def test_float32_scores_read_back_as_the_same_float32(tmp_path, rng):
    scores = rng.normal(size=200).astype(np.float32)
    run = {"q": {str(i): score for i, score in enumerate(scores)}}
    write_run(run, tmp_path / "r")
    back = read_run(tmp_path / "r")["q"]
    assert np.array_equal(np.float32([back[str(i)] for i in range(200)]), scores)


def test_pytrec_eval_reads_the_file_to_the_same_figures(tmp_path, rng):
    pytrec_eval = pytest.importorskip("pytrec_eval")
    run = {f"q{i}": {f"d{j}": float(np.round(rng.normal(), 1)) for j in range(50)} for i in range(10)}
    qrels = {f"q{i}": {f"d{j}": int(rng.integers(0, 3)) for j in range(20)} for i in range(10)}
    write_run(run, tmp_path / "run.trec")
    with (tmp_path / "run.trec").open() as handle:
        theirs = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(
            pytrec_eval.parse_run(handle)
        )
    ours = evaluate_per_query(run, qrels, ("ndcg@10",))
    for query in qrels:
        assert ours[query]["ndcg@10"] == pytest.approx(theirs[query]["ndcg_cut_10"], abs=1e-12)


def test_scores_descend_down_the_file(tmp_path, rng):
    write_run({"q": {str(i): float(rng.normal()) for i in range(300)}}, tmp_path / "r")
    rows = [line.split() for line in (tmp_path / "r").read_text().splitlines()]
    assert [int(row[3]) for row in rows] == list(range(1, 301))
    values = [float(row[4]) for row in rows]
    assert values == sorted(values, reverse=True)


def test_an_iterable_is_written_as_it_comes(tmp_path):
    write_run(((f"q{i}", {"d": float(i)}) for i in range(3)), tmp_path / "r")
    assert read_run(tmp_path / "r") == {f"q{i}": {"d": float(i)} for i in range(3)}


def test_gzip_round_trip_and_equal_bytes(tmp_path):
    run = {"q": {"d": 1.0}}
    write_run(run, tmp_path / "a.trec.gz")
    write_run(run, tmp_path / "b.trec.gz")
    data = (tmp_path / "a.trec.gz").read_bytes()
    assert gzip.decompress(data) == b"q Q0 d 1 1.0 cluscomp\n"
    assert data == (tmp_path / "b.trec.gz").read_bytes()
    assert read_run(tmp_path / "a.trec.gz") == run


def test_reader_takes_tabs_crlf_bom_blank_lines_and_mixed_queries(tmp_path):
    path = tmp_path / "r"
    path.write_bytes("\ufeffq1\tQ0\tä\t1\t2e0\tt\r\n\r\nq2 Q0 b 1 1 t\r\n  q1  Q0  c  2  -inf  t\n".encode())
    assert read_run(path) == {"q1": {"ä": 2.0, "c": -np.inf}, "q2": {"b": 1.0}}


def test_empty_run(tmp_path):
    write_run({}, tmp_path / "r")
    assert (tmp_path / "r").read_bytes() == b""
    assert read_run(tmp_path / "r") == {}


@pytest.mark.parametrize(
    ("line", "fault", "message"),
    [
        (b"q Q0 d 1 1.0", errors.MalformedFileError, r":2: has 5 columns, 6"),
        (b"q Q0 two words 1 1.0 t", errors.MalformedFileError, r":2: has 7 columns, 6"),
        (b"q Q0 e 1 high t", errors.MalformedFileError, r":2: score 'high'"),
        (b"q Q0 e 1 nan t", errors.MalformedFileError, r":2: score 'nan'"),
        (b"q Q0 \xff 1 1.0 t", errors.MalformedFileError, r":2: an id is not UTF-8"),
        (b"q Q0 d 9 0.1 t", errors.DuplicateIdError, r":2: document 'd' is listed twice for query 'q'"),
    ],
)
def test_faults_are_named_by_file_and_line(tmp_path, line, fault, message):
    path = tmp_path / "bad.trec"
    path.write_bytes(b"q Q0 d 1 1.0 t\n" + line + b"\n")
    with pytest.raises(fault, match=r"bad\.trec" + message):
        read_run(path)


@pytest.mark.parametrize("bad", ["two words", "tab\tid", "line\nid", "cr\rid", ""])
def test_ids_the_format_cannot_hold_are_refused_and_nothing_is_written(tmp_path, bad):
    path = tmp_path / "run.trec"
    path.write_text("old")
    for run in ({"q": {bad: 1.0, "d": 2.0}}, {bad: {"d": 1.0}}):
        with pytest.raises(errors.InputError, match="white space|empty"):
            write_run(run, path)
    with pytest.raises(errors.InputError, match="tag"):
        write_run({"q": {"d": 1.0}}, path, tag=bad)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["run.trec"]


def test_ids_with_unicode_blanks_survive(tmp_path):
    run = {"q\u00a0x": {"a\u2003b": 1.0, "c\x1cd": 0.5}}
    write_run(run, tmp_path / "r")
    assert read_run(tmp_path / "r") == run


def test_lone_surrogate(tmp_path):
    with pytest.raises(errors.InputError, match="no valid text"):
        write_run({"q": {"\ud800": 1.0}}, tmp_path / "r")
    assert os.listdir(tmp_path) == []


def test_a_failing_producer_leaves_the_old_file(tmp_path):
    path = tmp_path / "run.trec"
    path.write_text("old")

    def results():
        yield "q1", {"d": 1.0}
        raise RuntimeError("search failed")

    with pytest.raises(RuntimeError, match="search failed"):
        write_run(results(), path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["run.trec"]


def test_nan_score_is_refused(tmp_path):
    with pytest.raises(errors.NonFiniteError, match="'q'.*'d'"):
        write_run({"q": {"d": float("nan")}}, tmp_path / "r")


def test_missing_folder(tmp_path):
    with pytest.raises(errors.MissingInputError, match="absent"):
        write_run({}, tmp_path / "absent" / "r")


def test_full_disk(tmp_path, monkeypatch):
    def fsync(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(errors.DiskFullError, match="is full"):
        write_run({"q": {"d": 1.0}}, tmp_path / "r")
    assert os.listdir(tmp_path) == []


def test_permissions_follow_the_umask(tmp_path):
    previous = os.umask(0o027)
    try:
        write_run({"q": {"d": 1.0}}, tmp_path / "r")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "r").stat().st_mode) == 0o640


def test_foreign_file(tmp_path):
    np.save(tmp_path / "run.npy", np.zeros((2, 2)))
    with pytest.raises(errors.MalformedFileError, match=r"NumPy \.npy"):
        read_run(tmp_path / "run.npy")


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text(alphabet="q0 1.\te\r\n-naif", max_size=60).map(str.encode)))
def test_any_bytes_give_a_run_or_a_typed_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "run.trec"
    path.write_bytes(data)
    try:
        run = read_run(path)
    except errors.InputError as exc:
        assert "run.trec" in str(exc)
    else:
        assert all(scores for scores in run.values())
