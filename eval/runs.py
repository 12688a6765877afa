"""TREC run files: one line `qid Q0 docid rank score tag` a result."""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, cast

from cluscomp import checks
from cluscomp.errors import DuplicateIdError, InputError, MalformedFileError
from cluscomp.eval.ranking import rank_documents
from cluscomp.files import atomic_file
from cluscomp.inputs.files import iter_raw_lines, refuse_foreign, require_file

_BLANK = re.compile(r"[ \t\n\r\x0b\x0c]")  # what C's isspace, and so trec_eval, splits at


def read_run(path: str | Path) -> dict[str, dict[str, float]]:
    """Read a run as {query id: {document id: score}}; the rank column is not used, as in trec_eval.

    Raises MissingInputError, MalformedFileError and DuplicateIdError naming file and line. gzip is read.
    """
    path = require_file(path)
    refuse_foreign(path, "a TREC run file")
    run: dict[str, dict[str, float]] = {}
    for number, line in iter_raw_lines(path):
        cells = line.split()
        if not cells:
            continue
        query_id, doc_id, score = _parse(cells, path, number)
        scores = run.setdefault(query_id, {})
        if doc_id in scores:
            raise DuplicateIdError(
                f"{path}:{number}: document {doc_id!r} is listed twice for query {query_id!r}; keep one score"
            )
        scores[doc_id] = score
    return run


def write_run(
    run: Mapping[str, Mapping[str, float]] | Iterable[tuple[str, Mapping[str, float]]],
    path: str | Path,
    *,
    tag: str = "cluscomp",
) -> None:
    """Write a run, a query at a time; `path` appears complete or not at all, and is replaced if it exists.

    run: {query id: {document id: score}}, or an iterable of such pairs, which is consumed as it comes.
    Lines of a query stand in trec_eval's order (`ranking`), ranks count from 1, and scores are printed so
    that they read back as the same numbers. A name ending in .gz is compressed. Queries without results
    leave no line.
    Raises InputError for an id (or tag) that is empty or holds white space, which the format cannot express;
    NonFiniteError for a NaN score; DTypeError; MissingInputError without the folder of `path`; DiskFullError.
    """
    path = checks.path("path", path)
    tag = _token(tag, "tag", "")
    with atomic_file(path) as raw, _compressed(raw) if path.suffix == ".gz" else nullcontext(raw) as handle:
        for query_id, scores in run.items() if isinstance(run, Mapping) else run:
            handle.write(run_lines(query_id, scores, tag))


def run_lines(query_id: str, scores: Mapping[str, float], tag: str = "cluscomp") -> bytes:
    """The lines of one query, as `write_run` writes them. Raises what it does for ids and scores."""
    start = f"{_token(query_id, 'query id', '')} Q0 "
    doc_ids = rank_documents(scores, query_id=query_id)
    if "" in scores or _BLANK.search("".join(doc_ids)):
        for doc_id in doc_ids:
            _token(doc_id, "document id", f" of query {query_id!r}")
    lines = [
        f"{start}{doc_id} {rank} {float(scores[doc_id])!r} {tag}\n" for rank, doc_id in enumerate(doc_ids, 1)
    ]
    try:
        return "".join(lines).encode("utf-8")
    except UnicodeEncodeError as exc:
        raise InputError(f"query {query_id!r}: an id is no valid text ({exc}) and cannot be written") from exc


def _token(value: str, what: str, of: str) -> str:
    if not isinstance(value, str):
        raise InputError(
            f"the {what} {value!r}{of} is a {type(value).__name__}, a string is needed; use str(id)"
        )
    if not value or _BLANK.search(value):
        fault = "holds white space" if value else "is empty"
        raise InputError(
            f"the {what} {value!r}{of} {fault}, which a TREC run file cannot express; rename it, or "
            "evaluate the results without a run file"
        )
    return value


def _parse(cells: list[bytes], path: Path, number: int) -> tuple[str, str, float]:
    if len(cells) != 6:
        raise MalformedFileError(
            f"{path}:{number}: has {len(cells)} columns, 6 are needed: qid Q0 docid rank score tag"
        )
    try:
        query_id, doc_id = cells[0].decode("utf-8"), cells[2].decode("utf-8")
    except UnicodeDecodeError as exc:
        raise MalformedFileError(f"{path}:{number}: an id is not UTF-8 ({exc}); convert the file") from exc
    try:
        score = float(cells[4])
    except ValueError:
        score = math.nan
    if math.isnan(score):
        shown = cells[4].decode("utf-8", "replace")
        raise MalformedFileError(f"{path}:{number}: score {shown!r} is not a number")
    return query_id, doc_id, score


@contextmanager
def _compressed(raw: BinaryIO) -> Iterator[BinaryIO]:
    # no name and no time in the header: equal runs make equal files
    with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as handle:
        yield cast(BinaryIO, handle)
