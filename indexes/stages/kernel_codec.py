"""Codecs whose codes native kernels read. Only these can store documents of several vectors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from cluscomp import native
from cluscomp.errors import CorruptIndexError, UsageError
from cluscomp.indexes.stages.codec import Codec, Codes, ListView, Refiner, StoredLists
from cluscomp.indexes.stages.ivf import EVERYTHING, Probes


class KernelCodec(Codec):
    """A codec that scans by kernels, so that it only has to say how they read its codes."""

    @abstractmethod
    def stored(self, codes: Codes) -> native.Codes:
        """Plain codes as kernels read them."""

    def listed(self, lists: ListView) -> native.Codes:
        """Codes in storage order as kernels read them; the same where that changes nothing."""
        return self.stored(lists.codes)

    def listed_parts(self, lists: StoredLists) -> native.Parts:
        """The codes of all views as kernels scan them, made once."""
        parts = lists.kernels.get("parts")
        if parts is None:
            codes = [self.listed(view) for view in lists.views]
            parts = lists.kernels["parts"] = native.Parts(codes, [view.lists() for view in lists.views])
        return parts

    def scan(
        self,
        queries: np.ndarray,
        lists: StoredLists,
        probes: Probes,
        k: int,
        metric: str,
        rough: bool = False,
        bars: float = 0.0,
    ) -> tuple[np.ndarray, np.ndarray]:
        visited = None if probes is EVERYTHING else probes.lists
        try:
            found: tuple[np.ndarray, np.ndarray] = self.listed_parts(lists).scan(
                queries, visited, k, metric, lists.skip_bits, rough, probes.products, bars
            )
        except IndexError as exc:
            raise damaged(exc) from exc
        return found

    def score_rows(self, queries: np.ndarray, view: ListView, rows: np.ndarray, metric: str) -> np.ndarray:
        prepared = self.prepare(queries, metric)
        scores: np.ndarray = native.score_rows(
            self.stored(view.codes), view.lists(), prepared, np.ascontiguousarray(rows), metric
        )
        return scores


def damaged(exc: IndexError) -> CorruptIndexError:
    """What kernels found in lists: positions in a file are not trusted."""
    return CorruptIndexError(f"{exc}: the index is damaged; restore a copy or rebuild it")


class KernelRefiner(KernelCodec, Refiner):
    """A codec whose single rows kernels score."""

    def rescore(
        self, queries: np.ndarray, codes: Codes, candidates: np.ndarray, k: int, metric: str
    ) -> tuple[np.ndarray, np.ndarray]:
        return native.rescore(self.stored(codes), queries, candidates, k, metric)

    def parts(self, codes: Sequence[Codes]) -> native.Parts:
        return native.Parts([self.stored(part) for part in codes])


def kernel_codec(codec: Codec) -> KernelCodec:
    """The codec, if kernels read its codes; UsageError if not: documents of several vectors need them."""
    if not isinstance(codec, KernelCodec):
        raise UsageError(
            f"documents of several vectors cannot be stored as {codec.spec}, whose codes no kernel reads; "
            "use Flat, SQfp16, SQ8, SQ4 or PQ"
        )
    return codec
