"""The README's examples run: every ```python block that follows a comment `<!-- tested -->`.

A block runs as a script in an empty folder that holds links to the shared collections (scifact, npl ...).
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCK = re.compile(r"<!-- tested -->\s*```python\n(.*?)```", re.DOTALL)
COLLECTIONS = ("scifact", "npl", "cranfield", "limit-small")
MISSING = re.compile(r"OptionalDependencyError: the package '([\w.]+)'")


def blocks() -> list[str]:
    return BLOCK.findall(README.read_text(encoding="utf-8")) if README.is_file() else []


def skip_if_package_is_missing(stderr: str) -> None:
    found = MISSING.search(stderr)
    if found and importlib.util.find_spec(found[1]) is None:
        pytest.skip(f"the example needs {found[1]}")


@pytest.mark.parametrize("number", range(len(blocks())))
def test_example(number, tmp_path, request):
    code = blocks()[number]
    wanted = [name for name in COLLECTIONS if name in code]
    for name in wanted:
        (tmp_path / name).symlink_to(request.getfixturevalue("shared_data") / name)
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    skip_if_package_is_missing(result.stderr)
    assert result.returncode == 0, result.stderr


def test_readme_has_a_tested_example_of_about_ten_lines(repository):
    lengths = [len([line for line in block.splitlines() if line.strip()]) for block in blocks()]
    assert lengths, "README.md has no python block after <!-- tested -->"
    assert min(lengths) <= 12


@pytest.mark.parametrize("command", ["make test", "make demo"])
def test_readme_names_the_two_commands(repository, command):
    assert command in (repository / "README.md").read_text(encoding="utf-8")
