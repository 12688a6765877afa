"""Vectors from files, opened by name and read in blocks of bounded memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from cluscomp.errors import MalformedFileError, MissingInputError, UsageError
from cluscomp.inputs.columns import Columns
from cluscomp.inputs.files import iter_lines, require_file
from cluscomp.inputs.npy import load_id_array, open_npy, open_npz
from cluscomp.inputs.objects import local_input
from cluscomp.inputs.parts import PartsSource
from cluscomp.inputs.sources import ArraySource, Ids, VectorSource, check_ids
from cluscomp.inputs.vecs import BIN_DTYPES, VECS_DTYPES, open_bin, open_vecs
from cluscomp.inputs.vectors_parquet import ParquetVectors

__all__ = ["ArraySource", "VectorSource", "open_embeddings", "read_ids"]

_OPENERS: Mapping[str, Callable[[Path], VectorSource]] = {
    ".npy": open_npy,
    ".npz": open_npz,
    ".parquet": ParquetVectors,
    **dict.fromkeys(VECS_DTYPES, open_vecs),
    **dict.fromkeys(BIN_DTYPES, open_bin),
}


def open_embeddings(
    path: str | Path, ids_path: str | Path | None = None, *, columns: Columns | None = None
) -> VectorSource:
    """Open a file of vectors, or a folder of part files, without reading it.

    path: .npy, .npz (one array, or "embeddings" with "ids"), .fvecs, .bvecs, .fbin, .f16bin, .u8bin,
    .i8bin, .parquet (a list column, with an id column), or a folder whose files of one such kind are joined
    in the order of their names, numbers in them by value (part_2 comes before part_10). Files whose names
    begin with a dot, such as macOS's ._part_2.npy, are passed over. Or an address of an object store
    (s3://bucket/x.npy), whose objects are first copied into the cache folder.
    ids_path: ids of the rows, see `read_ids`; they take the place of ids inside the file.
    columns: of .parquet files, the names of the columns "vectors" and "id".

    The result hands out float16 for float16 files and float32 for all others, block by block (see
    VectorSource).
    Raises MissingInputError, MalformedFileError (LFS pointer, truncated, another format), DimensionError,
    DTypeError, EmptyInputError, DuplicateIdError; UsageError for an unknown kind of file.
    """
    path = local_input("path", path, lambda name: Path(name).suffix.lower() in _OPENERS)
    source = _open_folder(path, columns) if path.is_dir() else _open_file(path, columns)
    if ids_path is not None:
        source.ids = read_ids(ids_path, source.n)
    return source


def read_ids(path: str | Path, n: int | None = None) -> Ids:
    """Ids of n rows from a file, or of as many as there are.

    A .npy holds integers (-> int64 array) or strings; any other file is text with one string id a line.
    Ids from text are always strings, "007" and "7" stay apart. A name ending in .gz is decompressed.
    Raises MissingInputError, MalformedFileError, DimensionError (both counts), DTypeError, DuplicateIdError.
    """
    path = require_file(path)
    if path.suffix.lower() == ".npy":
        values = load_id_array(path)
        return check_ids(values, len(values) if n is None else n, str(path))
    ids = [line for _, line in iter_lines(path)]
    blank = next((number for number, line in enumerate(ids, 1) if not line.strip()), None)
    if blank is not None:
        raise MalformedFileError(f"{path}:{blank}: the id is blank; every line holds the id of one row")
    return check_ids(ids, len(ids) if n is None else n, str(path))


def _open_file(path: Path, columns: Columns | None) -> VectorSource:
    path = require_file(path)
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        raise UsageError(
            f"cannot tell the format of {path} by its name; names must end in {', '.join(_OPENERS)}"
        )
    if columns and path.suffix.lower() != ".parquet":
        raise UsageError(f"columns belong to .parquet files, and {path} is none")
    return ParquetVectors(path, columns) if columns else opener(path)


def _natural_order(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Names as alternating texts and whole numbers; equal ones by their spelling."""
    parts = re.split(r"([0-9]+)", path.stem)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p], path.name


def _open_folder(folder: Path, columns: Columns | None) -> VectorSource:
    paths = [entry for entry in folder.iterdir() if entry.suffix.lower() in _OPENERS]
    paths = sorted((path for path in paths if not path.name.startswith(".")), key=_natural_order)
    kinds = sorted({entry.suffix.lower() for entry in paths})
    if not paths:
        raise MissingInputError(f"the folder {folder} holds no file of vectors ({', '.join(_OPENERS)})")
    if len(kinds) > 1:
        raise UsageError(
            f"the folder {folder} holds files of several kinds ({', '.join(kinds)}); name one file"
        )
    return PartsSource(folder, paths, [_open_file(path, columns) for path in paths])
