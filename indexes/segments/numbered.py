"""Vectors of one segment by number: their codes as `Codec.encode` made them, and what these stand for.

Numbers count vectors in order of adding: of a segment of single vectors they are positions, of documents
those of their vectors below each other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from cluscomp.arrays import normalize_rows
from cluscomp.indexes.stages.code_layout import plain_rows
from cluscomp.indexes.stages.codec import Codes
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.inputs.sources import release_pages


class NumberedVectors:
    """What a segment stores of n vectors, by number.

    codes: as they are stored; offsets: (nlist + 1,) lists of codes that stand list by list, None where they
    stand by number. find_places: makes (n,) the place of each vector among the codes, None where that is its
    number. lists: (n,) list of each vector, where places do not say it. finer: codes of the rerank by number.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        n: int,
        codes: Codes,
        *,
        offsets: np.ndarray | None = None,
        find_places: Callable[[], np.ndarray | None] = lambda: None,
        lists: np.ndarray | None = None,
        finer: Codes | None = None,
    ) -> None:
        self.n = n
        self._pipeline, self._codes, self._offsets, self._finer = pipeline, codes, offsets, finer
        self._find_places, self._lists = find_places, lists

    def codes(self, numbers: np.ndarray) -> Codes:
        """Plain codes of vectors (m,)."""
        if self._offsets is None:
            return {name: np.ascontiguousarray(array[numbers]) for name, array in self._codes.items()}
        return plain_rows(self._pipeline.codec, self._codes, self._offsets, self._place(numbers))

    def lists(self, numbers: np.ndarray) -> np.ndarray | None:
        """List (m,) int32 of each, None without lists."""
        if self._pipeline.partition is None:
            return None
        if self._lists is not None:
            return np.asarray(self._lists[numbers], dtype=np.int32)
        assert self._offsets is not None
        found = np.searchsorted(self._offsets, self._place(numbers), side="right") - 1
        return found.astype(np.int32)

    def projected(self, numbers: np.ndarray) -> np.ndarray:
        """What the codes of the search stand for (m, d) float32: rows behind the transforms."""
        pipeline = self._pipeline
        decoded = pipeline.codec.decode(self.codes(numbers))
        if pipeline.uses_residuals:
            assert pipeline.partition is not None
            decoded = decoded + pipeline.partition.centroids[self.lists(numbers)]
        return normalize_rows(decoded) if pipeline.decodes_to_unit else decoded

    def base_rows(self, numbers: np.ndarray) -> np.ndarray | None:
        """What the finer codes stand for (m, dim) float32, None without a rerank."""
        if self._pipeline.refine is None or self._finer is None:
            return None
        finer = {name: np.ascontiguousarray(array[numbers]) for name, array in self._finer.items()}
        return self._pipeline.refine.decode(finer)

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """Rows (m, dim) float32 in the space of the queries, by the finest codes there are.

        Raises UsageError where a transform has no way back.
        """
        found = self.base_rows(numbers)
        return self._pipeline.take_back(self.projected(numbers)) if found is None else found

    def release(self) -> None:
        """Give pages of files that were read back to the system."""
        for array in (*self._codes.values(), *(self._finer or {}).values()):
            release_pages(array)

    def _place(self, numbers: np.ndarray) -> np.ndarray:
        return numbers if self._places is None else np.asarray(self._places[numbers], dtype=np.int64)

    @cached_property
    def _places(self) -> np.ndarray | None:
        return self._find_places()
