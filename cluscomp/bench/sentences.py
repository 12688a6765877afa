"""Sentences of the documentation of installed packages: texts to measure with, of which there are many."""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from cluscomp.errors import MissingInputError

LONGEST = 600
"""Characters of a sentence; what is longer is a table or code."""
LEAST_WORDS = 6
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`'\"(])|\n\s*\n")
_WORD = re.compile(r"[A-Za-z]{2,}")
_DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def source_folders(*, packages: bool) -> list[Path]:
    """Folder of the standard library, and with `packages` those of the installed packages."""
    library = Path(sysconfig.get_paths()["stdlib"])
    found = [Path(part) for part in sys.path if Path(part).name in ("site-packages", "dist-packages")]
    return [library, *(path for path in found if packages and path.is_dir())]


def docstring_sentences(folders: Sequence[Path], n: int) -> list[str]:
    """N different sentences of the docstrings of Python files, each on one line.

    Files are read by a hash of their names, so that all packages have a part, until there are enough.
    Raises MissingInputError when there are not.
    """
    seen: dict[str, None] = {}
    for path in _files(folders):
        for docstring in _docstrings(path):
            seen.update((sentence, None) for sentence in _sentences(docstring))
        if len(seen) >= n:
            return list(seen)[:n]
    raise MissingInputError(
        f"the docstrings of the installed packages have {len(seen)} different sentences, but {n} are needed "
        "with the queries; lower --n, or install more packages"
    )


def _files(folders: Sequence[Path]) -> list[Path]:
    found: dict[bytes, Path] = {}
    for folder in folders:
        for path in folder.rglob("*.py"):
            name = path.relative_to(folder)
            if "site-packages" not in name.parts:
                found.setdefault(hashlib.sha256(name.as_posix().encode()).digest(), path)
    return [found[key] for key in sorted(found)]


def _docstrings(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError, RecursionError):
        return  # templates, and files in old encodings
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED):
            yield ast.get_docstring(node) or ""


def _sentences(docstring: str) -> Iterator[str]:
    for part in _END.split(docstring):
        sentence = " ".join(part.split())
        if len(sentence) <= LONGEST and len(_WORD.findall(sentence)) >= LEAST_WORDS:
            yield sentence
