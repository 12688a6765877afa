"""The results file: one line of JSON a row, appended as it is measured, and the same as Parquet."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cluscomp.errors import MalformedFileError, require
from cluscomp.files import atomic_path, flush

Row = dict[str, Any]
FORMAT = 2


def identity(facts: Mapping[str, Any]) -> str:
    """A name for what a row depends on: equal facts, equal name."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8"), digest_size=10).hexdigest()


class ResultsFile:
    """Rows by identity, kept in a file of JSON lines. A line that a killed run left half is dropped.

    Raises MalformedFileError for a file that is none of ours.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, Row] = {}
        if path.exists():
            whole = self._read()
            with path.open("r+b") as handle:
                handle.truncate(whole)

    def append(self, row: Row) -> None:
        """Keep a row; it is on disk when this returns. A later row takes the place of one of its identity."""
        line = json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n"
        with self.path.open("ab") as handle:
            handle.write(line.encode("utf-8"))
            flush(handle)
        self.rows[row["identity"]] = row

    def done(self, name: str) -> bool:
        """Whether the row was measured; one that failed is tried again."""
        return name in self.rows and self.rows[name].get("error") is None

    def _read(self) -> int:
        """Read all whole lines; returns their bytes."""
        read = 0
        for number, line in enumerate(self.path.read_bytes().splitlines(keepends=True), 1):
            if not line.endswith(b"\n"):
                break
            try:
                row = json.loads(line)
                self.rows[row["identity"]] = row
            except (ValueError, KeyError, TypeError) as exc:
                raise MalformedFileError(
                    f"{self.path}:{number} is no row of a comparison ({exc}); name another output, or "
                    "remove the file"
                ) from exc
            read += len(line)
        return read


def write_parquet(rows: Sequence[Row], path: Path) -> None:
    """Write rows as a Parquet table, complete or not at all. Raises OptionalDependencyError without
    pyarrow.
    """
    pyarrow = require("pyarrow", extra="parquet", why="results as Parquet")
    parquet = require("pyarrow.parquet", extra="parquet", why="results as Parquet")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = pyarrow.table({name: [plain(row.get(name)) for row in rows] for name in columns})
    with atomic_path(path) as draft:
        parquet.write_table(table, draft)


def plain(value: Any) -> Any:
    """JSON values of NumPy's; NaN and infinity become None."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    return None if isinstance(value, float) and not math.isfinite(value) else value
