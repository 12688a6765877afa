"""Streams of commands: closed ones, readers that leave, terminals, "-" and "~", outputs that are inputs."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import numpy as np
import pytest

import cluscomp as cc

PROGRAM = [sys.executable, "-m", "cluscomp"]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """A Flat index of three unit vectors with ids that a terminal or a run file cannot take as they are."""
    folder = tmp_path_factory.mktemp("index")
    ids = ["plain", "two words", "\x1b[31mred\x07\x9b"]
    cc.index_factory("Flat", 3).add(np.eye(3, dtype="f4"), ids=ids).save(folder / "x")
    np.save(folder / "q.npy", np.eye(3, dtype="f4")[:1])
    np.save(folder / "r.npy", np.eye(3, dtype="f4")[2:])
    return folder


def shell(script, **more):
    """Exit codes of a line of shell in which $PROGRAM runs a command."""
    environment = dict(os.environ, PROGRAM=" ".join(PROGRAM), **more)
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=environment, timeout=120, check=False
    )


@pytest.mark.parametrize(
    ("script", "code"),
    [("$PROGRAM --version >&-", 0), ("$PROGRAM doctor --json >&-", 0), ("$PROGRAM doctor 2>&-", 0),
     ("$PROGRAM doctor <&- >&- 2>&-", 0), ("$PROGRAM inspect /no/index >&-", 5), ("$PROGRAM inspect /no/index 2>&-", 5),
     ("$PROGRAM no-such-command 2>&-", 2)],
)  # fmt: skip
def test_closed_streams_change_no_exit_code(script, code):
    done = shell(script)
    assert done.returncode == code, done.stderr


def test_a_file_does_not_become_the_closed_stdout(index, tmp_path):
    """The first file that a program opens gets the lowest free number, which print would then write into."""
    script = (
        f"$PROGRAM search {index}/x --query-embeddings {index}/q.npy -k 1 -o {tmp_path}/run.trec >&- 2>&-"
    )
    assert shell(script).returncode == 0
    assert (tmp_path / "run.trec").read_text() == "0 Q0 plain 1 1.0 cluscomp\n"


@pytest.mark.parametrize("command", ["--help", "--version", "doctor", "search --help", "inspect INDEX"])
def test_a_reader_that_leaves_ends_the_command_as_a_signal_would(command, index):
    command = command.replace("INDEX", str(index / "x"))
    done = shell(f"$PROGRAM {command} | true; echo ${{PIPESTATUS[0]}}")
    assert (
        done.stdout.split()[-1] == "141" and "Traceback" not in done.stderr and "Exception" not in done.stderr
    )


def test_nobody_reads_the_notes_and_the_work_goes_on(index, tmp_path):
    build = f"build-index --embeddings {index}/q.npy --index-key Flat --output {tmp_path}/x"
    done = shell(f"{{ $PROGRAM {build} 2>&1 >/dev/null; echo $? > {tmp_path}/code; }} | true")
    assert (tmp_path / "code").read_text() == "0\n" and len(cc.open_index(tmp_path / "x")) == 1, done.stderr


def test_a_full_device_is_said(index):
    done = shell(f"$PROGRAM search {index}/x --query-embeddings {index}/q.npy -k 1 > /dev/full")
    assert done.returncode == 3 and "the disk is full" in done.stderr


def on_terminal(*args, columns="100"):
    """What a command shows where stdout and stderr are a terminal."""
    mine, theirs = pty.openpty()
    environment = dict(os.environ, COLUMNS=columns, TERM="dumb")
    done = subprocess.Popen([*PROGRAM, *map(str, args)], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(mine, 1 << 16):
            shown += part
    except OSError:
        pass  # the other side has closed
    os.close(mine)
    assert done.wait(timeout=60) in (0, 2, 4, 5)
    return shown.decode()


def test_control_characters_of_ids_are_symbols_on_a_terminal(index):
    shown = on_terminal("search", index / "x", "--query-embeddings", index / "r.npy", "-k", "1", "--json")
    assert (
        json.loads(shown[shown.index("{") :]) == {"0": {"\x1b[31mred\x07\x9b": 1.0}}
        and "\x1b" not in shown
        and "\x9b" not in shown
    )
    shown = on_terminal("inspect", index / "\x1b[31mno")
    assert "␛[31mno" in shown and "\x1b[31m" not in shown


def test_texts_reach_a_terminal_as_text_and_a_pipe_as_they_are(monkeypatch, capsys):
    from cluscomp.cli import output

    class Terminal:
        def isatty(self):
            return True

    text = "a\x1b]0;title\x07\tb\x00\x7f\x85\n\u200b"
    assert output.readable(text, Terminal()) == "a␛]0;title␇\tb␀␡�\n\u200b"
    output.result(text)
    assert capsys.readouterr().out == text + "\n"


@pytest.mark.parametrize("command", [["doctor"], ["keys"]])
def test_tables_of_narrow_terminals_keep_names(command):
    shown = on_terminal(*command, columns="20")
    wide = on_terminal(*command, columns="200")
    assert "…" not in shown
    names = [line.split()[0] for line in wide.splitlines() if line.strip()]
    assert names and all(name in shown for name in names)


@pytest.mark.parametrize("where", [[], ["-o", "-"], ["-o", "FILE"]])
def test_ids_with_blanks_are_refused_in_every_run(index, tmp_path, where):
    where = [str(tmp_path / "run.trec") if part == "FILE" else part for part in where]
    command = [*PROGRAM, "search", index / "x", "--query-embeddings", index / "q.npy", "-k", "3", *where]
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 4 and done.stdout == "" and not (tmp_path / "run.trec").exists()
    assert "document id 'two words' of query '0' holds white space" in done.stderr


def test_a_dash_is_standard_output(index, tmp_path):
    done = shell(f"cd {tmp_path} && $PROGRAM search {index}/x --query-embeddings {index}/q.npy -k 1 -o -")
    assert done.stdout == "0 Q0 plain 1 1.0 cluscomp\n" and not any(tmp_path.iterdir())
    done = shell(f"cd {tmp_path} && $PROGRAM build-index --embeddings {index}/q.npy --index-key Flat -o -")
    assert done.returncode == 2 and "--output - is no folder; write ./-" in done.stderr


def test_the_home_folder_after_an_equals_sign(index, tmp_path):
    done = shell(
        f"$PROGRAM search {index}/x --query-embeddings {index}/q.npy -k 1 --output=~/run.trec",
        HOME=str(tmp_path),
    )
    assert done.returncode == 0 and (tmp_path / "run.trec").read_text() == "0 Q0 plain 1 1.0 cluscomp\n", (
        done.stderr
    )


@pytest.mark.parametrize("output", ["q.npy", "link.npy", "x/manifest.json", "x/run.trec", "x"])
def test_no_output_replaces_an_input(index, tmp_path, output):
    import shutil

    shutil.copytree(index, tmp_path / "data")
    (tmp_path / "data" / "link.npy").symlink_to("q.npy")
    before = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    done = shell(f"cd {tmp_path}/data && $PROGRAM search x --query-embeddings q.npy -k 1 -o {output}")
    assert done.returncode == 2 and f"--output {output}" in done.stderr
    assert before == {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}


def test_vectors_inside_the_index_that_would_be_replaced(index, tmp_path):
    import shutil

    shutil.copytree(index / "x", tmp_path / "x")
    shutil.copy(index / "q.npy", tmp_path / "x" / "rows.npy")
    build = "build-index --embeddings x/rows.npy --index-key Flat --if-exists replace -o x"
    done = shell(f"cd {tmp_path} && $PROGRAM {build}")
    assert done.returncode == 2 and "--output x holds the input x/rows.npy" in done.stderr
