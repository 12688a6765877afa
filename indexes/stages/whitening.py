"""Principal components, of which the strong ones count for less, scaled to length one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cluscomp import native
from cluscomp.arrays import normalize_rows
from cluscomp.errors import NotTrainedError, UsageError
from cluscomp.indexes.keys.forms import NUMBER, Form
from cluscomp.indexes.keys.specs import CodecSpec, TransformSpec, reduced_dim
from cluscomp.indexes.stages.cost import Cost, Shape, Work
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters
from cluscomp.indexes.stages.transform import Transform
from cluscomp.progress import Progress

HALF = 0.5
"""The exponent where the key has none: half-whitening."""
_VANISHED = 1e-12  # share of the largest variance below which a direction has none


@dataclass(frozen=True)
class PCAW(TransformSpec):
    """The first d principal components over their standard deviations to the power a, scaled to length one.

    a: 0.5 unless given; 0 is `PCAd,L2norm`, 1 gives all components the same variance.
    """

    dim: int
    a: float = HALF

    def __str__(self) -> str:
        return f"PCAW{self.dim}" if self.a == HALF else f"PCAW{self.dim}(a={self.a:g})"

    def output_dim(self, dim: int) -> int:
        return reduced_dim(self, dim, self.dim)


def _whitened(dim: int, a: float | None) -> PCAW:
    if a is not None and not 0 <= a <= 1:
        raise UsageError(f"PCAW{dim}(a={a:g}): a must be in 0 to 1")
    return PCAW(dim, HALF if a is None else float(a))


PCAW_FORM = Form(
    "transform", rf"PCAW{NUMBER}(?:\(a=(\d?\.\d{{1,3}}|\d)\))?", "PCAW64", _whitened, "PCAWd[(a=.5)]"
)


class PcawStep(Transform):
    """Rows are not centred: x -> V x / w ** (a / 2), scaled to length one; w: variances along V."""

    needs_training = True

    def __init__(self, spec: PCAW, dim: int, codec: CodecSpec) -> None:
        super().__init__(spec, dim, codec)
        self.power = spec.a / 2
        self._arrays: dict[str, np.ndarray] = {}

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        from cluscomp.quantization.pca import train_directions

        directions, variances = train_directions(x, self.dim_out, progress=progress)
        self.load({"matrix": directions, "scales": scales_of(variances, self.power)})

    def cost(self, shape: Shape) -> Cost:
        """The covariance of the training rows; projected rows, scaled ones and unit ones."""
        from cluscomp.quantization.pca import covariance_bytes

        return Cost(
            train_bytes=covariance_bytes(shape.rows, self.dim_in),
            train=Work(matmul=shape.rows * self.dim_in * self.dim_in),
            add_row_bytes=12 * self.dim_out,
            add=Work(matmul=self.dim_in * self.dim_out),
        )

    def apply(self, x: np.ndarray) -> np.ndarray:
        if not self._arrays:
            raise NotTrainedError(f"{self.spec} has not been trained; call index.train(x) first")
        return normalize_rows(self._directions.multiply(x) * self._arrays["scales"])

    @cached_property
    def _directions(self) -> native.PackedMatrix:
        return native.packed_matrix(self._arrays["matrix"].T)

    def unit_after(self, before: bool) -> bool:
        return True

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        return {
            "matrix": ArraySpec("<f4", (self.dim_out, self.dim_in)),
            "scales": ArraySpec("<f4", (self.dim_out,)),
        }

    def parameters(self) -> Parameters:
        return dict(self._arrays)

    def load(self, parameters: Parameters) -> None:
        self.__dict__.pop("_directions", None)
        self._arrays = {
            name: np.ascontiguousarray(parameters[name], dtype=np.float32) for name in ("matrix", "scales")
        }


def scales_of(variances: np.ndarray, power: float) -> np.ndarray:
    """(variance / largest) ** -power of each direction, 0 where there is no variance; 1 for power 0."""
    largest = float(variances.max(initial=0.0))
    if power == 0 or largest <= 0:
        return np.ones(len(variances))
    share = variances / largest
    return np.where(share > _VANISHED, np.maximum(share, _VANISHED) ** -power, 0.0)
