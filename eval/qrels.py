"""Relevance judgements from BEIR's and TREC's files."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluscomp.errors import EmptyInputError, MalformedFileError
from cluscomp.inputs.files import iter_lines, refuse_foreign, require_file

Qrels = Mapping[str, Mapping[str, int]]
"""{query id: {document id: relevance level}}"""

LEVELS = "levels are whole numbers, so multiply fractions by one number, such as 2 or 10"
"""What errors about a level say; nDCG does not depend on the factor."""

_QUERY_HEADERS = ("query-id", "query_id", "queryid", "qid", "query")


def read_qrels(path: str | Path) -> dict[str, dict[str, int]]:
    """Read judgements as {query id: {document id: level}}, in file order.

    Levels are whole numbers, also written as 1.0; a fraction is refused.
    BEIR: query-id<TAB>corpus-id<TAB>score with or without a header line. TREC (and MS MARCO): `qid iteration
    docid level`, separated by tabs or blanks. The first line decides; blank lines are skipped; gzip is read.
    Raises MissingInputError, EmptyInputError, MalformedFileError naming file and line, also for two different
    judgements of one pair (equal repetitions are accepted).
    """
    path = require_file(path)
    refuse_foreign(path, "a .tsv or TREC file of judgements")
    qrels: dict[str, dict[str, int]] = {}
    columns = 0
    for number, line in iter_lines(path):
        if not line.strip():
            continue
        cells = line.split("\t") if "\t" in line else line.split()
        where = f"{path}:{number}"
        if not columns:
            columns = _checked_columns(cells, where)
            if _is_header(cells):
                continue
        if len(cells) != columns:
            raise MalformedFileError(f"{where}: has {len(cells)} columns, the lines before have {columns}")
        _add(qrels, cells, where)
    if not qrels:
        raise EmptyInputError(f"{path} holds 0 judgements, at least 1 is needed")
    return qrels


def _checked_columns(cells: list[str], where: str) -> int:
    if len(cells) in (3, 4):
        return len(cells)
    raise MalformedFileError(
        f"{where}: has {len(cells)} columns; needed are 3 (query-id<TAB>corpus-id<TAB>score) "
        "or 4 (qid iteration docid level)"
    )


def _is_header(cells: list[str]) -> bool:
    return cells[0].strip().lower() in _QUERY_HEADERS and level_of(cells[-1]) is None


def _add(qrels: dict[str, dict[str, int]], cells: list[str], where: str) -> None:
    query_id, doc_id, level = cells[0], cells[-2], level_of(cells[-1])
    if level is None:
        raise MalformedFileError(f"{where}: relevance {cells[-1]!r} is not an integer; {LEVELS}")
    if not query_id or not doc_id:
        raise MalformedFileError(f"{where}: the {'query' if not query_id else 'document'} id is empty")
    known = qrels.setdefault(query_id, {}).setdefault(doc_id, level)
    if known != level:
        raise MalformedFileError(
            f"{where}: document {doc_id!r} is judged {level} for query {query_id!r}, and {known} in a "
            "line before; "
            "keep one of them"
        )


def level_of(value: Any) -> int | None:
    """A relevance level as it stands in a file or a table of the hub: a whole number, also as 1.0 or "1.0".

    None for anything else. Fractions are no levels: trec_eval, pytrec_eval and BEIR know whole ones only.
    """
    try:
        return int(value) if isinstance(value, str) else operator.index(value)
    except (TypeError, ValueError):
        pass
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() else None
