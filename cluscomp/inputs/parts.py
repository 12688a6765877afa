"""Vectors from a folder of part files, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path

import numpy as np

from cluscomp.errors import DimensionError, DTypeError, DuplicateIdError, MalformedFileError
from cluscomp.inputs.sources import (
    Ids,
    VectorSource,
    check_block_rows,
    check_ids,
    check_range,
    check_rows,
    rechunk,
)


class PartsSource:
    """VectorSource over several others, one after the other.

    Raises DimensionError and DTypeError naming the two files that differ, MalformedFileError when only some
    have ids, DuplicateIdError when two parts share one.
    """

    def __init__(self, folder: Path, paths: Sequence[Path], parts: Sequence[VectorSource]) -> None:
        for path, part in zip(paths, parts, strict=True):
            if part.dim != parts[0].dim:
                raise DimensionError(
                    f"{path} has dim {part.dim}, {paths[0]} has dim {parts[0].dim}; all parts need the "
                    "same dim"
                )
            if part.dtype != parts[0].dtype:
                raise DTypeError(
                    f"{path} has dtype {part.dtype}, {paths[0]} has dtype {parts[0].dtype}; all parts "
                    "need the same"
                )
        self.path, self._parts = folder, list(parts)
        self._starts = np.concatenate([[0], np.cumsum([part.n for part in parts])]).astype(np.int64)
        self.n, self.dim, self.dtype = int(self._starts[-1]), parts[0].dim, parts[0].dtype
        self.id_column: str | None = getattr(parts[0], "id_column", None)
        self.ids: Ids | None = _joined_ids(folder, paths, parts, self.n)

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """See VectorSource."""
        check_block_rows(rows)
        return rechunk(chain.from_iterable(part.blocks(rows) for part in self._parts), rows)

    def read(self, start: int, stop: int) -> np.ndarray:
        """See VectorSource."""
        check_range(start, stop, self.n)
        out = np.empty((stop - start, self.dim), self.dtype)
        for part, (begin, end) in zip(self._parts, pairwise(self._starts.tolist()), strict=True):
            lo, hi = max(start, begin), min(stop, end)
            if lo < hi:
                out[lo - start : hi - start] = part.read(lo - begin, hi - begin)
        return out

    def take(self, rows: np.ndarray) -> np.ndarray:
        """See VectorSource."""
        numbers = check_rows(rows, self.n)
        cuts = np.searchsorted(numbers, self._starts)
        out = np.empty((len(numbers), self.dim), self.dtype)
        for i, part in enumerate(self._parts):
            lo, hi = cuts[i], cuts[i + 1]
            if lo < hi:
                out[lo:hi] = part.take(numbers[lo:hi] - self._starts[i])
        return out


def _joined_ids(folder: Path, paths: Sequence[Path], parts: Sequence[VectorSource], n: int) -> Ids | None:
    without = [path for path, part in zip(paths, parts, strict=True) if part.ids is None]
    if len(without) == len(parts):
        return None
    if without:
        raise MalformedFileError(
            f"{without[0]} has no ids, other parts of {folder} have; give ids for all rows apart"
        )
    all_ids = [item for part in parts if part.ids is not None for item in part.ids]
    try:
        return check_ids(all_ids, n, str(folder))
    except DuplicateIdError as exc:
        raise DuplicateIdError(f"two parts share an id: {exc}") from exc
