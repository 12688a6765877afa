"""Text records (id, title, text) from jsonl, tsv, txt and parquet files, one at a time.

Documents and queries share these readers; `Fields` says which names a format may use for each part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from cluscomp.errors import MalformedFileError, UsageError
from cluscomp.inputs.columns import Columns, check_columns
from cluscomp.inputs.files import iter_lines, refuse_foreign, require_file
from cluscomp.inputs.parquet import iter_parquet_batches, open_parquet

_PARQUET_BATCH_ROWS = 1024


class Record(NamedTuple):
    """One text with the place it came from; `line` counts from 1 (rows of a Parquet file as well)."""

    line: int
    id: str
    title: str
    text: str


@dataclass(frozen=True)
class Fields:
    """Accepted names of each part, the first present one wins; empty `title`: records have no title.

    chosen: a caller has named some, so that the file must name its columns.
    """

    id: tuple[str, ...]
    title: tuple[str, ...]
    text: tuple[str, ...]
    chosen: bool = False


DOCUMENT_FIELDS = Fields(
    ("_id", "id", "docid", "doc_id", "docno", "pid"), ("title",), ("text", "contents", "passage", "body")
)
QUERY_FIELDS = Fields(
    ("_id", "id", "qid", "query_id", "query-id"), (), ("text", "query", "contents", "question")
)


def named_fields(fields: Fields, columns: Columns | None) -> Fields:
    """Fields whose names a caller chose, by the roles "id", "title" and "text"; the others as they were."""
    roles = ("id", "title", "text") if fields.title else ("id", "text")
    chosen = {role: (name,) for role, name in check_columns(columns, roles).items()}
    return replace(fields, **chosen, chosen=True) if chosen else fields


def iter_records(path: str | Path, fields: Fields) -> Iterator[Record]:
    """Stream the records of one file; the format follows from its name.

    A text file may have an additional .gz.
    jsonl: one object a line; blank lines are skipped.
    tsv: id<TAB>text, id<TAB>title<TAB>text, or columns named by a header line; blank lines are skipped. A
    first line that looks like a header, but names no id or text, is refused.
    txt: one text a line, its id is the line number counted from 0; a blank line is an empty text.
    parquet: columns by name.

    Raises MissingInputError, MalformedFileError (file and line), UsageError for an unknown file name ending.
    """
    path = require_file(path)
    kind = record_format(path)
    if kind != "parquet":
        refuse_foreign(path, f"a .{kind} text file")
    return _READERS[kind](path, fields)


def record_format(path: Path) -> str:
    """Format of a record file by its name: "jsonl", "tsv", "txt" or "parquet"."""
    suffix = Path(path.name.removesuffix(".gz")).suffix.removeprefix(".").lower()
    kind = {"json": "jsonl", "ndjson": "jsonl"}.get(suffix, suffix)
    if kind not in _READERS or (kind == "parquet" and path.name.endswith(".gz")):
        raise UsageError(
            f"cannot tell the format of {path} by its name; names must end in .jsonl, .tsv or .txt "
            "(each also with .gz) or .parquet"
        )
    return kind


def _iter_jsonl(path: Path, fields: Fields) -> Iterator[Record]:
    for number, line in iter_lines(path):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise MalformedFileError(f"{where}: not a JSON object ({exc}); {_JSONL_RULE}") from exc
        if not isinstance(row, dict):
            raise MalformedFileError(f"{where}: holds a JSON {_json_type(row)}, not an object; {_JSONL_RULE}")
        record = _record(row, fields, number, where)
        if "\\ud" in line or "\\uD" in line:
            _refuse_lone_surrogates(record, where)
        yield record


_JSONL_RULE = 'each line must be one object such as {"_id": "d1", "text": "..."}'  # fmt: skip


def _iter_tsv(path: Path, fields: Fields) -> Iterator[Record]:
    order: Sequence[str] | None = None
    first: tuple[int, list[str]] | None = None  # a first line that may be a header of unknown names
    for number, line in iter_lines(path):
        if not line.strip():
            continue
        cells = line.split("\t")
        where = f"{path}:{number}"
        if order is None:
            header = _tsv_header(cells, fields, where)
            order = header or _tsv_order(cells, fields, where)
            if header:
                continue
            first = number, cells
        elif first is not None:
            _refuse_header_of_unknown_names(first[1], cells, fields, f"{path}:{first[0]}")
            first = None
        if len(cells) != len(order):
            raise MalformedFileError(
                f"{where}: has {len(cells)} tab-separated columns, the lines before have {len(order)}; "
                "a tab inside a text must become a space"
            )
        yield _record(dict(zip(order, cells, strict=True)), fields, number, where)


def _tsv_header(cells: Sequence[str], fields: Fields, where: str) -> list[str] | None:
    """Column names when the line is a header: it names an id and a text; other columns may stand beside them.

    Raises MalformedFileError for a line that names one of the two and nothing but names.
    """
    given = [cell.strip() for cell in cells]
    names = given if _names_parts(given, fields) else [cell.lower() for cell in given]
    if _names_parts(names, fields):
        return names
    has_id, has_text = _names_one(names, fields.id), _names_one(names, fields.text)
    if fields.chosen and not (has_id and has_text):
        raise MalformedFileError(
            f"{where}: there is no header with an id ({_listed(fields.id)}) and a text "
            f"({_listed(fields.text)}); the first line is {given}"
        )
    if (has_id or has_text) and all(_is_name(name) for name in names):
        part, known = ("text", fields.text) if has_id else ("id", fields.id)
        raise MalformedFileError(
            f"{where}: the header {given} names no {part}; one of {_listed(known)} is needed, or say by "
            f"columns which holds {part!r}"
        )
    return None


def _names_parts(names: Sequence[str], fields: Fields) -> bool:
    are_names = fields.chosen or all(map(_is_name, names))
    return are_names and _names_one(names, fields.id) and _names_one(names, fields.text)


def _names_one(names: Sequence[str], known: Sequence[str]) -> bool:
    return any(name in known for name in names)


def _is_name(text: str) -> bool:
    """A word such as a column has for its name."""
    return re.fullmatch(r"[^\W\d][\w.-]*", text) is not None


def _refuse_header_of_unknown_names(
    first: Sequence[str], second: Sequence[str], fields: Fields, where: str
) -> None:
    """Raise MalformedFileError where the first line is made of words, and the second has a number in its id
    and a text of several words.
    """
    is_header = all(_is_name(cell.strip()) and not _has_digit(cell) for cell in first)
    if is_header and _has_digit(second[0]) and len(second[-1].split()) > 1:
        raise MalformedFileError(
            f"{where}: {list(first)} looks like a header, but names neither an id ({_listed(fields.id)}) nor "
            f"a text ({_listed(fields.text)}); rename the columns, or say by columns which hold 'id' and "
            "'text'; if the line is a record, put a header before it"
        )


def _has_digit(text: str) -> bool:
    return any(letter.isdigit() for letter in text)


def _tsv_order(cells: Sequence[str], fields: Fields, where: str) -> list[str]:
    """Column names of a file without a header, by the number of its columns."""
    if len(cells) == 2:
        return [fields.id[0], fields.text[0]]
    if len(cells) == 3 and fields.title:
        return [fields.id[0], fields.title[0], fields.text[0]]
    allowed = "2 (id, text) or 3 (id, title, text)" if fields.title else "2 (id, text)"
    raise MalformedFileError(f"{where}: has {len(cells)} tab-separated columns, needed are {allowed}")


def _iter_txt(path: Path, fields: Fields) -> Iterator[Record]:
    if fields.chosen:
        raise UsageError(f"{path} has no columns, since a .txt file is one text a line; leave columns out")
    for number, line in iter_lines(path):
        yield Record(number, str(number - 1), "", line)


def _iter_parquet(path: Path, fields: Fields) -> Iterator[Record]:
    file = open_parquet(path, why=f"reading {path.name}")
    present = set(file.schema_arrow.names)
    for part, names in (("id", fields.id), ("text", fields.text)):
        if present.isdisjoint(names):
            raise MalformedFileError(
                f"{path} has no {part} column; one of {_listed(names)} is needed, found "
                f"{_listed(sorted(present))}"
            )
    columns = [name for name in (*fields.id, *fields.title, *fields.text) if name in present]
    number = 0
    for batch in iter_parquet_batches(file, path, rows=_PARQUET_BATCH_ROWS, columns=columns):
        for row in batch.to_pylist():
            number += 1
            yield _record(row, fields, number, f"{path}: row {number}")


_READERS: Mapping[str, Callable[[Path, Fields], Iterator[Record]]] = {
    "jsonl": _iter_jsonl,
    "tsv": _iter_tsv,
    "txt": _iter_txt,
    "parquet": _iter_parquet,
}


def _record(row: Mapping[str, Any], fields: Fields, line: int, where: str) -> Record:
    text = _text(row, fields.text, where, required=True)
    title = _text(row, fields.title, where, required=False) if fields.title else ""
    return Record(line, _id(row, fields.id, where), title, text)


def _id(row: Mapping[str, Any], names: Sequence[str], where: str) -> str:
    value = _pick(row, names)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None:
        raise MalformedFileError(
            f"{where}: has no id; one of {_listed(names)} is needed, found {_listed(row)}"
        )
    if not isinstance(value, str):
        raise MalformedFileError(
            f"{where}: the id is a JSON {_json_type(value)}, a string or an integer is needed"
        )
    if not value.strip():
        raise MalformedFileError(f"{where}: the id is blank; every record needs its own id")
    return value


def _text(row: Mapping[str, Any], names: Sequence[str], where: str, *, required: bool) -> str:
    value = _pick(row, names)
    if value is None:
        if required and not any(name in row for name in names):
            raise MalformedFileError(
                f"{where}: has no text; one of {_listed(names)} is needed, found {_listed(row)}"
            )
        return ""
    if not isinstance(value, str):
        name = next(name for name in names if row.get(name) is not None)
        raise MalformedFileError(f"{where}: {name!r} is a JSON {_json_type(value)}, a string is needed")
    return value


def _refuse_lone_surrogates(record: Record, where: str) -> None:
    try:
        "".join(record[1:]).encode("utf-8")
    except UnicodeEncodeError as exc:
        raise MalformedFileError(
            f"{where}: holds half of a surrogate pair (\\u{ord(exc.object[exc.start]):04x}), which is no "
            "character; "
            "write the file again from clean text"
        ) from exc


def _pick(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    for name in names:
        value = row.get(name)
        if value is not None:
            return value
    return None


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names) or "nothing"


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null" if value is None else type(value).__name__)
