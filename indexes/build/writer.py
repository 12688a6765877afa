"""Writing an index that is larger than memory: rows come in blocks, arrays go straight into files.

    writer = IndexWriter(index, output, n_rows=n)      # index: trained, without rows
    for block, ids in ...: writer.add(block, ids)
    writer.finish(extra_files={"docs.sqlite": path})   # puts the folder in its place

Ids and finer codes are stored in order of adding and streamed at once. Codes of a partitioned index belong
list by list, and the sizes of the lists are known only at the end: the first pass writes codes and lists in
order of adding to temporary files; the second reads them back in blocks, sorts each block by list, and writes
each run where its list continues. Memory is bounded by the block size, whatever the number of rows (costs.py
counts it).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from cluscomp.arrays import as_rows, iter_blocks
from cluscomp.errors import DimensionError, EmptyInputError, UsageError
from cluscomp.indexes.build.costs import temporary_bytes
from cluscomp.indexes.build.finishing import arrange_file, write_prescreen
from cluscomp.indexes.build.id_stream import IdStream
from cluscomp.indexes.index import Index
from cluscomp.indexes.segments.segment import encode_block, list_offsets, position_dtype, segment_arrays
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import BLOCK_ROWS, EncodedRows
from cluscomp.indexes.stages.prescreen import PRESCREEN_ARRAYS
from cluscomp.indexes.storage.folder import FolderWriter, check_file_name
from cluscomp.indexes.storage.manifest import FileEntry
from cluscomp.indexes.storage.parts import part_bytes, trained_bytes
from cluscomp.indexes.storage.saving import parameter_arrays, segment_file, write_stored
from cluscomp.indexes.storage.stream import ArrayStream, GroupedFile

DEFAULT_BLOCK_BYTES = 64 << 20


class IndexWriter:
    """Builds the folder of `index` with rows that never lie in memory together.

    index: trained, without rows; it is not changed. path: where the index shall stand. if_exists: "fail" or
    "replace". n_rows: how many rows will come, if known: asks for the disk room beforehand, and must then be
    right. max_block_bytes: bytes of codes that the second pass holds at a time. Use as a context manager, or
    call `abort` on errors: nothing is left behind unless `finish` returned.

    Raises NotTrainedError, UsageError, OutputExistsError, DiskFullError.
    """

    def __init__(
        self,
        index: Index,
        path: str | os.PathLike[str],
        *,
        if_exists: str = "fail",
        n_rows: int | None = None,
        max_block_bytes: int = DEFAULT_BLOCK_BYTES,
    ) -> None:
        index.pipeline.require_trained()
        if len(index.segments):
            raise UsageError(
                f"the index holds {len(index)} rows already; add to it with index.add and save it"
            )
        self.index, self.n_rows, self.max_block_bytes = index, n_rows, max_block_bytes
        self.rows_written = 0
        self._closed = False
        self._pipeline = index.pipeline
        self._writer = FolderWriter(
            Path(path), if_exists=if_exists, needed_bytes=_needed_bytes(index, n_rows)
        )
        self._extra: dict[str, Path] = {}
        try:
            with self._writer.disk_errors():
                self._open_streams()
        except BaseException:
            self.abort()
            raise

    def __enter__(self) -> IndexWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def add(self, rows: Any, ids: Any = None) -> None:
        """Encode and write a block of rows (n, dim) under ids as `Index.add` takes them.

        Either all blocks come with ids or none. Ids are compared within the block now, and over all blocks by
        `finish`. Raises DimensionError, NonFiniteError (naming the id), DTypeError, DuplicateIdError,
        DiskFullError.
        """
        self._require_open()
        block = as_rows(rows, check_finite=False)
        if block.shape[1] != self.index.dim:
            raise DimensionError(f"index has dim {self.index.dim}, rows have dim {block.shape[1]}")
        column = self._ids.column(ids, block.shape[0])
        try:
            with self._writer.disk_errors():
                for part in iter_blocks(block.shape[0], BLOCK_ROWS):
                    self._write(encode_block(self._pipeline, block[part], column, part.start, self._intake))
                self._ids.append(column)
        except BaseException:
            self.abort()  # a part of the block may be in the files
            raise
        self.rows_written += block.shape[0]

    def extra_path(self, name: str) -> Path:
        """Path inside the unfinished folder, for a file that the caller writes before `finish`."""
        check_file_name(name)
        self._extra[name] = self._writer.folder / name
        return self._extra[name]

    def finish(self, *, extra_files: Mapping[str, str | os.PathLike[str] | bytes] | None = None) -> None:
        """Group the lists, write the manifest and put the folder in its place.

        extra_files: name -> path of a file to link or copy into the index, or the bytes of one.
        Raises DuplicateIdError, DimensionError (not n_rows rows came), EmptyInputError, DiskFullError.
        """
        self._require_open()
        self._check_count()
        writer = self._writer
        try:
            with writer.disk_errors():
                id_arrays, entry = self._ids.finish(self.max_block_bytes)
                self._finish_segment(id_arrays)
                for stored in parameter_arrays(self._pipeline):
                    write_stored(writer, stored)
                extra = self._take_extra(extra_files or {})
            manifest = self.index.manifest(writer.entries, extra)
            writer.publish(self._ids.complete(manifest, entry))
        finally:
            self.abort()

    def abort(self) -> None:
        """Remove everything that was written; may be called twice, and after `finish`."""
        self._closed = True
        for stream in self._streams():
            stream.close()
        self._writer.abort()

    # ---- inside ----

    def _require_open(self) -> None:
        if self._closed:
            raise UsageError("this writer has finished or was stopped by an error; make a new IndexWriter")

    def _write(self, encoded: EncodedRows) -> None:
        self._codes.append(encoded.codes)
        if encoded.refine is not None and self._refine is not None:
            self._refine.append(encoded.refine)
        if encoded.labels is not None and self._labels is not None:
            self._labels.append(encoded.labels)
            self._counts += np.bincount(encoded.labels, minlength=self._counts.shape[0])

    def _open_streams(self) -> None:
        pipeline, folder = self._pipeline, self._writer.folder
        codec, refine, partition = pipeline.codec, pipeline.refine, pipeline.partition
        codes_name = segment_file(0, "codes") if partition is None else ".codes"
        self._codes = ArrayStream(folder / codes_name, codec.code_dtype, (codec.code_width,))
        self._labels = None if partition is None else ArrayStream(folder / ".labels", "<i4", ())
        self._refine = None
        if refine is not None:
            self._refine = ArrayStream(
                folder / segment_file(0, "refine"), refine.code_dtype, (refine.code_width,)
            )
        self._counts = np.zeros(pipeline.spec.nlist, dtype=np.int64)
        self._intake = pipeline.list_assigner(self._counts, self.n_rows)
        self._ids = IdStream(folder)

    def _streams(self) -> list[Any]:
        names = ("_codes", "_labels", "_refine", "_ids")
        return [stream for stream in (getattr(self, name, None) for name in names) if stream is not None]

    def _check_count(self) -> None:
        if self.rows_written == 0:
            raise EmptyInputError("no row was added, so there is nothing to index")
        if self.n_rows is not None and self.n_rows != self.rows_written:
            raise DimensionError(f"{self.n_rows} rows were announced, but {self.rows_written} came")

    def _finish_segment(self, id_arrays: dict[str, ArraySpec]) -> None:
        arrays = dict(id_arrays)
        if self._refine is not None:
            arrays["refine"] = self._refine.finish()
        codes = self._codes.finish()
        arrays["codes"] = codes
        offsets = np.array([0, self.rows_written], dtype=np.int64)
        if self._labels is not None:
            self._labels.finish()
            arrays["positions"] = self._group_lists(codes)
            offsets = list_offsets(self._counts)
            self._writer.write_array(segment_file(0, "offsets"), offsets, "<i8")
        path = self._writer.folder / segment_file(0, "codes")
        arrange_file(self._pipeline.codec, path, codes, offsets, self.max_block_bytes)
        if self._pipeline.spec.has_prescreen:
            paths = {name: self._writer.folder / segment_file(0, name) for name in PRESCREEN_ARRAYS}
            metric = self._pipeline.score_metric
            arrays |= write_prescreen(self._codes, paths, metric, self.max_block_bytes)
        for name, spec in arrays.items():
            self._writer.register_array(segment_file(0, name), spec)

    def _group_lists(self, codes: ArraySpec) -> ArraySpec:
        """Second pass: codes from order of adding to list order, and the positions that say so."""
        assert self._labels is not None
        n = self.rows_written
        positions = ArraySpec(position_dtype(n), (n,))
        width = codes.nbytes // n
        with (
            self._writer.create(segment_file(0, "codes")) as codes_file,
            self._writer.create(segment_file(0, "positions")) as positions_file,
        ):
            grouped = GroupedFile(codes_file, codes), GroupedFile(positions_file, positions)
            next_row = list_offsets(self._counts)[:-1].copy()
            for block in iter_blocks(n, max(1, self.max_block_bytes // width)):
                labels, rows = self._labels.read(block), self._codes.read(block)
                order = np.argsort(labels, kind="stable")
                lists, starts = np.unique(labels[order], return_index=True)
                numbers = (order + block.start).astype(positions.dtype)
                for file, values in zip(grouped, (rows[order], numbers), strict=True):
                    file.write_runs(values, starts, next_row[lists])
                next_row[lists] += np.diff(starts, append=len(order))
        self._codes.remove()
        self._labels.remove()
        return positions

    def _take_extra(self, files: Mapping[str, str | os.PathLike[str] | bytes]) -> dict[str, FileEntry]:
        for name, source in files.items():
            target = self.extra_path(name)
            if isinstance(source, bytes):
                target.write_bytes(source)
            else:
                _link_or_copy(Path(source), target)
        return {name: self._writer.digest_extra(name) for name in self._extra}


def _needed_bytes(index: Index, n_rows: int | None) -> int:
    """Bytes on disk while the build runs, as far as they are known beforehand."""
    if n_rows is None:
        return 0
    sizes = part_bytes(segment_arrays(index.pipeline, n_rows), n_rows) | trained_bytes(index.pipeline)
    return sum(sizes.values()) + temporary_bytes(index.pipeline, n_rows)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
