"""Codecs whose codes native kernels read. Only these can store documents of several vectors."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from cluscomp import native
from cluscomp.errors import UsageError
from cluscomp.indexes.stages.codec import Codec, Codes, ListView, Refiner
from cluscomp.indexes.stages.ivf import Probes


class KernelCodec(Codec):
    """A codec that scans by kernels, so that it only has to say how they read its codes."""

    @abstractmethod
    def stored(self, codes: Codes) -> native.Codes:
        """Plain codes as kernels read them."""

    def listed(self, lists: ListView) -> native.Codes:
        """Codes in storage order as kernels read them; the same where that changes nothing."""
        return self.stored(lists.codes)

    def scan(
        self,
        queries: np.ndarray,
        lists: ListView,
        probes: Probes,
        k: int,
        metric: str,
        rough: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        codes, visited = self.listed(lists), lists.lists()
        return native.scan(
            codes, visited, queries, probes.lists, k, metric, lists.skip_bits, rough, probes.products
        )


class KernelRefiner(KernelCodec, Refiner):
    """A codec whose single rows kernels score."""

    def rescore(
        self, queries: np.ndarray, codes: Codes, candidates: np.ndarray, k: int, metric: str
    ) -> tuple[np.ndarray, np.ndarray]:
        return native.rescore(self.stored(codes), queries, candidates, k, metric)


def kernel_codec(codec: Codec) -> KernelCodec:
    """The codec, if kernels read its codes; UsageError if not: documents of several vectors need them."""
    if not isinstance(codec, KernelCodec):
        raise UsageError(
            f"documents of several vectors cannot be stored as {codec.spec}, whose codes no kernel reads; "
            "use Flat, SQfp16, SQ8, SQ4 or PQ"
        )
    return codec
