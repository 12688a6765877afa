"""Opening Parquet files and reading them batch by batch, with errors of this package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cluscomp import errors
from cluscomp.errors import MalformedFileError
from cluscomp.inputs.files import refuse_foreign


def open_parquet(path: Path, *, why: str) -> Any:
    """Open a `pyarrow.parquet.ParquetFile` that reads page by page.

    Raises MalformedFileError; OptionalDependencyError without pyarrow, naming `why` it is needed.
    """
    parquet = errors.require("pyarrow.parquet", extra="parquet", why=why)
    lib = errors.require("pyarrow.lib", extra="parquet", why=why)
    try:
        # pre_buffer would hold the column chunks of whole row groups in memory
        return parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
    except (lib.ArrowException, OSError) as exc:
        with path.open("rb") as handle:
            if handle.read(4) != b"PAR1":
                refuse_foreign(path, "a Parquet file")
        raise _damaged(path, exc) from exc


def iter_parquet_batches(
    file: Any, path: Path, *, rows: int, columns: Sequence[str], row_groups: Sequence[int] | None = None
) -> Iterator[Any]:
    """Yield `pyarrow.RecordBatch`es of at most `rows` rows in file order. Raises MalformedFileError."""
    lib = errors.require("pyarrow.lib", extra="parquet", why=f"reading {path.name}")
    try:
        yield from file.iter_batches(batch_size=rows, columns=list(columns), row_groups=row_groups)
    except (lib.ArrowException, OSError) as exc:
        raise _damaged(path, exc) from exc


def _damaged(path: Path, exc: Exception) -> MalformedFileError:
    return MalformedFileError(f"{path} is no complete Parquet file ({exc}); write or fetch it again")
