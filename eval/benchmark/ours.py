"""Keys of this project."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.errors import IncompleteResultsWarning, SubsampleWarning, UsageError
from cluscomp.eval.benchmark.contender import Grid, combinations
from cluscomp.indexes.factory import index_factory
from cluscomp.indexes.index import open_index
from cluscomp.indexes.key import parse_key

INDEX = "index"


class Ours:
    """An index key of cluscomp, in its canonical spelling."""

    library = "cluscomp"
    package = "cluscomp"
    seeded = True

    def __init__(self, key: str) -> None:
        self.spec = parse_key(key)
        self.key = str(self.spec)

    def check(self, dim: int, metric: str) -> None:
        if self.spec.pool is not None:
            raise UsageError(
                f"key {self.key!r} is for documents of several vectors, and the dataset has one a document"
            )
        index_factory(self.key, dim, metric)

    def parameters(self, grid: Grid) -> list[dict[str, int]]:
        known: dict[str, int | None] = {}
        if self.spec.partition is not None:
            known["nprobe"] = self.spec.nlist
        if self.spec.refine is not None:
            known["refine_factor"] = None
        return combinations(known, grid)

    def build(self, documents: np.ndarray, metric: str, seed: int, folder: Path) -> None:
        index = index_factory(self.key, documents.shape[1], metric, seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SubsampleWarning)  # the row records the number of rows
            index.train(documents)
        index.add(documents)
        index.save(folder / INDEX)

    def open(self, folder: Path, metric: str) -> OpenedIndex:
        return OpenedIndex(folder / INDEX)


class OpenedIndex:
    """Our index, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self.index: Any = open_index(folder)

    def search(self, queries: np.ndarray, k: int, **parameters: int) -> tuple[np.ndarray, np.ndarray]:
        """See `contender.Opened`. Too few hits are counted by the row, so that no warning is needed."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IncompleteResultsWarning)
            scores, ids = self.index.search(queries, k, **parameters)
        return scores, ids
