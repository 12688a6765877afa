"""The program: exit codes, signals, what it says."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
from server_waits import wait_until
from typer.testing import CliRunner

from cluscomp.cli.main import app
from cluscomp.server.client import Client


@pytest.fixture
def program():
    """program(*flags) starts `cluscomp serve` on a free port: (process, url)."""
    started = []

    def start(*flags):
        command = [sys.executable, "-m", "cluscomp", "serve", *map(str, flags), "--port", "0"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        line = process.stderr.readline()
        found = re.match(r"(http://\S+) serves", line)
        assert found, line + process.stderr.read()
        return process, found[1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def refused(*flags):
    found = CliRunner().invoke(app, ["serve", *map(str, flags)])
    return found.exit_code, found.stderr


def test_sigterm_ends_what_is_under_way_and_exits_with_0(program, folder, queries):
    """The request waits for company for a second; meanwhile the signal comes."""
    process, url = program(f"small={folder}", "--batch-wait", "1s")
    answers = []
    with Client(url) as client:
        asking = threading.Thread(target=lambda: answers.append(client.search("small", queries[:2], 3)))
        asking.start()
        with Client(url) as other:
            wait_until(lambda: "cluscomp_queue_depth 1.0" in other._client.get("/metrics").text)
        process.send_signal(signal.SIGTERM)
        asking.join(20)
    assert process.wait(20) == 0 and process.stderr.read() == ""  # native objects are gone, too
    assert answers[0][0].shape == (2, 3)


def test_ctrl_c_is_told_by_the_exit_code(program, folder):
    process, _ = program(folder)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130


def test_a_second_signal_ends_at_once(program, folder, queries):
    process, url = program(f"small={folder}", "--batch-wait", "60s", "--timeout", "60s")
    with Client(url) as client, Client(url) as other:
        asking = threading.Thread(
            target=lambda: np.testing.assert_raises(Exception, client.search, "small", queries[:1], 1)
        )
        asking.start()
        wait_until(lambda: "cluscomp_queue_depth 1.0" in other._client.get("/metrics").text)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not listens(url))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
        asking.join(20)


def listens(url):
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def test_wrong_flags_are_exit_2_and_missing_indexes_5(folder, tmp_path):
    short = tmp_path / "short"
    short.write_text("abc")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for flags, words in (
            ((), "nothing to serve"),
            ((folder, "--host", "0.0.0.0"), "--read-token-file"),
            ((folder, "--read-token-file", short), "3 bytes"),
            ((folder, "--timeout", "soon"), "write a time"),
            ((folder, "--port", taken.getsockname()[1]), "cannot listen"),
        ):
            code, said = refused(*flags)
            assert code == 2 and words in said, said
    assert refused(tmp_path / "none")[0] == 5
