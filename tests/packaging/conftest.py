"""Tests of the source tree itself; they skip where the suite runs without one, against an installed wheel."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

MISSING = re.compile(r"OptionalDependencyError: the package '([\w.]+)'")


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the source tree."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file():
        pytest.skip("the suite runs without the source tree")
    return root


@pytest.fixture
def run_script():
    """run_script(code, folder) runs Python there, our commands on the path, and returns what it prints.

    Skips where an optional package is missing that the code needs.
    """

    def run(code: str, folder: Path) -> str:
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"PATH": programs},
            capture_output=True,
            text=True,
            check=False,
        )
        missing = MISSING.search(done.stderr)
        if missing and importlib.util.find_spec(missing[1]) is None:
            pytest.skip(f"the example needs {missing[1]}")
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
