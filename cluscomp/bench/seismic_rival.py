"""The library that `seismic` compares with: the same rows and queries in an index of pyseismic-lsr."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.baselines import library

Terms = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Rows or queries: offsets (n + 1,), and number and weight (N,) of each term."""
ALL_TERMS = 1 << 16
"""What stands for no cut."""


class SeismicRows:
    """rows, queries: terms by number; both libraries multiply the same weights. Settings of the build are the
    library's own, which are those of our key.
    """

    def __init__(self, rows: Terms, queries: Terms) -> None:
        self._seismic: Any = library("pyseismic")
        offsets, terms, weights = rows
        dataset = self._seismic.SeismicDataset()
        names = [str(row) for row in range(len(offsets) - 1)]
        with _quiet():
            dataset.add_documents_by_id(
                names, terms.astype(np.int64), weights.astype(np.float32), offsets.astype(np.int64)
            )
            self._index = self._seismic.SeismicIndex.build_from_dataset(dataset)
        text = self._seismic.get_seismic_string()
        starts, asked, values = queries
        parts = [slice(int(a), int(b)) for a, b in pairwise(starts)]
        self._terms = [np.array([str(term) for term in asked[part]], dtype=text) for part in parts]
        self._values = [values[part].astype(np.float32) for part in parts]
        self._names = np.array([str(query) for query in range(len(parts))], dtype=text)

    def nbytes(self) -> int:
        """Bytes of the file of the index."""
        with tempfile.TemporaryDirectory() as folder, _quiet():
            self._index.save(str(Path(folder) / "index"))
            return sum(path.stat().st_size for path in Path(folder).iterdir())

    def search(self, k: int, batch: int, query_cut: int, heap_factor: float) -> list[Any]:
        """Answers to all queries in calls of so many; one query goes to the call for one."""
        cut, n = query_cut or ALL_TERMS, len(self._terms)
        if batch == 1:
            return [
                self._index.search(str(query), self._terms[query], self._values[query], k, cut, heap_factor)
                for query in range(n)
            ]
        found = []
        for start in range(0, n, batch):
            part = slice(start, start + batch)
            asked = self._names[part], self._terms[part], self._values[part]
            found += self._index.batch_search(*asked, k, cut, heap_factor, num_threads=1)
        return found

    def ids(self, k: int, query_cut: int, heap_factor: float) -> np.ndarray:
        """Rows (nq, k) that are found, -1 where fewer are."""
        rows = np.full((len(self._terms), k), -1, dtype=np.int64)
        for hits in self.search(k, len(self._terms), query_cut, heap_factor):
            for place, (query, _, name) in enumerate(hits):
                rows[int(query), place] = int(name)
        return rows


@contextmanager
def _quiet() -> Iterator[None]:
    """The library writes to the file of standard output; that is for results."""
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
