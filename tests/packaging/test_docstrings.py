"""Docstrings are whole: a re-wrapping that cuts or joins them wrongly shows here, not first to a reader."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator

import pytest
from public_api import public_callables, public_classes

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


ITEM = re.compile(r"^    (\*{0,2}\w+(?:, \*{0,2}\w+)*): \S", re.MULTILINE)


def section(text: str, name: str) -> str:
    """The indented lines below "name:"; empty where there is no such section."""
    found = re.search(rf"^{name}:\n((?:    .*\n|\n)+)", text + "\n", re.MULTILINE)
    return "" if found is None else found.group(1)


def described(text: str, name: str) -> set[str]:
    """Names that a section describes."""
    return {item.strip("* ") for names in ITEM.findall(section(text, name)) for item in names.split(",")}


def parameters(function) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self", "cls"}


def test_the_checker_sees_what_a_docstring_says():
    text = "Do it.\n\nArgs:\n    a: one.\n        more: of it.\n    **more: others.\n\nReturns:\n    That."
    assert described(text, "Args") == {"a", "more"}
    assert section(text, "Returns").strip() == "That." and not section(text, "Raises")


@pytest.mark.parametrize(
    ("name", "function"), [pytest.param(*pair, id=pair[0]) for pair in public_callables()]
)
def test_public_callables_document_every_parameter(name, function):
    text = inspect.getdoc(function) or ""
    assert text[:1].isupper() and "." in text, "a sentence says what it does"
    assert described(text, "Args") == parameters(function)
    if inspect.signature(function).return_annotation not in ("None", "NoReturn", None):
        assert section(text, "Returns"), "nothing is said of the result"


@pytest.mark.parametrize(("name", "kind"), [pytest.param(*pair, id=pair[0]) for pair in public_classes()])
def test_public_classes_document_every_parameter_and_property(name, kind):
    text = inspect.getdoc(kind) or ""
    assert described(text, "Args") == parameters(kind.__init__)
    for attribute, value in inspect.getmembers_static(kind):
        if isinstance(value, property) and attribute[0] != "_":
            assert (inspect.getdoc(value) or "").rstrip().endswith("."), attribute


def test_every_error_and_warning_says_what_it_means():
    from cluscomp import errors

    for name in errors.__all__:
        assert len(inspect.getdoc(getattr(errors, name))) > 10, name
