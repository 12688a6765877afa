"""Keys of this project."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.errors import IncompleteResultsWarning, SubsampleWarning
from cluscomp.eval.compare.adapter import Grid, combinations, folder_digest
from cluscomp.eval.compare.collection import Vectors, rows_of
from cluscomp.eval.compare.config import Form
from cluscomp.indexes.factory import index_factory
from cluscomp.indexes.index import open_index
from cluscomp.indexes.keys.grammar import parse_key
from cluscomp.indexes.keys.hybrid import HybridSpec
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.kind import kind_of
from cluscomp.multivector import Ragged

INDEX = "index"


class Ours:
    """An index key of cluscomp, in its canonical spelling."""

    library = "cluscomp"
    seeded = True

    def __init__(self, key: str) -> None:
        self.spec = parse_key(key)
        self.key = str(self.spec)

    @property
    def form(self) -> Form:
        """What documents are."""
        return _form(self.spec)

    @property
    def content(self) -> str | None:
        """Of the folder of a learned codec."""
        folder = self.spec.codec.source_folder
        return None if folder is None else folder_digest(Path(folder))

    def check(self, dim: int, metric: str) -> None:
        index_factory(self.key, dim, metric)

    def parameters(self, grid: Grid) -> list[dict[str, int]]:
        known: dict[str, int | None] = {}
        if self.spec.partition is not None:
            # The lists of a multi-vector index choose candidates; fewer lists only make that choice worse.
            known |= {"candidates": None} if self.spec.sums_tokens else {"nprobe": self.spec.nlist}
        if self.spec.refine is not None:
            known["refine_factor"] = None
        if self.spec.term_codec.approximate:
            known["query_cut"] = None
        return combinations(known, grid)

    def learns(self, dim: int, metric: str) -> bool:
        return not index_factory(self.key, dim, metric).is_trained

    def build(self, documents: Vectors, metric: str, seed: int, folder: Path) -> None:
        self.build_from(documents, documents, metric, seed, folder)

    def build_from(self, training: Vectors, documents: Vectors, metric: str, seed: int, folder: Path) -> None:
        rows = rows_of(documents)
        dim = 1 if kind_of(self.spec).terms else getattr(rows, "vectors", rows).shape[1]
        index: Any = index_factory(self.key, dim, metric, seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SubsampleWarning)  # the row records the number of rows
            index.train(rows_of(training), **_lengths(training))
        index.add(rows, **_lengths(documents))
        index.save(folder / INDEX)

    def open(self, folder: Path, metric: str) -> OpenedIndex:
        return OpenedIndex(folder / INDEX)


def _lengths(vectors: Vectors) -> dict[str, Any]:
    return {"lengths": vectors.lengths} if isinstance(vectors, Ragged) else {}


def _form(spec: IndexSpec) -> Form:
    """What documents are to a key."""
    if isinstance(spec, HybridSpec):
        return f"{_form(spec.dense)}+{_form(spec.terms)}"
    kind = kind_of(spec)
    if kind.terms:
        return "sparse" if spec.codec.own_encoder is None else "terms"
    return "tokens" if kind.ragged else "dense"


class OpenedIndex:
    """Our index, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self.index: Any = open_index(folder)

    def search(self, queries: np.ndarray, k: int, **parameters: Any) -> tuple[np.ndarray, np.ndarray]:
        """See `adapter.Opened`. Too few hits are counted by the row, so that no warning is needed."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IncompleteResultsWarning)
            scores, ids = self.index.search(queries, k, **parameters)
        return scores, ids
