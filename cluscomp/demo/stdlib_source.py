"""Classes, functions and methods of the running Python's standard library, read from its source by `ast`.

Nothing is imported, so no module can have side effects, and what is found depends on the files alone.
"""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cluscomp.errors import MissingInputError

SKIPPED_FOLDERS = {
    "__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "idle_test", "lib2to3",
    "turtledemo", "ensurepip", "pydoc_data", "_pyrepl", "encodings", "lib-dynload",
}  # fmt: skip
SKIPPED_MODULES = {"this", "antigravity"}

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Entry:
    """A public definition. body: its source without signature and docstring; of a class, its signatures."""

    name: str
    signature: str
    docstring: str
    body: str


def stdlib_entries(folder: Path | None = None) -> Iterator[Entry]:
    """All public definitions below `folder` (default: the running Python's library), in sorted order.

    Raises MissingInputError when there are no sources (a Python that ships compiled files only).
    """
    root = Path(sysconfig.get_paths()["stdlib"]) if folder is None else folder
    files = _source_files(root)
    if not files:
        raise MissingInputError(
            f"{root} holds no Python sources to make the demo's collection from; "
            "use a Python whose standard library ships as .py files"
        )
    for path in files:
        yield from _entries_of(path, root)


def _source_files(root: Path) -> list[Path]:
    found = []
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).parts
        if not SKIPPED_FOLDERS.intersection(parts[:-1]) and path.stem not in SKIPPED_MODULES:
            found.append(path)
    return sorted(found, key=lambda path: path.relative_to(root).parts)


def _entries_of(path: Path, root: Path) -> Iterator[Entry]:
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
    except (UnicodeDecodeError, SyntaxError):
        return  # templates and files in old encodings: no loss for a demo
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
