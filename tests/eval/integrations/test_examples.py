"""The examples of docs/integrations.md run, each where the package that it is for is installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_pages import python_blocks

PAGE = Path(__file__).resolve().parents[3] / "docs" / "integrations.md"
BLOCKS = python_blocks(PAGE.read_text(encoding="utf-8")) if PAGE.is_file() else []
OFFLINE = {"HF_HUB_OFFLINE": "1", "HAYSTACK_TELEMETRY_ENABLED": "False", "LANGSMITH_TRACING": "false"}


def packages(block: str) -> list[str]:
    """First part of the names of modules that an example imports."""
    lines = [line.split() for line in block.splitlines()]
    return [words[1].split(".")[0] for words in lines if words and words[0] in ("from", "import")]


def test_the_page_has_examples():
    if not PAGE.is_file():
        pytest.skip("the suite runs without the source tree")
    assert BLOCKS


@pytest.mark.parametrize("block", BLOCKS, ids=[packages(block)[0] for block in BLOCKS])
def test_example(block, tmp_path):
    missing = [name for name in packages(block) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the example needs {missing[0]}")
    done = subprocess.run(
        [sys.executable, "-c", block],
        cwd=tmp_path,
        env=os.environ | OFFLINE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
