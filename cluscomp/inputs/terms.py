"""Weighted terms from jsonl files: {"id": "d1", "vector": {"cat": 1.5, "stove": 0.7}} a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cluscomp.errors import CluscompError, DuplicateIdError, EmptyInputError, InputError, MalformedFileError
from cluscomp.inputs.columns import check_columns
from cluscomp.inputs.files import iter_lines, refuse_foreign, require_file
from cluscomp.terms import TermRows

BLOCK_ROWS = 1024
_IDS, _VECTORS = ("_id", "id"), ("vector",)
_RULE = 'each line must be one object such as {"id": "d1", "vector": {"cat": 1.5}}'


def iter_term_blocks(
    path: str | Path, *, columns: Mapping[str, str] | None = None, rows: int = BLOCK_ROWS
) -> Iterator[tuple[list[str], TermRows]]:
    """Ids and rows of a file, some rows at a time; blank lines are skipped, gzip is read.

    columns: names of the fields "id" and "vectors" where they are not the usual ones. Raises
    MissingInputError, MalformedFileError and InputError naming file and line, DuplicateIdError.
    """
    path = require_file(path)
    refuse_foreign(path, "a .jsonl file of weighted terms")
    chosen = check_columns(columns, ("id", "vectors"))
    fields = (
        tuple((chosen["id"],) if "id" in chosen else _IDS),
        tuple((chosen["vectors"],) if "vectors" in chosen else _VECTORS),
    )
    ids: list[str] = []
    found: list[Mapping[str, float]] = []
    lines: list[int] = []
    seen: set[str] = set()
    for number, line in iter_lines(path):
        if not line.strip():
            continue
        name, terms = _parsed(line, fields, f"{path}:{number}")
        if name in seen:
            raise DuplicateIdError(f"{path}:{number}: the id {name!r} is there twice; ids must be unique")
        seen.add(name)
        ids.append(name)
        found.append(terms)
        lines.append(number)
        if len(ids) == rows:
            yield ids, _rows(found, path, lines)
            ids, found, lines = [], [], []
    if ids:
        yield ids, _rows(found, path, lines)


def read_terms(path: str | Path, *, columns: Mapping[str, str] | None = None) -> tuple[list[str], TermRows]:
    """Ids and rows of a whole file. Raises what `iter_term_blocks` does, and EmptyInputError."""
    ids: list[str] = []
    rows: list[dict[str, float]] = []
    for names, block in iter_term_blocks(path, columns=columns):
        ids += names
        rows += [block.mapping(row) for row in range(len(block))]
    if not ids:
        raise EmptyInputError(f"{path} has 0 rows, at least 1 is needed")
    return ids, TermRows.from_mappings(rows)


def _parsed(
    line: str, fields: tuple[tuple[str, ...], tuple[str, ...]], where: str
) -> tuple[str, Mapping[str, float]]:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise MalformedFileError(f"{where}: not a JSON object ({exc}); {_RULE}") from exc
    if not isinstance(row, dict):
        raise MalformedFileError(f"{where}: holds no JSON object; {_RULE}")
    values = []
    for names in fields:
        name = next((name for name in names if name in row), None)
        if name is None:
            raise MalformedFileError(f"{where}: has no field {' or '.join(map(repr, names))}; {_RULE}")
        values.append(row[name])
    if not isinstance(values[0], str | int) or isinstance(values[0], bool) or values[0] == "":
        raise MalformedFileError(f"{where}: the id is {values[0]!r}; a text or a whole number is needed")
    if not isinstance(values[1], dict):
        raise MalformedFileError(f"{where}: the vector is no object of terms and weights; {_RULE}")
    wrong = next(
        (t for t, w in values[1].items() if isinstance(w, bool) or not isinstance(w, int | float)), None
    )
    if wrong is not None:
        raise MalformedFileError(
            f"{where}: the weight of term {wrong!r} is {values[1][wrong]!r}, not a number"
        )
    return str(values[0]), values[1]


def _rows(found: list[Mapping[str, float]], path: Path, lines: list[int]) -> TermRows:
    try:
        return TermRows.from_mappings(found)
    except InputError:
        for number, row in zip(lines, found, strict=True):  # which line it is
            try:
                TermRows.from_mappings([row])
            except CluscompError as exc:
                raise InputError(f"{path}:{number}: {exc}") from exc
        raise
