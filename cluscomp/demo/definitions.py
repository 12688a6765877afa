"""Classes, functions and methods of Python sources, read by `ast`.

Nothing is imported, so no module can have side effects, and what is found depends on the files alone.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Entry:
    """A public definition. body: its source without signature and docstring; of a class, its signatures."""

    name: str
    signature: str
    docstring: str
    body: str


def definitions(path: Path, root: Path) -> Iterator[Entry]:
    """Public definitions of a file, in its order; names are dotted and begin below `root`.

    None for files that Python cannot parse: templates, and files in old encodings.
    """
    try:
        source = path.read_text(encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of the file's author, not of ours
            tree = ast.parse(source)
    except (UnicodeDecodeError, SyntaxError, ValueError, RecursionError):
        return
    parts = list(path.relative_to(root).with_suffix("").parts)
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    yield from _walk(tree, module, source.splitlines())


def _walk(node: ast.Module | ast.ClassDef, prefix: str, lines: list[str]) -> Iterator[Entry]:
    for child in node.body:
        if isinstance(child, Definition) and not child.name.startswith("_"):
            name = f"{prefix}.{child.name}"
            yield _entry(child, name, lines)
            if isinstance(child, ast.ClassDef):
                yield from _walk(child, name, lines)


def _entry(node: Definition, name: str, lines: list[str]) -> Entry:
    docstring = ast.get_docstring(node, clean=True) or ""
    statements = node.body[1:] if docstring else node.body
    if isinstance(node, ast.ClassDef):
        # The source of a class holds the docstrings of its methods, and with them the methods' queries.
        body = " ".join(_signature(child, lines) for child in statements if isinstance(child, Definition))
    else:
        start = max(statements[0].lineno - 1, _signature_end(node)) if statements else node.end_lineno
        body = _squeeze(lines[start : node.end_lineno])
    return Entry(name, _signature(node, lines), docstring, body)


def _signature(node: Definition, lines: list[str]) -> str:
    """Source of a definition up to its first statement."""
    return _squeeze(lines[node.lineno - 1 : _signature_end(node)])


def _signature_end(node: Definition) -> int:
    """Line of the first statement, or the one after `def` where all is on one line; counted from 0."""
    return max(node.body[0].lineno - 1, node.lineno)


def _squeeze(lines: list[str]) -> str:
    """Lines as one, with single spaces: models for text do not see indentation."""
    return " ".join(" ".join(lines).split())
