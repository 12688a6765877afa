"""SAQ: codes of m bytes whose bits go to the directions along which rows vary most (arXiv 2509.12086).

What RaBitQ does with as many bits for every dimension of a rotation drawn at random, this does with bits by
the variance of principal axes (quantization/varied_bits.py). At equal bytes it finds more of rows like those
that it was trained on, and loses more where other rows come.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluscomp import native
from cluscomp.errors import UsageError
from cluscomp.indexes.keys.forms import NUMBER, Form
from cluscomp.indexes.keys.specs import CodecSpec
from cluscomp.indexes.stages.bit_plane_codec import FACTOR_BYTES, MOVES, BitPlaneCodec
from cluscomp.indexes.stages.cost import Cost, Shape, Work
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters
from cluscomp.progress import Progress
from cluscomp.quantization.pca import covariance_bytes
from cluscomp.quantization.varied_bits import GROUP, MOST_BITS, most_code_bytes, train_varied_bits

_MOST_DIMS = 8192  # of native.Rabitq with axes of its own


@dataclass(frozen=True)
class SAQ(CodecSpec):
    """m bytes a row with an error bar; the more rows vary along a direction, the more bits it has.

    m: bytes of a row, ten of which are factors.
    """

    m: int

    def __str__(self) -> str:
        return f"SAQ{self.m}"

    def check_dim(self, dim: int) -> None:
        least, most = (FACTOR_BYTES + n for n in (-(-min(dim, GROUP) // 8), most_code_bytes(dim)))
        if dim > _MOST_DIMS:
            raise UsageError(f"{self}: rows have {dim} dimensions, but at most {_MOST_DIMS} are possible")
        if not least <= self.m <= most:
            raise UsageError(f"{self}: rows of {dim} dimensions take SAQ{least} to SAQ{most}")


SAQ_FORM = Form("codec", rf"SAQ{NUMBER}", "SAQ208", SAQ, "SAQm")


class SaqCodec(BitPlaneCodec):
    """Planes of bits, each as wide as the axes that have so many, and three factors."""

    def __init__(self, spec: SAQ, dim: int) -> None:
        self.code_bytes = spec.m - FACTOR_BYTES
        super().__init__(spec, dim, self.code_bytes)

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        trained = train_varied_bits(x, self.code_bytes, seed, progress)
        widths = np.zeros(MOST_BITS, dtype="<i4")
        widths[: len(trained.widths)] = trained.widths
        self.load(
            {
                "mean": trained.mean, "directions": trained.directions, "units": trained.units,
                "widths": widths, "bar": np.array([trained.bar]),
            }
        )  # fmt: skip

    def cost(self, shape: Shape) -> Cost:
        """A covariance; rows and their centres are turned, and the encoder moves their numbers."""
        return Cost(
            train_bytes=covariance_bytes(shape.rows, self.dim),
            train=Work(matmul=shape.rows * self.dim * self.dim),
            add=Work(codebook=self.dim * (2 * self.dim + MOVES)),
            codewords=(1, 16),
        )

    def _made(self, trained: Parameters) -> native.Rabitq:
        widths = [int(width) for width in trained["widths"] if width]
        return native.Rabitq(
            trained["mean"], trained["directions"], trained["units"], widths, self.code_bytes,
            float(trained["bar"][0]),
        )  # fmt: skip

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        return {
            "mean": ArraySpec("<f4", (self.dim,)),
            "directions": ArraySpec("<f4", (self.dim, self.dim)),
            "units": ArraySpec("<f4", (self.dim,)),
            "widths": ArraySpec("<i4", (MOST_BITS,)),
            "bar": ArraySpec("<f4", (1,)),
        }
