"""Paths of commands: "~" as in a shell, addresses of stores, and outputs that must not replace an input."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cluscomp.errors import UsageError
from cluscomp.objects.address import is_address

STDOUT = Path("-")
"""As an output file: standard output."""
_DATA = {".jsonl", ".tsv", ".npy", ".npz", ".parquet", ".sqlite", ".safetensors", ".gz"}


class AddressPath(type(Path())):  # type: ignore[misc]
    """An address of an object store as a path, which keeps both slashes of its scheme."""

    def __str__(self) -> str:
        return str(super().__str__()).replace(":/", "://", 1)


def expanded(value: Any) -> Any:
    """A path with "~" in front as the home folder, which a shell leaves alone in --output=~/x; lists, too.

    An address of an object store stays as it was written.
    """
    if isinstance(value, (list, tuple)):
        return [expanded(part) for part in value]
    if is_address(value):
        return AddressPath(value) if isinstance(value, Path) else value
    if not isinstance(value, Path) or not str(value).startswith("~") or value.exists():
        return value
    try:
        return value.expanduser()
    except RuntimeError as exc:
        raise UsageError(f"{value}: the home folder is not known ({exc}); write the whole path") from exc


def protect_inputs(arguments: dict[str, Any]) -> None:
    """Raise UsageError where an output is an input, or would be written into or over one.

    arguments: of the command by name; those that begin with "output" are outputs, other paths inputs.
    """
    paths = _paths(arguments)
    inputs = [path for name, path in paths if not name.startswith("output") and path.exists()]
    for name, output in paths:
        if name == "output_folder" and output == STDOUT:
            raise UsageError("--output - is no folder; write ./- for one of that name")
        if name.startswith("output") and output != STDOUT:
            for source in inputs:
                _protect(source, output)


def _protect(source: Path, output: Path) -> None:
    mine, theirs = Path(os.path.realpath(output)), Path(os.path.realpath(source))
    if mine == theirs or (mine.exists() and os.path.samefile(mine, theirs)):
        raise UsageError(f"--output {output} is the input {source}; name another output")
    if mine in theirs.parents and _is_index(mine):  # any other folder is refused by the command
        raise UsageError(f"--output {output} holds the input {source}; name another output")
    if theirs in mine.parents and (_is_index(theirs) or (mine.is_file() and mine.suffix in _DATA)):
        raise UsageError(f"--output {output} would change the input {source}; name another output")


def _is_index(folder: Path) -> bool:
    return (folder / "manifest.json").is_file()


def _paths(arguments: dict[str, Any]) -> list[tuple[str, Path]]:
    found = []
    for name, value in arguments.items():
        for part in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(part, Path):
                found.append((name, part))
    return found
