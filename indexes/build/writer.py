"""Writing an index that is larger than memory: rows come in blocks, arrays go straight into files.

writer = IndexWriter(index, output, n_rows=n)      # index: trained, without rows
for block, ids in ...: writer.add(block, ids)
writer.finish(texts=path)   # puts the folder in its place
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from cluscomp.errors import DimensionError, EmptyInputError, UsageError
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.build.described import NO_ATTRIBUTES, BuildAttributes
from cluscomp.indexes.build.recipe import recipe_of
from cluscomp.indexes.build.segment_writer import SegmentWriter
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.storage.folder import check_file_name
from cluscomp.indexes.storage.parts import part_bytes, trained_bytes
from cluscomp.indexes.storage.place import Place
from cluscomp.indexes.storage.places import place_of
from cluscomp.indexes.storage.saving import Written, write_stages
from cluscomp.indexes.storage.staging import link_or_copy

DEFAULT_BLOCK_BYTES = 64 << 20
LONGEST_WAIT = 600.0
"""Seconds to wait, in the end, for a writer of the index that is replaced."""


class IndexWriter:
    """Builds the folder of `index` with rows that never lie in memory together.

    index: trained, without rows; it is not changed. path: where the index shall stand. if_exists: "fail" or
    "replace". n_rows: how many rows will come, if known: asks for the disk room beforehand, and must then be
    right. n_vectors: how many vectors documents have together, if known. max_block_bytes: bytes of codes that
    the last passes hold at a time. described: attributes of the rows. Use as a context manager, or call
    `abort` on errors: nothing is left behind unless `finish` returned.

    Raises NotTrainedError, UsageError, OutputExistsError, DiskFullError.
    """

    def __init__(
        self,
        index: StoredIndex[Any],
        path: str | os.PathLike[str] | Place,
        *,
        if_exists: str = "fail",
        n_rows: int | None = None,
        n_vectors: int | None = None,
        max_block_bytes: int = DEFAULT_BLOCK_BYTES,
        described: BuildAttributes = NO_ATTRIBUTES,
    ) -> None:
        index.pipeline.require_trained()
        if len(index.segments):
            raise UsageError(
                f"the index holds {len(index)} rows already; add to it with index.add and save it"
            )
        self.index, self.n_rows, self.max_block_bytes = index, n_rows, max_block_bytes
        self._closed = False
        self._described = described
        self._extra: dict[str, Path] = {}
        self._segment: SegmentWriter | None = None
        kind, n_vectors = recipe_of(index.spec).writer, n_rows if n_vectors is None else n_vectors
        needed = 0 if n_rows is None or n_vectors is None else _needed_bytes(index, n_rows, n_vectors)
        place = place_of(path) if isinstance(path, (str, os.PathLike)) else path
        self._writer = place.new_index(if_exists, needed, LONGEST_WAIT)
        try:
            with self._writer.disk_errors():
                self._segment = kind(self._writer, index.pipeline, n_vectors=n_vectors)
        except BaseException:
            self.abort()
            raise

    def __enter__(self) -> IndexWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    @property
    def rows_written(self) -> int:
        """Rows that were added so far."""
        return 0 if self._segment is None else self._segment.rows

    def add(self, rows: Any, ids: Any = None) -> None:
        """Encode and write a block under ids as `Index.add` takes them.

        rows: (n, dim), or pooled documents (`Ragged`) for an index of documents. Either all blocks come with
        ids or none. Ids are compared within the block now, and over all blocks by `finish`. Raises
        DimensionError, NonFiniteError (naming the id), DTypeError, DuplicateIdError, DiskFullError.
        """
        segment = self._open_segment()
        block, column = segment.ready(rows, ids)
        try:
            with self._writer.disk_errors():
                segment.add(block, column)
        except BaseException:
            self.abort()  # a part of the block may be in the files
            raise

    def extra_path(self, name: str) -> Path:
        """Path inside the unfinished folder, for a file that the caller writes before `finish`."""
        check_file_name(name)
        self._extra[name] = self._writer.folder / name
        return self._extra[name]

    def finish(
        self,
        *,
        texts: Path | None = None,
        extra_files: Mapping[str, str | os.PathLike[str] | bytes] | None = None,
    ) -> None:
        """Arrange the files, write the manifest and put the folder in its place.

        texts: SQLite file of titles and texts of the rows, as `write_rows` makes it. extra_files: name ->
        path of a file to link or copy into the index, or the bytes of one.
        Raises DuplicateIdError, DimensionError (not n_rows rows came), EmptyInputError, DiskFullError.
        """
        segment = self._open_segment()
        self._check_count()
        writer = self._writer
        try:
            with writer.disk_errors():
                entry = segment.finish(self.max_block_bytes, self._described, texts)
                mark = write_stages(writer, self.index.pipeline)
                self._take_extra(extra_files or {})
            written = Written(mark, (entry,), writer.entries)
            manifest = segment.ids.complete(self.index.manifest(written, writer.extra))
            writer.publish(replace(manifest, attributes=self._described.schema.to_json()))
        finally:
            self.abort()

    def abort(self) -> None:
        """Remove everything that was written; may be called twice, and after `finish`."""
        self._closed = True
        if self._segment is not None:
            self._segment.close()
        self._writer.abort()

    # ---- inside ----

    def _open_segment(self) -> SegmentWriter:
        if self._closed or self._segment is None:
            raise UsageError("this writer has finished or was stopped by an error; make a new IndexWriter")
        return self._segment

    def _check_count(self) -> None:
        if self.rows_written == 0:
            raise EmptyInputError("no row was added, so there is nothing to index")
        if self.n_rows is not None and self.n_rows != self.rows_written:
            raise DimensionError(f"{self.n_rows} rows were announced, but {self.rows_written} came")

    def _take_extra(self, files: Mapping[str, str | os.PathLike[str] | bytes]) -> None:
        for name, source in files.items():
            target = self.extra_path(name)
            if isinstance(source, bytes):
                target.write_bytes(source)
            else:
                link_or_copy(Path(source), target)
        for name in self._extra:
            self._writer.take_extra(name)


def _needed_bytes(index: StoredIndex[Any], n_rows: int, n_vectors: int) -> int:
    """Bytes on disk while the build runs, as far as they are known beforehand."""
    segment = kind_of(index.spec).segment
    arrays = segment.new_arrays(index.pipeline, n_rows, n_vectors)
    stored = sum(part_bytes(segment, arrays, n_rows).values()) + sum(trained_bytes(index.pipeline).values())
    return stored + recipe_of(index.spec).writer.temporary_bytes(index.pipeline, n_vectors)
