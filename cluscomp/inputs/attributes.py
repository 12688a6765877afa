"""Attributes of documents from files: Parquet, jsonl, and the `metadata` of corpora in the layout of BEIR."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluscomp.attributes import Attributes
from cluscomp.attributes.building import TableBuilder
from cluscomp.attributes.forms import columns_of_records
from cluscomp.errors import EmptyInputError, InputError, MalformedFileError, UsageError
from cluscomp.inputs.corpus import corpus_file
from cluscomp.inputs.files import iter_lines, refuse_foreign, require_file
from cluscomp.inputs.parquet import iter_parquet_batches, open_parquet
from cluscomp.inputs.records import DOCUMENT_FIELDS, record_format

BATCH_ROWS = 8192
METADATA = "metadata"

Batch = tuple[int, list[Any] | None, Mapping[str, Any]]
"""Number of rows, their ids, None where the file has none, and their columns."""


@dataclass(frozen=True)
class AttributesFile:
    """What a file of attributes holds. ids: one a row, as they stand there, or None: rows come in order."""

    path: Path
    ids: list[Any] | None
    table: Attributes


def read_attributes(
    path: str | Path, *, kinds: Mapping[str, str] | None = None, names: Sequence[str] | None = None
) -> AttributesFile:
    """Read a file of attributes.

    An id column is one that a corpus may have (`_id`, `id`, `docid` ...); all others are attributes, but for
    Parquet columns of vectors, lists of floats. Memory: the columns, as an index keeps them, and the ids.

    Args:
        path: .parquet, or .jsonl (also .gz) with one object a line.
        kinds: kinds of columns that are known already.
        names: columns to read; None: all.

    Returns:
        The table, and the ids of its rows.

    Raises:
        MissingInputError, MalformedFileError: there is no such file, or none that can be read.
        InputError: a value does not fit its column; the message names column, row and id.
        UsageError: a file of another kind, a column that is not there, or more than 256 columns.
    """
    path = require_file(path)
    kind = record_format(path)
    if kind not in ("parquet", "jsonl"):
        raise UsageError(f"attributes are read from .parquet and .jsonl files, and {path} is none")
    batches = _parquet_batches(path, names) if kind == "parquet" else _jsonl_batches(path, names)
    return _read(path, batches, kinds, names)


def read_metadata(corpus: str | Path, *, kinds: Mapping[str, str] | None = None) -> AttributesFile:
    """Read the attributes that a corpus keeps in the object `metadata` of each document, as BEIR's do.

    Args:
        corpus: the folder or .jsonl file; documents without the object have no attributes.
        kinds: kinds of columns that are known already.

    Returns:
        The table, and the ids of its rows.

    Raises:
        MissingInputError, MalformedFileError, InputError: as `read_attributes`.
        UsageError: the corpus is no .jsonl file.
    """
    path = corpus_file(corpus)
    if record_format(path) != "jsonl":
        raise UsageError(f"{path} is no .jsonl file, so its documents have no {METADATA!r}")
    return _read(path, _metadata_batches(path), kinds, None)


def _read(
    path: Path, batches: Iterator[Batch], kinds: Mapping[str, str] | None, names: Sequence[str] | None
) -> AttributesFile:
    ids: list[Any] = []
    known = {name: kind for name, kind in (kinds or {}).items() if names is None or name in names}
    builder = TableBuilder(known, ids)
    for n_rows, batch_ids, columns in batches:
        ids.extend(batch_ids or ())
        try:
            builder.add(columns, n_rows)
        except (InputError, UsageError) as exc:
            raise type(exc)(f"{path}: {exc}") from exc
    table = builder.finish()
    if not table.n_rows:
        raise EmptyInputError(f"{path} holds 0 rows, at least 1 is needed")
    if ids and len(ids) < table.n_rows:
        raise MalformedFileError(
            f"{path}: {len(ids)} of {table.n_rows} rows have an id; all need one, or none"
        )
    return AttributesFile(path, ids or None, table)


def _parquet_batches(path: Path, names: Sequence[str] | None) -> Iterator[Batch]:
    file = open_parquet(path, why=f"reading {path.name}")
    present = list(file.schema_arrow.names)
    id_name = next((name for name in DOCUMENT_FIELDS.id if name in present), None)
    facts = [field.name for field in file.schema_arrow if not _is_vector(field.type)]
    wanted = [name for name in (facts if names is None else names) if name != id_name]
    _require_names(path, wanted, present)
    read = wanted if id_name is None else [id_name, *wanted]
    for batch in iter_parquet_batches(file, path, rows=BATCH_ROWS, columns=read):
        ids = None if id_name is None else batch.column(id_name).to_pylist()
        yield batch.num_rows, ids, {name: batch.column(name) for name in wanted}


def _is_vector(arrow_type: Any) -> bool:
    """Whether a column holds lists of floats: the vectors of the rows, which may stand in the same file."""
    is_list = type(arrow_type).__name__ in ("ListType", "LargeListType", "FixedSizeListType")
    return is_list and str(arrow_type.value_type) in ("halffloat", "float", "double")


def _jsonl_batches(path: Path, names: Sequence[str] | None) -> Iterator[Batch]:
    for lines in _batched_objects(path):
        ids = _ids_of(path, lines)
        left_out = () if ids is None else DOCUMENT_FIELDS.id
        rows = [
            {
                name: value
                for name, value in row.items()
                if name not in left_out and (names is None or name in names)
            }
            for _, row in lines
        ]
        yield len(rows), ids, columns_of_records(rows)


def _metadata_batches(path: Path) -> Iterator[Batch]:
    for lines in _batched_objects(path):
        rows = []
        for number, row in lines:
            found = row.get(METADATA)
            if found is not None and not isinstance(found, dict):
                raise MalformedFileError(f"{path}:{number}: {METADATA!r} must be an object of attributes")
            rows.append(found or {})
        ids = _ids_of(path, lines)
        if ids is None:
            raise MalformedFileError(f"{path}:{lines[0][0]}: the document has no id")
        yield len(rows), ids, columns_of_records(rows)


def _batched_objects(path: Path) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    refuse_foreign(path, "a .jsonl text file")
    batch: list[tuple[int, dict[str, Any]]] = []
    for number, line in iter_lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise MalformedFileError(f"{path}:{number}: not a JSON object ({exc})") from exc
        if not isinstance(row, dict):
            raise MalformedFileError(f"{path}:{number}: each line must be one JSON object")
        batch.append((number, row))
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _ids_of(path: Path, lines: Sequence[tuple[int, dict[str, Any]]]) -> list[Any] | None:
    """Ids of the rows of a batch; None where no row has one."""
    found = [
        next((row[name] for name in DOCUMENT_FIELDS.id if row.get(name) is not None), None)
        for _, row in lines
    ]
    if all(value is None for value in found):
        return None
    for (number, _), value in zip(lines, found, strict=True):
        if not isinstance(value, (str, int)) or isinstance(value, bool):
            raise MalformedFileError(
                f"{path}:{number}: the id must be a text or an integer, but is {value!r}"
            )
    return found


def _require_names(path: Path, wanted: Sequence[str], present: Sequence[str]) -> None:
    for name in wanted:
        if name not in present:
            raise UsageError(f"{path} has no column {name!r}; it has: {', '.join(present)}")
