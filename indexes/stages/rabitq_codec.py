"""RaBitQ: 1 to 8 bits a dimension around a mean, which is all that is learned, and an error bar a row.

A row less its centre (the mean, and the centroid of its list) becomes the grid point whose direction is
nearest to its own. Two factors behind the bits make an estimate of its score with a query of it, without
bias over random rotations; a third says how far that is off (cpp_ext/include/cluscomp/rabitq.h).

Sources: Gao, Long, "RaBitQ: Quantizing high-dimensional vectors with a theoretical error bound", SIGMOD 2024;
Gao et al., "Practical and asymptotically optimal quantization of high-dimensional vectors", SIGMOD 2025; the
encoder is that of SAQ, arXiv 2509.12086.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cluscomp import native
from cluscomp.errors import NotTrainedError, UsageError
from cluscomp.indexes.keys.forms import Form
from cluscomp.indexes.keys.specs import CodecSpec
from cluscomp.indexes.stages.codec import CODES, CentredCodec, Codes, ListView, RowArray
from cluscomp.indexes.stages.cost import Cost, Shape, Work
from cluscomp.indexes.stages.kernel_codec import KernelRefiner
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters
from cluscomp.progress import Progress

FACTOR_BYTES = 10
"""Behind the bits of a row: two factors of float32 and an error bar of bfloat16."""
MOST_DIMS = 131072
_MOVES = 40  # multiply-adds of the encoder for each dimension: six rounds of moves


@dataclass(frozen=True)
class RaBitQ(CodecSpec):
    """A few bits a value and an error bar a row; only a mean is learned, so rows of any kind may be added.

    bits: 1 to 8 a dimension; 1 unless the key says more.
    """

    bits: int = 1
    wants_rotation = True

    def __str__(self) -> str:
        return "RaBitQ" if self.bits == 1 else f"RaBitQ{self.bits}"

    def check_dim(self, dim: int) -> None:
        if dim > MOST_DIMS:
            raise UsageError(f"{self}: rows have {dim} dimensions, but at most {MOST_DIMS} are possible")


RABITQ_FORM = Form("codec", r"RaBitQ([1-8])?", "RaBitQ4", lambda bits: RaBitQ(bits or 1), "RaBitQ[n]")


class RaBitQCodec(KernelRefiner, CentredCodec):
    """Planes of bits and three factors, in one row of bytes."""

    by_residual = True
    needs_training = True
    interleaved = True
    has_bars = True

    def __init__(self, spec: RaBitQ, dim: int) -> None:
        self.spec, self.dim, self.bits = spec, dim, spec.bits
        self.arrays = {CODES: RowArray("|u1", spec.bits * -(-dim // 8) + FACTOR_BYTES)}
        self._form: native.Rabitq | None = None
        self._mean: np.ndarray | None = None

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        self.load({"mean": x.mean(axis=0, dtype=np.float64)})

    def cost(self, shape: Shape) -> Cost:
        """A mean of float64, and moves of the encoder."""
        return Cost(
            train_bytes=8 * self.dim,
            add=Work(codebook=self.dim * (2 if self.bits == 1 else _MOVES)),
            codewords=(1, 16),
        )

    def encode(self, x: np.ndarray) -> Codes:
        return self.encode_centred(x, x, "ip")

    def encode_centred(self, x: np.ndarray, whole: np.ndarray, metric: str) -> Codes:
        return {CODES: self.form.encode(x, whole, metric)}

    def decode(self, codes: Codes) -> np.ndarray:
        decoded: np.ndarray = self.form.decode(codes[CODES])
        return decoded

    def stored(self, codes: Codes) -> native.Codes:
        return native.Codes.rabitq(codes[CODES], self.form)

    def listed(self, lists: ListView) -> native.Codes:
        return native.Codes.rabitq(lists.codes[CODES], self.form, interleaved=True)

    def largest_error(self, codes: Codes) -> float:
        """Across the row, on which the factor is exact; a bar may have been rounded down to bfloat16."""
        bars = np.ascontiguousarray(codes[CODES][:, -2:]).view("<u2")  # none is negative: in their own order
        largest = float((bars.max(initial=0).astype("<u4") << 16).view("<f4"))
        return 1.01 * largest * math.sqrt(max(self.dim - 1, 1))

    def score_error(self, queries: np.ndarray, largest: float, metric: str) -> np.ndarray:
        away = np.linalg.norm(queries - self.parameters()["mean"], axis=1)
        return (largest * (2 if metric == "l2" else 1) * away).astype(np.float32)

    @property
    def form(self) -> native.Rabitq:
        """Mean and number of bits as kernels take them."""
        if self._form is None:
            if self._mean is None:
                raise NotTrainedError(f"{self.spec} has not been trained; call index.train(x) first")
            self._form = native.Rabitq(self._mean, self.bits)  # once: all segments share it
        return self._form

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        return {"mean": ArraySpec("<f4", (self.dim,))}

    def parameters(self) -> Parameters:
        return {} if self._mean is None else {"mean": self._mean}

    def load(self, parameters: Parameters) -> None:
        self._mean = np.ascontiguousarray(parameters["mean"], dtype=np.float32)
        self._form = None
