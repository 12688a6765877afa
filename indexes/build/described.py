"""Attributes of the rows of a build: read beforehand, put in the order of rows when their ids are known."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.attributes import Attributes, Field, Schema, make_attributes
from cluscomp.attributes.schema import NO_COLUMNS
from cluscomp.errors import DimensionError, InputError, UsageError
from cluscomp.indexes.segments.ids import TEXT, IdColumn, make_ids
from cluscomp.indexes.storage.staging import HEADER_BYTES
from cluscomp.inputs.attributes import METADATA, AttributesFile, read_attributes, read_metadata


@dataclass(frozen=True)
class BuildAttributes:
    """Attributes of a build. file: None where there are none. schema: its columns, and those declared.
    is_part: the rows are some of those that the file tells of, which may know none of them.
    """

    file: AttributesFile | None
    schema: Schema
    is_part: bool = False

    @classmethod
    def of(
        cls, attributes: Any, attributes_from: str | None, source: Any, kinds: Mapping[str, Any] | None
    ) -> BuildAttributes:
        """As `given_attributes`, with what was declared."""
        file = given_attributes(attributes, attributes_from, source, kinds)
        return cls(file, described_schema(file, kinds))

    def identity(self) -> dict[str, Any]:
        """JSON value that is equal for equal attributes; empty for none."""
        if self.file is None:
            return {"attributes": self.schema.to_json()} if self.schema else {}
        digest = hashlib.blake2b(json.dumps(self.file.ids).encode(), digest_size=16)
        for name, array in sorted(self.file.table.arrays().items()):
            digest.update(name.encode() + memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8)))
        return {"attributes": self.schema.to_json(), "attribute_values": digest.hexdigest()}

    def shape(self, n_rows: int) -> AttributeShape:
        """What a segment of n_rows rows will have of them, as far as is known before ids are compared."""
        if self.file is None:
            return NO_SHAPE
        arrays = self.file.table.by_text(self.schema.tenant).arrays()
        share = n_rows / max(1, self.file.table.n_rows)
        values = round(share * sum(array.nbytes for array in arrays.values()))
        placed = 0 if self.file.ids is None else values + _ID_BYTES * (n_rows + len(self.file.ids))
        return AttributeShape(values + HEADER_BYTES * len(arrays), placed)

    def arrays(self, ids: IdColumn) -> dict[str, np.ndarray]:
        """What a segment with these ids stores of them."""
        if self.file is None:
            return {}
        return placed(self.file, ids, is_part=self.is_part).by_text(self.schema.tenant).arrays()

    def part(self, rows: slice) -> BuildAttributes:
        """Those of the rows of a slice."""
        file = self.file
        if file is not None and file.ids is None:
            file = replace(file, table=file.table.take(np.arange(rows.start, rows.stop)))
        return replace(self, file=file, is_part=True)


@dataclass(frozen=True)
class AttributeShape:
    """Bytes of attributes: file_bytes, in the folder; memory_bytes, while they are put in order, beyond what
    holds them from the start.
    """

    file_bytes: int
    memory_bytes: int


NO_SHAPE = AttributeShape(0, 0)
_ID_BYTES = 200
"""Of an id while rows are looked up by it: a Python text, its place, and hashes."""
NO_ATTRIBUTES = BuildAttributes(None, NO_COLUMNS)


def given_attributes(
    attributes: Any, attributes_from: str | None, source: Any, kinds: Mapping[str, Any] | None
) -> AttributesFile | None:
    """What a caller passes as attributes: a path, or a table with one row for each of the source.

    attributes_from: "metadata" for those in the corpus `source`. Raises UsageError, and what reading raises.
    """
    known = Schema.of(kinds or {}).kinds
    if attributes_from is not None:
        checks.one_of("attributes_from", attributes_from, (METADATA,))
        if attributes is not None or not isinstance(source, (str, os.PathLike)):
            raise UsageError("attributes_from belongs to the path of a corpus, and attributes stay away then")
        return read_metadata(Path(source), kinds=known)
    if attributes is None:
        return None
    if isinstance(attributes, (str, os.PathLike)):
        return read_attributes(Path(attributes), kinds=known)
    return AttributesFile(Path(), None, make_attributes(attributes, kinds=known))


def described_schema(file: AttributesFile | None, kinds: Mapping[str, Any] | None) -> Schema:
    """Columns of a build: those of the file, and those that were declared."""
    declared = Schema.of(kinds or {})
    found: Mapping[str, Field] = {} if file is None else file.table.schema
    return Schema.of({**found, **declared})


def placed(file: AttributesFile, ids: IdColumn, *, is_part: bool = False) -> Attributes:
    """Attributes in the order of rows, by their ids, or one after the other where the file has none.

    is_part: where no id is known, there are no attributes. Raises DimensionError for another number of rows,
    InputError where no id is known, DuplicateIdError.
    """
    if file.ids is None:
        if file.table.n_rows != len(ids):
            raise DimensionError(
                f"there are {len(ids)} rows, but {file.table.n_rows} rows of attributes without ids; give "
                "each its id, or as many as there are rows"
            )
        return file.table
    names: list[Any] = [str(value) for value in file.ids] if ids.kind == TEXT else file.ids
    given = make_ids(names, len(names))
    if given.kind != ids.kind:
        raise InputError(f"the rows have {ids.kind} ids, but those of the attributes are {given.kind}")
    rows = given.find(ids)
    if (rows < 0).all():
        if is_part:
            return Attributes({}, len(ids))
        raise InputError(
            f"none of the {len(names)} ids of the attributes, such as {names[0]!r}, is that of a row; rows "
            f"have ids such as {ids.take(np.array([0])).tolist()[0]!r}"
        )
    return file.table.take(rows)
