"""An index as files of other tools: a faiss index, vectors with their ids, or centroids and codebooks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.attributes import Attributes
from cluscomp.errors import EmptyInputError, OutputExistsError, UsageError, require
from cluscomp.files import atomic_path
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.bridged import Bridged
from cluscomp.indexes.conversion.rows import READ_ROWS, DecodedRows, document_offsets, ids_of
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.segments.ids import TEXT
from cluscomp.indexes.storage.staging import npy_header
from cluscomp.progress import Progress, Ticker
from cluscomp.vocabulary import LEARNED

Written = Mapping[Path, Callable[[Path], None]]
"""File -> what writes it."""


def export(
    index: StoredIndex[Any], to: str, output: Path, *, replace: bool, dry_run: bool, progress: Progress | None
) -> tuple[Path, ...]:
    """Write the files, the one at `output` last, and return their paths. replace: files that are there.

    Raises OutputExistsError, UsageError (no way back, no counterpart in faiss), EmptyInputError (no rows),
    OptionalDependencyError.
    """
    if not len(index) and to not in LEARNED:
        raise EmptyInputError("the index holds no rows, so there is nothing to write")
    files = _WRITERS[to](index, output, progress)
    taken = [path for path in files if path.exists()]
    if taken and not replace:
        raise OutputExistsError(
            f"{taken[0]} is there already; name another output, or pass if_exists='replace'"
        )
    if not dry_run:
        for path, write in files.items():
            with atomic_path(path) as draft:
                write(draft)
    return tuple(files)


def _faiss(index: StoredIndex[Any], output: Path, progress: Progress | None) -> Written:
    """Rows of text ids are numbered, in the order of the file of ids."""
    faiss = require("faiss", extra="faiss", why="writing a faiss index")
    copied = index.to_faiss(text_ids="rows")  # type: ignore[attr-defined]
    ids = {_beside(output, "ids"): _array_writer(_ids(index))} if index.id_kind == TEXT else {}
    return {**ids, output: lambda draft: faiss.write_index(copied, str(draft))}


def _npy(index: StoredIndex[Any], output: Path, progress: Progress | None) -> Written:
    """Vectors (n, dim), ids (n,), and of documents how many vectors each has."""
    files = {_beside(output, "ids"): _array_writer(_ids(index))}
    if kind_of(index.spec.dense).ragged:
        files[_beside(output, "lengths")] = _array_writer(np.diff(document_offsets(index)))
    rows = DecodedRows(index)

    def write(draft: Path) -> None:
        ticker = Ticker(progress, "write", rows.n)
        with draft.open("xb") as file:
            file.write(npy_header("<f4", (rows.n, rows.dim)))
            for block in rows.blocks(READ_ROWS):
                file.write(memoryview(block.reshape(-1).view(np.uint8)))
                ticker.advance(len(block))

    return {**files, output: write}


def _parquet(index: StoredIndex[Any], output: Path, progress: Progress | None) -> Written:
    """Columns "id", "vector", and the attributes."""
    pa = require("pyarrow", extra="parquet", why="writing a .parquet file")
    parquet = require("pyarrow.parquet", extra="parquet", why="writing a .parquet file")
    if kind_of(index.spec.dense).ragged:
        raise UsageError("a .parquet file has one vector a row, and documents have several; pass to='npy'")
    rows = DecodedRows(index)
    ids: Any = rows.ids
    kind = pa.string() if index.id_kind == TEXT else pa.int64()
    facts = index.attributes(tenant=None)
    _require_free_names(facts)
    columns = [("id", kind), ("vector", pa.list_(pa.float32(), rows.dim))]
    schema = pa.schema([*columns, *facts.take(np.arange(0)).to_arrow().schema])

    def write(draft: Path) -> None:
        ticker, done = Ticker(progress, "write", rows.n), 0
        with closing(parquet.ParquetWriter(str(draft), schema)) as writer:
            for block in rows.blocks(READ_ROWS):
                vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), rows.dim)
                names = pa.array(ids[done : done + len(block)], kind)
                values = facts.take(np.arange(done, done + len(block))).to_arrow().columns
                writer.write_table(pa.Table.from_arrays([names, vectors, *values], schema=schema))
                ticker.advance(len(block))
                done += len(block)

    return {output: write}


def _lance(index: StoredIndex[Any], output: Path, progress: Progress | None) -> Written:
    """Arrays and "arguments" of `create_index`."""
    copied = index.to_lance()  # type: ignore[attr-defined]
    return _learned(output, copied, copied.arguments)


def _cuvs(index: StoredIndex[Any], output: Path, progress: Progress | None) -> Written:
    """Arrays and "arguments" of `build_precomputed`: index_params and dim."""
    copied = index.to_cuvs()  # type: ignore[attr-defined]
    return _learned(output, copied, {"index_params": copied.index_params, "dim": copied.dim, **copied.arrays})


def _learned(output: Path, copied: Bridged, arguments: Mapping[str, Any]) -> Written:
    """One .npz file: each array by its name; "arguments", the others as JSON; "normalize", whether rows are
    scaled to length one; and "projection" (d, dim), by which rows are multiplied then, where there is one.
    """
    arrays: dict[str, Any] = {name: a for name, a in arguments.items() if isinstance(a, np.ndarray)}
    others = {name: value for name, value in arguments.items() if name not in arrays}
    if copied.projection is not None:
        arrays["projection"] = copied.projection
    arrays |= {"arguments": json.dumps(others), "normalize": copied.pipeline.normalizes}

    def write(draft: Path) -> None:
        with draft.open("xb") as file:
            np.savez(file, **arrays)

    return {output: write}


_WRITERS = {"faiss": _faiss, "npy": _npy, "parquet": _parquet, "lance": _lance, "cuvs": _cuvs}


def _require_free_names(facts: Attributes) -> None:
    taken = [name for name in ("id", "vector") if name in facts]
    if taken:
        raise UsageError(
            f"the attribute {taken[0]!r} has the name of a column that the .parquet file needs for the rows; "
            "write the vectors with to='npy', and index.attributes() by itself"
        )


def _beside(output: Path, what: str) -> Path:
    """x.npy -> x.ids.npy."""
    return output.with_name(f"{output.stem}.{what}.npy")


def _ids(index: StoredIndex[Any]) -> np.ndarray:
    return np.asarray(ids_of(index))


def _array_writer(array: np.ndarray) -> Callable[[Path], None]:
    def write(draft: Path) -> None:
        with draft.open("xb") as file:
            np.lib.format.write_array(file, array, allow_pickle=False)

    return write
