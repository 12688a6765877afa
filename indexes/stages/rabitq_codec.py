"""RaBitQ: 1 to 8 bits a dimension around a mean, which is all that is learned, and an error bar a row.

A row less its centre (the mean, and the centroid of its list) becomes the grid point whose direction is
nearest to its own. Two factors behind the bits make an estimate of its score with a query of it, without
bias over random rotations; a third says how far that is off (cpp_ext/include/cluscomp/rabitq.h).

Sources: Gao, Long, "RaBitQ: Quantizing high-dimensional vectors with a theoretical error bound", SIGMOD 2024;
Gao et al., "Practical and asymptotically optimal quantization of high-dimensional vectors", SIGMOD 2025; the
encoder is that of SAQ, arXiv 2509.12086.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluscomp import native
from cluscomp.errors import UsageError
from cluscomp.indexes.keys.forms import Form
from cluscomp.indexes.keys.specs import CodecSpec
from cluscomp.indexes.stages.bit_plane_codec import MOST_DIMS, MOVES, BitPlaneCodec
from cluscomp.indexes.stages.cost import Cost, Shape, Work
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters
from cluscomp.progress import Progress


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


class RaBitQCodec(BitPlaneCodec):
    """Planes of bits and three factors, in one row of bytes."""

    def __init__(self, spec: RaBitQ, dim: int) -> None:
        super().__init__(spec, dim, spec.bits * -(-dim // 8))
        self.bits = spec.bits

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        self.load({"mean": x.mean(axis=0, dtype=np.float64)})

    def cost(self, shape: Shape) -> Cost:
        """A mean of float64, and moves of the encoder."""
        return Cost(
            train_bytes=8 * self.dim,
            add=Work(codebook=self.dim * (2 if self.bits == 1 else MOVES)),
            codewords=(1, 16),
        )

    def _made(self, trained: Parameters) -> native.Rabitq:
        return native.Rabitq(trained["mean"], self.bits)

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        return {"mean": ArraySpec("<f4", (self.dim,))}
