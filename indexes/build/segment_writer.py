"""Writing one segment block by block: a table of streams, which each kind of index fills in its way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.indexes.build.described import NO_ATTRIBUTES, BuildAttributes
from cluscomp.indexes.build.id_stream import IdStream
from cluscomp.indexes.segments.ids import INT, IdColumn, IntIds, RangeIds, TextIds
from cluscomp.indexes.stages.ivf import ListAssigner
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.stages.tally import Tally
from cluscomp.indexes.storage.manifest import SegmentEntry
from cluscomp.indexes.storage.names import TEXTS
from cluscomp.indexes.storage.saving import named_segment
from cluscomp.indexes.storage.staging import Draft, Staging, link_or_copy
from cluscomp.indexes.storage.stream import ArrayStream, map_array

NOTHING_TAKEN: Mapping[str, SegmentEntry] = {}


class SegmentWriter:
    """The files of a segment in an unfinished folder. Base class; each kind says what its streams are.

    n_vectors: vectors that will come, if known; balanced lists need to know it. sizes: (nlist,) vectors that
    other segments have in the lists, None for none. chosen: says the lists of the vectors where these were
    chosen beforehand. drafts: arrays that are written already. tally: looks at the vectors that `encode`
    encodes. Methods that write raise OSError; the caller turns it into an error
    that names the index.
    """

    def __init__(
        self,
        folder: Staging,
        pipeline: Pipeline,
        *,
        n_vectors: int | None,
        sizes: np.ndarray | None = None,
        chosen: ListAssigner | None = None,
    ) -> None:
        self.folder, self.pipeline, self.chosen = folder, pipeline, chosen
        self.sizes = np.zeros(pipeline.spec.nlist, dtype=np.int64) if sizes is None else sizes
        self.tally = Tally(pipeline)
        self.rows = 0
        self.drafts: dict[str, Draft] = {}
        self._names: dict[str, str] = {}
        self.ids = IdStream(self.path)
        self.streams: dict[str, ArrayStream] = {}
        try:
            self.start(n_vectors)
            for name, spec in self.table().items():
                self.streams[name] = ArrayStream(self.path(name), spec.dtype, spec.shape[1:])
        except BaseException:
            self.close()
            raise

    # ---- what each kind says ----

    def start(self, n_vectors: int | None) -> None:
        """Prepare for the first block."""

    def table(self) -> dict[str, ArraySpec]:
        """Streams: name -> dtype and shape of a row. Names with a dot in front are temporary."""
        raise NotImplementedError

    def checked(self, block: Any) -> tuple[Any, int]:
        """A block as `encode` takes it, and how many rows it has."""
        raise NotImplementedError

    def encode(self, block: Any, ids: IdColumn) -> Iterator[dict[str, np.ndarray]]:
        """What the streams take of a block, piece by piece."""
        raise NotImplementedError

    def arrange(self, specs: dict[str, ArraySpec], block_bytes: int) -> dict[str, ArraySpec]:
        """Last passes over the finished streams; returns the arrays that stay, in the order of the manifest.

        block_bytes: codes to hold at a time.
        """
        return specs

    @classmethod
    def temporary_bytes(cls, pipeline: Pipeline, n_vectors: int) -> int:
        """Bytes on disk that the temporary streams take."""
        return 0

    @classmethod
    def finishing_bytes(cls, pipeline: Pipeline, n_vectors: int, block_bytes: int) -> int:
        """Peak bytes in memory of `arrange`."""
        return 0

    @classmethod
    def vectors(cls, block: Any) -> np.ndarray:
        """The vectors (n, dim) of a block that has passed `checked`, as `Pipeline.encode` takes them."""
        rows: np.ndarray = block
        return rows

    # ---- the same for all ----

    def list_assigner(self, n_vectors: int | None) -> ListAssigner | None:
        """What says the lists of the vectors; None without lists."""
        return self.chosen or self.pipeline.list_assigner(self.sizes.copy(), n_vectors)

    def ready(self, block: Any, ids: Any) -> tuple[Any, IdColumn]:
        """A block and its ids, checked, for `add`. ids: as `Index.add` takes them."""
        block, n = self.checked(block)
        return block, self.ids.column(ids, n)

    def add(self, block: Any, ids: IdColumn) -> None:
        """Encode and write a block."""
        self.take(block, ids)
        self.ids.append(ids)

    def take(self, block: Any, ids: IdColumn) -> None:
        """Encode and write a block, but for its ids."""
        for values in self.encode(block, ids):
            for name, rows in values.items():
                self.streams[name].append(rows)
        self.rows += len(ids)

    def arranged(self, block_bytes: int) -> dict[str, Draft]:
        """Finish the streams; returns all arrays but those of the ids."""
        arrays = self.arrange({name: stream.finish() for name, stream in self.streams.items()}, block_bytes)
        for name, spec in arrays.items():
            self.drafts[name] = self.folder.streamed(self.file(name), spec)
        return self.drafts

    def finish(
        self,
        block_bytes: int,
        described: BuildAttributes = NO_ATTRIBUTES,
        texts: Path | None = None,
        taken: Mapping[str, SegmentEntry] = NOTHING_TAKEN,
    ) -> SegmentEntry:
        """Compare the ids of all blocks, arrange the files and enter them in the folder.

        described: attributes of the rows. texts: SQLite file of their titles and texts, which is linked or
        copied. taken: segments that are in the folder already, by name. Returns the segment's line of the
        manifest. Raises DuplicateIdError, and what attributes raise that do not fit the ids.
        """
        arrays, entry = self.ids.finish(block_bytes)
        self.drafts = self.arranged(block_bytes)
        for name, spec in arrays.items():
            self.drafts[name] = self.folder.streamed(self.file(name), spec)
        for name, array in described.arrays(self._ids_of(entry)).items() if described.file else ():
            self.drafts[name] = self.folder.write_array(array, array.dtype.str)
        if texts is not None:
            self.drafts[TEXTS] = self.folder.write_file(lambda path: link_or_copy(texts, path))
        named = named_segment(self.folder, entry, self.drafts, taken)
        return replace(named, statistics=self.tally.statistics())

    def _ids_of(self, entry: SegmentEntry) -> IdColumn:
        """The ids of all rows, mapped."""
        if entry.ids == "range":
            return RangeIds(entry.first_id, entry.rows)
        arrays = {
            name: self._mapped(name) for name in ("ids", "ids_text", "ids_offsets") if name in self.drafts
        }
        return (
            IntIds(arrays["ids"]) if entry.ids == INT else TextIds(arrays["ids_text"], arrays["ids_offsets"])
        )

    def _mapped(self, name: str) -> np.ndarray:
        entry = self.drafts[name].entry
        assert entry.dtype is not None
        return map_array(self.path(name), ArraySpec(entry.dtype, entry.shape or ()))

    def path(self, name: str) -> Path:
        """File of a stream or array."""
        return self.folder.folder / self.file(name)

    def file(self, name: str) -> str:
        """Its name, which passes: those that stay get theirs by contents."""
        if name not in self._names:
            self._names[name] = self.folder.passing_name()
        return self._names[name]

    def close(self) -> None:
        """Close all files; may be called twice."""
        self.ids.close()
        for stream in self.streams.values():
            stream.close()
