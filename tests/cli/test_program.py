"""The program as a whole: help, version, doctor, speed of the start, interruption."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

COMMANDS = ["build-index", "search", "eval", "inspect", "compact", "merge", "doctor", "demo"]


def test_version(program):
    import cluscomp

    done = program("--version")
    assert (done.returncode, done.stdout) == (0, f"cluscomp {cluscomp.__version__}\n")


def test_help_lists_the_commands(invoke):
    shown = invoke("--help").stdout
    assert all(command in shown for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(invoke, command):
    result = invoke(command, "--help", env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for flag in ("--threads", "--config", "--quiet", "--verbose", "--json"):
        assert flag in result.stdout


@pytest.mark.parametrize("args", [["no-such-command"], ["search"], ["doctor", "--no-such-flag"], []])
def test_usage_errors(invoke, args):
    assert invoke(*args).exit_code == 2


def test_start_imports_nothing_heavy():
    code = "import sys, cluscomp.cli.main; print([m for m in ('numpy', 'torch', 'sqlite3', 'cluscomp._core') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_building_from_vectors_needs_no_torch(program, vectors, tmp_path):
    code = (
        "import sys; sys.modules.update(torch=None, transformers=None, sentence_transformers=None, pyarrow=None)\n"
        "from cluscomp.cli.main import run; run()"
    )
    for args in (["build-index", "--embeddings", vectors, "--index-key", "PQ4x4", "--output", tmp_path / "i"],
                 ["search", tmp_path / "i", "--query-embeddings", vectors, "-k", "1"], ["inspect", tmp_path / "i"]):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


class TestDoctor:
    """What is active on this machine."""

    def test_json(self, program):
        done = program("doctor", "--json", "--threads", "1")
        assert done.returncode == 0, done.stderr
        facts = json.loads(done.stdout)
        assert facts["threads"] == 1
        assert facts["simd"] in facts["simd available"]
        assert facts["numpy"] == np.__version__
        assert facts["packages"].keys() >= {"torch", "faiss-cpu", "pyarrow"}
        assert facts["cuda"] or facts["cuda note"]
        needed = ("fastapi", "uvicorn", "prometheus-client", "httptools")
        lacking = [name for name in needed if facts["packages"][name] is None]
        assert facts["server"].startswith(f"lacks {', '.join(lacking)}" if lacking else "can be started")

    def test_text(self, invoke):
        shown = invoke("doctor").stdout
        for word in ("python", "simd", "threads", "cuda", "cache", "optional package"):
            assert word in shown

    def test_no_colour(self, program):
        assert "\x1b" not in program("doctor").stdout


def test_closed_pipe_is_no_traceback(index, vectors):
    command = f"{sys.executable} -m cluscomp search {index} --query-embeddings {vectors} -k 300 | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr and "error" not in done.stderr
    assert done.stdout.count("\n") == 1


def test_interrupt_leaves_a_build_that_resumes(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((30000, 64)).astype(np.float32))
    command = [sys.executable, "-m", "cluscomp", "build-index", "--embeddings", str(tmp_path / "x.npy"), "--index-key",
               "OPQ16,PQ16", "--output", str(tmp_path / "i")]  # fmt: skip
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    record = tmp_path / ".i.partial" / "stages.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (record.exists() and '"sample"' in record.read_text()):
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    stdout, stderr = running.communicate(timeout=60)
    assert running.returncode == 130, stderr
    assert "--if-exists resume" in stderr and "Traceback" not in stderr
    assert stdout == "" and not (tmp_path / "i").exists()
    assert '"train"' not in record.read_text()


def test_bars_on_a_terminal(vectors, tmp_path):
    pty = pytest.importorskip("pty")
    import os

    parent, child = pty.openpty()
    command = [sys.executable, "-m", "cluscomp", "build-index", "--embeddings", str(vectors), "--index-key", "SQ8",
               "--output", str(tmp_path / "i")]  # fmt: skip
    env = {**os.environ, "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "120"}
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=child, env=env)
    os.close(child)
    shown = b""
    while True:
        try:
            part = os.read(parent, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    stdout, _ = running.communicate()
    assert running.returncode == 0
    assert "300/300" in shown.decode() and b"300/300" not in stdout
    assert not re.search(rb"\x1b\[3[0-9]m", shown)  # NO_COLOR: bars without colours
