"""Writing the folder of a multi-vector index whose documents come in blocks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.errors import EmptyInputError
from cluscomp.indexes.build.id_stream import IdStream
from cluscomp.indexes.multivector.index import MultiVectorIndex
from cluscomp.indexes.multivector.segment import document_arrays, encode_vectors, require_vectors
from cluscomp.indexes.stages.pipeline import BLOCK_ROWS
from cluscomp.indexes.storage.folder import FolderWriter
from cluscomp.indexes.storage.saving import parameter_arrays, segment_file, write_stored
from cluscomp.indexes.storage.stream import ArrayStream
from cluscomp.multivector import Ragged

ID_MEMORY = 64 << 20


class DocumentWriter:
    """Builds the folder of `index` (trained, without documents) from pooled documents; a context manager.

    Nothing is left behind unless `finish` returned. if_exists: "fail" or "replace". n_vectors: of all
    documents together; balanced lists need to know it beforehand.
    """

    def __init__(self, index: MultiVectorIndex, path: Path, *, if_exists: str, n_vectors: int) -> None:
        self.index, self._pipeline = index, index.pipeline
        self.documents = 0
        self._writer = FolderWriter(path, if_exists=if_exists)
        folder = self._writer.folder
        self._streams = {
            name: ArrayStream(folder / segment_file(0, name), spec.dtype, spec.shape[1:])
            for name, spec in document_arrays(self._pipeline, 0, 0).items()
        }
        self._ids = IdStream(folder)
        self._intake = self._pipeline.list_assigner(np.zeros(index.spec.nlist, dtype=np.int64), n_vectors)
        self._vectors = 0
        self._streams["doc_offsets"].append(np.zeros(1, dtype=np.int64))

    def __enter__(self) -> DocumentWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self._streams.values():
            stream.close()
        self._ids.close()
        self._writer.abort()

    def add(self, documents: Ragged, ids: Any) -> None:
        """Encode and write a block of pooled documents; either all blocks come with ids or none."""
        column = self._ids.column(ids, len(documents))
        require_vectors(documents, column)
        with self._writer.disk_errors():
            for block in iter_blocks(documents.rows.shape[0], BLOCK_ROWS):
                for name, values in encode_vectors(
                    self._pipeline, documents.rows[block], self._intake
                ).items():
                    self._streams[name].append(values)
            self._streams["doc_offsets"].append(documents.offsets[1:] + self._vectors)
            self._ids.append(column)
        self.documents += len(documents)
        self._vectors += int(documents.offsets[-1])

    def finish(self, *, extra_files: Mapping[str, Any]) -> None:
        """Write parameters and manifest, and put the folder in its place. extra_files: as
        `IndexWriter.finish`.
        """
        if self.documents == 0:
            raise EmptyInputError("no document was added, so there is nothing to index")
        writer = self._writer
        with writer.disk_errors():
            arrays, entry = self._ids.finish(ID_MEMORY)
            arrays |= {name: stream.finish() for name, stream in self._streams.items()}
            for name, spec in arrays.items():
                writer.register_array(segment_file(0, name), spec)
            for stored in parameter_arrays(self._pipeline):
                write_stored(writer, stored)
            extra = {}
            for name, source in extra_files.items():
                if isinstance(source, bytes):
                    (writer.folder / name).write_bytes(source)
                    extra[name] = writer.digest_extra(name)
                else:
                    extra[name] = writer.copy(name, Path(source))
        writer.publish(self._ids.complete(self.index.manifest(writer.entries, extra), entry))
