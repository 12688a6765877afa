"""The same index in faiss: rotations, centroids, codebooks and codes are put in, nothing is trained.

| part of a key            | faiss                                                                           |
|--------------------------|----------------------------------------------------------------------------------|
| cosine, leading L2norm   | IndexPreTransform with NormalizationTransform, around everything else           |
| OPQ, PCA, RR             | IndexPreTransform with a LinearTransform                                        |
| MRL                      | the same with rows of the identity, then a NormalizationTransform               |
| IVF                      | IndexIVF* over IndexFlatIP / IndexFlatL2 with our centroids                     |
| BIVF                     | the same, prices being one more dimension of the centroids (IndexPreTransform)  |
| Flat, SQfp16, SQ8, PQ    | IndexFlat, IndexScalarQuantizer (fp16, 8bit), IndexPQ, or their IVF forms       |
| SQ4                      | IndexPQ or IndexIVFPQ with a sub-space of 4 bits for each dimension             |
| RepCONC(folder)          | LinearTransform (what queries pass), IndexPQ or IndexIVFPQ without residuals    |
| RFlat, Refine(...)       | IndexRefine over an IndexFlat or IndexScalarQuantizer with our finer codes      |
| ids other than 0 .. n-1  | IndexIDMap2                                                                     |

faiss reports POSITIVE squared distances for l2, smallest first; our scores are their negatives. Equal scores
may come in another order. Deleted rows are left out. An index of a learned codec is for searching: rows that
faiss adds would pass the query adapter and the centroids of the scores.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.errors import EmptyInputError, UsageError, require
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.segments.id_lookup import live_rows
from cluscomp.indexes.segments.ids import TEXT
from cluscomp.indexes.segments.segment import Segment
from cluscomp.indexes.stages.code_layout import plain_codes
from cluscomp.indexes.stages.codec import CODES, Codec
from cluscomp.indexes.stages.faiss_parts import chain

TEXT_IDS = ("fail", "rows")


def to_faiss(index: StoredIndex[Any], *, text_ids: str = "fail") -> Any:
    """Copy an index into faiss; see `Index.to_faiss`.

    Raises UsageError (text ids, a stage that faiss does not have), EmptyInputError (no rows),
    NotTrainedError, OptionalDependencyError.
    """
    faiss = require("faiss", extra="faiss", why="to_faiss()")
    checks.one_of("text_ids", text_ids, TEXT_IDS)
    if index.id_kind == TEXT and text_ids == "fail":
        raise UsageError(
            "faiss ids are integers, but this index has text ids; pass text_ids='rows' to get row numbers, "
            "and look them up with index.ids[row]"
        )
    index.pipeline.require_trained()
    if not len(index):
        raise EmptyInputError(
            "the index holds no rows, so there is nothing to copy into faiss; add rows first"
        )
    rows = _LiveRows(index)
    copied = _with_refine(faiss, index, _with_transforms(faiss, index, _core(faiss, index, rows)), rows)
    if index.pipeline.normalizes:
        copied = chain(faiss, [faiss.NormalizationTransform(index.dim, 2.0)], copied)
    ids = np.arange(len(index)) if index.id_kind == TEXT else index.ids
    return copied if np.array_equal(ids, np.arange(len(index))) else _with_ids(faiss, copied, ids)


class _LiveRows:
    """Rows that are not deleted, numbered 0, 1, ... over all segments in order of adding."""

    def __init__(self, index: StoredIndex[Any]) -> None:
        self.segments = index.segments
        self.live = [live_rows(segment) for segment in self.segments]
        self.n = sum(len(rows) for rows in self.live)

    def numbers(self) -> list[np.ndarray]:
        """Per segment: new number of each position, -1 if deleted."""
        found, first = [], 0
        for segment, live in zip(self.segments, self.live, strict=True):
            number = np.full(segment.n_rows, -1, dtype=np.int64)
            number[live] = np.arange(first, first + len(live))
            found.append(number)
            first += len(live)
        return found

    def by_position(self, array_of: Callable[[Segment], np.ndarray]) -> np.ndarray:
        """Live rows of an array that is stored by position."""
        return np.concatenate([array_of(s)[live] for s, live in zip(self.segments, self.live, strict=True)])


def _core(faiss: ModuleType, index: StoredIndex[Any], rows: _LiveRows) -> Any:
    """Partition and codec."""
    pipeline = index.pipeline
    if pipeline.partition is None:
        plain = rows.by_position(lambda s: plain_codes(pipeline.codec, s.codes, s.offsets)[CODES])
        return _plain(faiss, pipeline.codec, index.metric, plain)
    core = pipeline.codec.to_faiss_lists(faiss, pipeline.partition, index.metric)
    for segment, number in zip(index.segments, rows.numbers(), strict=True):
        plain = plain_codes(pipeline.codec, segment.codes, segment.offsets)[CODES]
        _add_lists(faiss, core, segment, number, plain)
    core.ntotal = rows.n
    core.nprobe = index.nprobe
    return core


def _add_lists(faiss: ModuleType, core: Any, segment: Segment, number: np.ndarray, plain: np.ndarray) -> None:
    assert segment.positions is not None
    lists = core.invlists
    for i in range(segment.offsets.shape[0] - 1):
        part = slice(int(segment.offsets[i]), int(segment.offsets[i + 1]))
        ids = number[segment.positions[part]]
        codes = np.ascontiguousarray(plain[part][ids >= 0]).view(np.uint8)
        ids = ids[ids >= 0]
        if len(ids):
            lists.add_entries(i, len(ids), faiss.swig_ptr(ids), faiss.swig_ptr(codes))


def _plain(faiss: ModuleType, codec: Codec, metric: str, codes: np.ndarray) -> Any:
    """Codec without partition, filled with plain codes (n, width)."""
    plain = codec.to_faiss(faiss, metric)
    faiss.copy_array_to_vector(np.ascontiguousarray(codes).view(np.uint8).reshape(-1), plain.codes)
    plain.ntotal = len(codes)
    return plain


def _with_transforms(faiss: ModuleType, index: StoredIndex[Any], core: Any) -> Any:
    links = [link for step in index.pipeline.steps for link in step.to_faiss(faiss)]
    return chain(faiss, links, core) if links else core


def _with_refine(faiss: ModuleType, index: StoredIndex[Any], base: Any, rows: _LiveRows) -> Any:
    codec = index.pipeline.refine
    if codec is None:
        return base
    finer = _plain(faiss, codec, index.metric, rows.by_position(lambda segment: segment.refine[CODES]))  # type: ignore[index]
    refined = faiss.IndexRefine(base, finer)
    refined.k_factor = float(index.refine_factor)
    refined.ntotal = rows.n
    refined.is_trained = True
    return refined


def _with_ids(faiss: ModuleType, inner: Any, ids: np.ndarray) -> Any:
    mapped = _id_map(faiss, inner)
    faiss.copy_array_to_vector(np.ascontiguousarray(ids, dtype=np.int64), mapped.id_map)
    mapped.ntotal = inner.ntotal
    mapped.construct_rev_map()
    return mapped


def _id_map(faiss: ModuleType, inner: Any) -> Any:
    """IndexIDMap2 insists on an empty index when it is made, so the count is hidden for that moment."""
    n, inner.ntotal = inner.ntotal, 0
    mapped = faiss.IndexIDMap2(inner)
    inner.ntotal = n
    return mapped
