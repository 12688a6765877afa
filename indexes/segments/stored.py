"""Base class of all kinds of segments: rows that were added together, their ids and deletions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

import numpy as np

from cluscomp.attributes import Attributes
from cluscomp.attributes.table import array_name
from cluscomp.bits import count_bits, inverted
from cluscomp.errors import CorruptIndexError, UsageError
from cluscomp.indexes.segments.faults import floats_fault
from cluscomp.indexes.segments.ids import IdColumn
from cluscomp.indexes.segments.numbered import NumberedVectors
from cluscomp.indexes.segments.texts import RowTexts
from cluscomp.indexes.segments.tombstones import Tombstones
from cluscomp.indexes.stages.codec import Codes, rerank_name
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.portable import Portable
from cluscomp.progress import Ticker

Self = TypeVar("Self", bound="StoredSegment")
Described = TypeVar("Described", bound="WithAttributes")
Shapes = Mapping[str, tuple[int, ...]]
"""Shape of each array of a segment that a manifest lists."""


@dataclass(frozen=True)
class StoredRows:
    """What a folder holds of one segment. Dtypes and shapes have been checked, values have not.

    arrays: memory-mapped, by name. ids, deleted, files: as in `StoredSegment`. file_of: name of the file of
    an array, for messages.
    """

    n_rows: int
    arrays: dict[str, np.ndarray]
    ids: IdColumn
    deleted: Tombstones | None
    files: Mapping[str, Any]
    file_of: Callable[[str], str]

    def offsets(self, name: str, values: Any, total: int) -> np.ndarray:
        """`values` in memory, checked, as kernels use them as addresses: they must rise from 0 to total."""
        offsets = np.array(values, dtype=np.int64)
        if offsets[0] != 0 or offsets[-1] != total or (np.diff(offsets) < 0).any():
            raise CorruptIndexError(
                f"{self.file_of(name)}: offsets run from {offsets[0]} to {offsets[-1]}, but must rise "
                f"from 0 to {total}; the index is damaged; restore a copy or rebuild it"
            )
        return offsets


@dataclass(frozen=True, kw_only=True)
class AtHome(Portable):
    """What a segment knows of the folder that holds it.

    name: there, made from its contents; None before it was saved. deletions: SourceFile that holds `deleted`
    as it is, or None. statistics: JSON values about its rows, which are saved with it. texts: titles and
    texts of its rows, or None.
    """

    name: str | None = None
    deletions: Any = None
    statistics: Mapping[str, Any] = field(default_factory=dict)
    texts: RowTexts | None = None


@dataclass(frozen=True, kw_only=True)
class WithAttributes(AtHome):
    """What rows of every kind may have. attributes: of the rows by position, None without any."""

    attributes: Attributes | None = None

    def attribute_arrays(self) -> dict[str, np.ndarray]:
        """What is stored of the attributes: name of the file part -> array."""
        return {} if self.attributes is None else self.attributes.arrays()

    def described(self: Described, attributes: Attributes | None) -> Described:
        """The segment with other attributes. It gets another name, and those of its files that stay as they
        are will be linked.
        """
        old, new = self.attribute_arrays(), {} if attributes is None else attributes.arrays()
        changed = {name for name in old if new.get(name) is not old[name]}
        files = {name: file for name, file in getattr(self, "files", {}).items() if name not in changed}
        values: dict[str, Any] = {"attributes": attributes, "files": files, "name": None, "deletions": None}
        return replace(self, **values)


class StoredSegment(WithAttributes):
    """Base of the frozen dataclasses of all kinds, such as `Segment` and `DocumentSegment`.

    ids: of the rows. deleted: those marked as deleted, None for none. files: name -> SourceFile of
    arrays that are memory-mapped. parts: array -> part of the folder that its bytes are counted under; other
    arrays are those of codecs (`part_of`). notes: part -> what `inspect` says about it, where it is not one
    of the common parts.
    """

    parts: ClassVar[Mapping[str, str]]
    notes: ClassVar[Mapping[str, str]] = {}
    ids: IdColumn
    deleted: Tombstones | None
    files: Mapping[str, Any]

    @classmethod
    def part_of(cls, name: str) -> str:
        """Part of the folder that an array is counted under; what a codec stores besides its codes counts as
        codes.
        """
        return cls.parts.get(name) or ("refine" if name.startswith("refine_") else "codes")

    @property
    def n_rows(self) -> int:
        """Rows stored, deleted ones included."""
        return len(self.ids)

    @property
    def n_deleted(self) -> int:
        """Rows marked as deleted."""
        return 0 if self.deleted is None else self.deleted.count

    @property
    def skip_bits(self) -> np.ndarray | None:
        """Rows that a search leaves out, as kernels take them; None for none."""
        return None if self.deleted is None else self.deleted.bits

    def with_deleted(self: Self, positions: np.ndarray) -> Self:
        """The segment with more rows marked as deleted; a search on the old one is not disturbed."""
        deleted = Tombstones.none(self.n_rows) if self.deleted is None else self.deleted
        return self.changed(deleted=deleted.with_deleted(positions), deletions=None)

    def restricted(self: Self, allowed: np.ndarray | None) -> Self:
        """The segment in which all rows that do not pass count as deleted.

        allowed: (ceil(n / 8),) uint8 by position (bits.py), or None where all rows pass.
        """
        if allowed is None:
            return self
        passing = allowed if self.deleted is None else allowed & ~self.deleted.bits
        left_out = Tombstones(inverted(passing, self.n_rows), self.n_rows, self.n_rows - count_bits(passing))
        return self.changed(deleted=left_out, deletions=None)

    def live_bits(self) -> np.ndarray:
        """Rows that are not deleted, as bits by position."""
        gone = Tombstones.none(self.n_rows) if self.deleted is None else self.deleted
        return inverted(gone.bits, self.n_rows)

    def changed(self: Self, **values: Any) -> Self:
        """The segment with other values of some fields; it shares the rest."""
        return replace(self, **values)

    def faults(self, pipeline: Pipeline) -> Iterator[tuple[str, str]]:
        """Array and fault of each value that is wrong: floats that are not finite, ids that are no texts,
        and keys that are not theirs.

        Kinds add what they know of their arrays. pipeline: the trained one of the index.
        """
        arrays = self.arrays()
        for name in sorted(
            arrays.keys() & pipeline.row_arrays().keys()
        ):  # others may be padded with infinity
            fault = floats_fault(arrays[name]) if arrays[name].dtype.kind == "f" else None
            if fault is not None:
                yield name, fault
        for column, fault in () if self.attributes is None else self.attributes.faults():
            yield array_name(column, "values"), fault
        wrong_ids = self.ids.fault()
        if wrong_ids is not None:
            yield wrong_ids

    def vectors(self, pipeline: Pipeline) -> NumberedVectors:
        """Its vectors by number, deleted ones included. UsageError where this kind stores none."""
        raise UsageError(f"rows of the class {type(self).__name__} are no vectors")

    def relisted(
        self: Self, pipeline: Pipeline, numbers: np.ndarray, lists: np.ndarray, codes: Codes
    ) -> Self:
        """The segment with vectors (m,) in other lists. codes: theirs, by name; empty where they stay."""
        raise UsageError(f"rows of the class {type(self).__name__} cannot be moved to other lists")

    def vector_offsets(self) -> np.ndarray | None:
        """(n_rows + 1,) int64 first vector of each row; None where a row is one vector."""
        return None

    def arrays(self) -> dict[str, np.ndarray]:
        """What is stored of it, ids and deletions aside: name of the file part -> array."""
        raise NotImplementedError

    @classmethod
    def new_arrays(cls, pipeline: Pipeline, n_rows: int, n_vectors: int) -> dict[str, ArraySpec]:
        """Dtype and shape of `arrays()` for n_rows rows of n_vectors vectors together."""
        raise NotImplementedError

    @classmethod
    def listed_arrays(cls, pipeline: Pipeline, n_rows: int, listed: Shapes) -> dict[str, ArraySpec]:
        """Dtype and shape that `arrays()` must have in a folder. listed: for lengths that only it knows."""
        raise NotImplementedError

    @classmethod
    def from_stored(cls: type[Self], pipeline: Pipeline, rows: StoredRows) -> Self:
        """The segment that a folder holds. Raises CorruptIndexError for values that kernels cannot take."""
        raise NotImplementedError

    @classmethod
    def merged(cls: type[Self], pipeline: Pipeline, segments: Sequence[Self], ticker: Ticker) -> Self:
        """The rows of segments that are not deleted, at least one, as one segment in order of adding.

        Nothing is decoded: codes are moved, so that every score keeps its bits. The segment that all these
        rows would have become in one add, but for their lists, which they keep. ticker: counts stored rows,
        deleted ones included. Raises CorruptIndexError; UsageError where this kind cannot be merged.
        """
        raise UsageError(
            f"segments of the class {cls.__name__} cannot be merged, since it does not define `merged`; add "
            "the rows to a new index instead"
        )


def empty_rows(pipeline: Pipeline, n: int) -> dict[str, np.ndarray]:
    """Arrays for the codes of n rows, those of the rerank included, by the names of their files."""
    specs = {name: array.spec(n) for name, array in pipeline.row_arrays().items()}
    return {name: np.empty(spec.shape, spec.dtype) for name, spec in specs.items()}


def finer_codes(pipeline: Pipeline, arrays: Mapping[str, np.ndarray]) -> Codes | None:
    """The codes of the rerank among the arrays of a segment, or None without one."""
    refine = pipeline.refine
    return None if refine is None else {name: arrays[rerank_name(name)] for name in refine.arrays}


def stored_finer(codes: Codes | None) -> dict[str, np.ndarray]:
    """Codes of the rerank by the names of their files."""
    return {} if codes is None else {rerank_name(name): array for name, array in codes.items()}
