"""What a codec is, and the stored rows that it scans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cluscomp import native
from cluscomp.clustering.blocks import Progress
from cluscomp.indexes.keys.grammar import CodecSpec
from cluscomp.indexes.stages.cost import Cost, Shape
from cluscomp.indexes.stages.ivf import Probes
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters
from cluscomp.indexes.stages.prescreen import Prescreen


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


class Codec(Protocol):
    """One form of storage for rows of dim `dim`.

    code: dtype and width of one code row. by_residual: codes of a partitioned index are residuals.
    interleaved: codes are stored in the order that code_layout.py describes.
    """

    spec: CodecSpec
    dim: int
    code_dtype: str
    code_width: int
    by_residual: bool
    interleaved: bool
    needs_training: bool

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        """Learn from float32 rows (n, dim)."""

    def cost(self, shape: Shape) -> Cost:
        """Memory and work of the codec, when it is trained on the rows of `shape` and when it encodes."""

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Codes (n, code_width) of float32 rows (n, dim)."""

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Rows (n, dim) float32 that plain codes (n, code_width) stand for."""

    def stored(self, codes: np.ndarray) -> native.Codes:
        """Plain codes (n, code_width) as kernels read them."""

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

    def rescore(
        self, queries: np.ndarray, codes: np.ndarray, candidates: np.ndarray, k: int, metric: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Best k of candidate rows (nq, c) int64, of which -1 is none, as `scan` returns them."""

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]: ...

    def parameters(self) -> Parameters: ...

    def load(self, parameters: Parameters) -> None: ...


def row_bytes(codec: Codec) -> int:
    """Bytes of the code of one row."""
    return codec.code_width * np.dtype(codec.code_dtype).itemsize
