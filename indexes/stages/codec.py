"""What a codec is: how rows are stored, and how stored rows are scored."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.clustering.blocks import Progress
from cluscomp.errors import UsageError
from cluscomp.indexes.keys.specs import CodecSpec
from cluscomp.indexes.stages.ivf import Ivf, Probes
from cluscomp.indexes.stages.prescreen import Prescreen
from cluscomp.indexes.stages.stage import Stage


@dataclass(frozen=True)
class ListView:
    """Stored rows of one segment as a scan reads them.

    codes: (n, width) in storage order. lists: which of them each list holds, and their positions. skip: (n,)
    uint8 by storage order, 1 = deleted, or None. prescreen: of float rows in one list, or None.
    """

    codes: np.ndarray
    lists: native.Lists
    skip: np.ndarray | None
    prescreen: Prescreen | None = None


class Codec(Stage):
    """One form of storage for rows of dim `dim`; a subclass is made of (spec, dim).

    code_dtype, code_width: of one code row. by_residual: codes of a partitioned index are residuals.
    interleaved: codes are stored in the order that code_layout.py describes. layout_version: format of index
    folders since which codes are stored as they are now. joint_groups: sub-spaces of a product quantizer that
    takes the codebooks of an OPQ rotation in front (joint_training.py); None for other codecs.
    """

    spec: CodecSpec
    dim: int
    code_dtype: str
    code_width: int
    by_residual = False
    interleaved = False
    layout_version = 1
    joint_groups: int | None = None

    @property
    def row_bytes(self) -> int:
        """Bytes of the code of one row."""
        return self.code_width * np.dtype(self.code_dtype).itemsize

    @abstractmethod
    def encode(self, x: np.ndarray) -> np.ndarray:
        """Codes (n, code_width) of float32 rows (n, dim)."""

    @abstractmethod
    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Rows (n, dim) float32 that plain codes (n, code_width) stand for."""

    def stored(self, codes: np.ndarray) -> native.Codes:
        """Plain codes (n, code_width) as kernels read them; UsageError for a codec that has no kernels."""
        raise UsageError(f"{self.spec} cannot store documents of several vectors; use Flat, SQ8, PQ ...")

    @abstractmethod
    def scan(
        self,
        queries: np.ndarray,
        lists: ListView,
        probes: Probes,
        k: int,
        metric: str,
        rough: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Best k of the probed lists: scores (nq, k) float32, positions (nq, k) int64; missing -inf, -1.

        rough: scores only choose the candidates of a rerank, so a codec may round them.
        """

    def to_faiss(self, faiss: ModuleType, metric: str) -> Any:
        """An empty faiss index without lists that reads plain codes of this codec; UsageError without one."""
        raise self._no_faiss()

    def to_faiss_lists(self, faiss: ModuleType, partition: Ivf, metric: str) -> Any:
        """`to_faiss` with the lists of a partition."""
        raise self._no_faiss()

    def _no_faiss(self) -> UsageError:
        return UsageError(
            f"faiss has no codes like those of {self.spec}, so the index cannot be copied; build one with "
            "Flat, SQfp16, SQ8, SQ4 or PQ"
        )


class Refiner(Codec):
    """A codec that can score single rows, for the rerank of candidates."""

    @abstractmethod
    def rescore(
        self, queries: np.ndarray, codes: np.ndarray, candidates: np.ndarray, k: int, metric: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Best k of candidate rows (nq, c) int64, of which -1 is none, as `scan` returns them."""


class ScoreKeeper(Codec):
    """A codec that can keep inner products with queries better than rows (quantization/score_aware.py)."""

    @abstractmethod
    def refine_for_scores(self, x: np.ndarray, whole: np.ndarray, progress: Progress | None = None) -> None:
        """Change what was trained, so that codes of rows x keep the inner products of the rows `whole`."""

    @abstractmethod
    def encode_for_scores(self, x: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """Codes (n, code_width) of rows x that keep the inner products of the rows `whole`."""
