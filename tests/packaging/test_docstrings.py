"""Docstrings are whole: a re-wrapping that cuts or joins them wrongly shows here, not first to a reader."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

FAULTS = {
    "pieces of joined strings": re.compile(r'"[ \t]*\n\s*"'),
    "a quote at the end that no other one opens": re.compile(r'\A[^"]*"\s*\Z'),
    "a backslash at the end of a line": re.compile(r"\\\n"),
}


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, text) of every docstring, and of every text behind an attribute."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for inner in body if isinstance(body, list) else []:
            if (
                isinstance(inner, ast.Expr)
                and isinstance(inner.value, ast.Constant)
                and isinstance(inner.value.value, str)
            ):
                yield inner.lineno, inner.value.value


def faults(source: str) -> list[str]:
    return [
        f"line {line}: {name}"
        for line, text in docstrings(ast.parse(source))
        for name, pattern in FAULTS.items()
        if pattern.search(text)
    ]


@pytest.mark.parametrize(
    "text", ['Reads a file "\n    "of lines.', 'Reads a file.\n    "', "Reads a file \\\n    of lines."]
)
def test_the_checker_sees_broken_docstrings(text):
    escaped = text.replace("\\", "\\\\")
    assert faults(f"def f():\n    '''{escaped}'''")


def test_the_checker_lets_quoted_words_pass():
    assert not faults("'''Joined by \" \", or \"fail\"'''")


def test_docstrings_are_whole(repository):
    paths = [
        path
        for folder in ("cluscomp", "indexes", "eval", "tests", "docs")
        for path in sorted((repository / folder).rglob("*.py"))
    ]
    wrong = [
        f"{path.relative_to(repository)}, {fault}"
        for path in paths
        for fault in faults(path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)
