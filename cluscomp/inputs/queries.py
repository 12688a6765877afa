"""Queries from a BEIR folder or a jsonl, tsv, txt or parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cluscomp.errors import EmptyInputError
from cluscomp.inputs.corpus import file_of_folder, unique_records
from cluscomp.inputs.records import QUERY_FIELDS


class Query(NamedTuple):
    """One query."""

    id: str
    text: str


def iter_queries(path: str | Path, split: str = "") -> Iterator[Query]:
    """Stream the queries of `path` in file order.

    path: a BEIR folder (its queries.jsonl), an MS MARCO folder (its queries.SPLIT.tsv), a .jsonl file (`_id`,
    `id`, `qid` or `query_id`; `text` or `query`), a .tsv file (qid<TAB>text, as MS MARCO has it), a .txt file
    (one query a line, id = line number counted from 0), each also with .gz, or .parquet.
    Raises MissingInputError, MalformedFileError, DuplicateIdError, EmptyInputError (no query at all, or one
    without text), naming file and line.
    """
    names = ("queries.jsonl", f"queries.{split}.tsv") if split else ("queries.jsonl",)
    return _iter_queries(file_of_folder(path, *names))


def _iter_queries(file: Path) -> Iterator[Query]:
    count = 0
    for line, query_id, _, text in unique_records(file, QUERY_FIELDS):
        count += 1
        if not text.strip():
            raise EmptyInputError(f"{file}:{line}: query {query_id!r} has no text; remove it from the file")
        yield Query(query_id, text)
    if count == 0:
        raise EmptyInputError(f"{file} holds 0 queries, at least 1 is needed")
