"""What a comparison asks of an index library: build into a folder, open the folder, search.

Every library is measured on what it has stored: the bytes of its files, and searches of the index as it was
loaded from them. Documents are numbered from 0, so that no row pays for names of documents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from cluscomp.errors import InputError, OptionalDependencyError, UsageError
from cluscomp.eval.compare.config import Form

Grid = Mapping[str, Sequence[int]]


class Opened(Protocol):
    """An index that can be searched. `index` is ours, for figures that only it can give; else None."""

    index: Any

    def search(self, queries: np.ndarray, k: int, **parameters: Any) -> tuple[np.ndarray, np.ndarray]:
        """Scores (nq, k), best first, -inf where missing, and document numbers (nq, k) int64.

        For token vectors `lengths` (nq,) is among the parameters: the rows of `queries` that each has.
        """
        ...


class Adapter(Protocol):
    """A key of a library. seeded: it takes a seed. form: what documents are. content: of files that the key
    names, None where it names none.
    """

    library: str
    key: str
    seeded: bool

    @property
    def form(self) -> Form: ...

    @property
    def content(self) -> str | None: ...

    def check(self, dim: int, metric: str) -> None:
        """Raise UsageError for a key that cannot work, before anything is built."""

    def parameters(self, grid: Grid) -> list[dict[str, int]]:
        """Settings of a search that have an effect on this key."""
        ...

    def build(self, documents: Any, metric: str, seed: int, folder: Path) -> None:
        """Train on and store documents into the empty folder: (n, d) float32, a `Ragged`, or words."""

    def open(self, folder: Path, metric: str) -> Opened:
        """The stored index."""
        ...


@runtime_checkable
class LearnsApart(Adapter, Protocol):
    """A key that can be trained on other rows than those that are stored."""

    def learns(self, dim: int, metric: str) -> bool:
        """Whether anything of the key is trained."""
        ...

    def build_from(self, training: Any, documents: Any, metric: str, seed: int, folder: Path) -> None:
        """`Adapter.build`, trained on the documents `training` of another collection."""


DEFAULT_GRID: Grid = {"refine_factor": (4,), "candidates": (384,), "ef": (16, 64, 256), "query_cut": (10,)}


def combinations(known: Mapping[str, int | None], grid: Grid) -> list[dict[str, int]]:
    """All settings of the parameters that a key knows. known: largest value of each, None for no bound.

    Values beyond the largest mean the largest. Without values for nprobe: 1, 4, 16 ... and all lists.
    """
    found: list[dict[str, int]] = [{}]
    for name, largest in known.items():
        values = grid.get(name) or DEFAULT_GRID.get(name) or _powers(largest or 1)
        if largest is not None:
            values = sorted({min(value, largest) for value in values})
        found = [{**setting, name: value} for setting in found for value in values]
    return found


def _powers(largest: int) -> list[int]:
    return [4**i for i in range(16) if 4**i < largest] + [largest]


def options(library: str, key: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a key such as "M=16,ef_construction=200", for the types of `defaults`.

    Raises UsageError for an unknown name or a value of another type.
    """
    values = dict(defaults)
    for part in filter(None, (part.strip() for part in key.split(","))):
        name, equals, text = part.partition("=")
        if name not in defaults or not equals:
            raise UsageError(
                f"key '{library}:{key}': {part!r} is unknown; it reads NAME=VALUE,... with the names "
                f"{', '.join(f'{name} (default {value})' for name, value in defaults.items())}"
            )
        try:
            values[name] = type(defaults[name])(text)
        except ValueError as exc:
            raise UsageError(f"key '{library}:{key}': {name} is {text!r}, which is no number") from exc
    return values


@contextmanager
def library_errors(library: str, key: str) -> Iterator[None]:
    """Turn what a foreign library raises into an error that names library and key."""
    try:
        yield
    except (InputError, UsageError, OptionalDependencyError):
        raise
    except (RuntimeError, ValueError, TypeError) as exc:
        first = str(exc).strip().splitlines()[-1] if str(exc).strip() else type(exc).__name__
        raise InputError(f"{library} cannot do '{key}': {first}") from exc


def folder_digest(folder: Path) -> str:
    """Hash of the names and bytes of all files of a folder; of nothing where there is none."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder)} {file.stat().st_size}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
