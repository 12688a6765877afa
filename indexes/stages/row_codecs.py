"""Codecs that keep every value of a row: float32, float16 and 8-bit scalar codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cluscomp import native
from cluscomp.clustering.blocks import Progress
from cluscomp.errors import InputError
from cluscomp.indexes.keys.grammar import CodecSpec, SQfp16
from cluscomp.indexes.stages.cost import Cost, Shape
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters

if TYPE_CHECKING:
    from cluscomp.indexes.stages.codec import ListView
    from cluscomp.indexes.stages.ivf import Probes

FLOAT16_MAX = 65504.0


class FloatCodec:
    """Values stored as float32 or float16."""

    by_residual = False
    interleaved = False
    needs_training = False

    def __init__(self, spec: CodecSpec, dim: int) -> None:
        self.spec = spec
        self.dim = self.code_width = dim
        self.code_dtype = "<f2" if isinstance(spec, SQfp16) else "<f4"

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        """Nothing to learn."""

    def cost(self, shape: Shape) -> Cost:
        """Absolute values, to see whether rows fit float16; float32 rows are their own codes."""
        return Cost(add_row_bytes=0 if self.code_dtype == "<f4" else 4 * self.dim)

    def encode(self, x: np.ndarray) -> np.ndarray:
        if self.code_dtype == "<f4":
            return x
        largest = float(np.abs(x).max(initial=0.0))
        if largest > FLOAT16_MAX:
            raise InputError(
                f"value {largest:g} does not fit float16 (largest 65504); scale the rows, or use Flat or SQ8"
            )
        return x.astype(np.float16)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return codes.astype(np.float32, copy=False)

    def stored(self, codes: np.ndarray) -> native.Codes:
        return native.Codes.floats(codes)

    def scan(
        self,
        queries: np.ndarray,
        lists: ListView,
        probes: Probes,
        k: int,
        metric: str,
        rough: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        codes = self.stored(lists.codes) if lists.prescreen is None else lists.prescreen.over(lists.codes)
        return native.scan(codes, lists.lists, queries, probes.lists, k, metric, lists.skip)

    def rescore(
        self, queries: np.ndarray, codes: np.ndarray, candidates: np.ndarray, k: int, metric: str
    ) -> tuple[np.ndarray, np.ndarray]:
        return native.rescore(self.stored(codes), queries, candidates, k, metric)

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        return {}

    def parameters(self) -> Parameters:
        return {}

    def load(self, parameters: Parameters) -> None:
        """Nothing to load."""


class ScalarCodec:
    """One byte a value: vmin + (code + 0.5) / 255 * vdiff, per dimension."""

    by_residual = False
    interleaved = False
    needs_training = True
    code_dtype = "|u1"

    def __init__(self, spec: CodecSpec, dim: int) -> None:
        from cluscomp.quantization.scalar import ScalarQuantizer8

        self.spec = spec
        self.dim = self.code_width = dim
        self.quantizer = ScalarQuantizer8(dim)

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        self.quantizer.train_rows(x, progress)

    def cost(self, shape: Shape) -> Cost:
        """Rows scaled to their range; the ranges themselves are read off block by block."""
        return Cost(add_row_bytes=8 * self.dim)

    def encode(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.quantizer.encode(x))

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return self.quantizer.decode(codes)

    def stored(self, codes: np.ndarray) -> native.Codes:
        return native.Codes.sq8(codes, self.quantizer.vmin, self.quantizer.vdiff)

    def scan(
        self,
        queries: np.ndarray,
        lists: ListView,
        probes: Probes,
        k: int,
        metric: str,
        rough: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        return native.scan(
            self.stored(lists.codes), lists.lists, queries, probes.lists, k, metric, lists.skip
        )

    def rescore(
        self, queries: np.ndarray, codes: np.ndarray, candidates: np.ndarray, k: int, metric: str
    ) -> tuple[np.ndarray, np.ndarray]:
        return native.rescore(self.stored(codes), queries, candidates, k, metric)

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        return {"vmin": ArraySpec("<f4", (self.dim,)), "vdiff": ArraySpec("<f4", (self.dim,))}

    def parameters(self) -> Parameters:
        return (
            {"vmin": self.quantizer.vmin, "vdiff": self.quantizer.vdiff} if self.quantizer.is_trained else {}
        )

    def load(self, parameters: Parameters) -> None:
        state = {"settings": {"dim": self.dim}, "arrays": parameters}
        self.quantizer = type(self.quantizer).from_state(state)
