"""Rotations and projections: random, by principal directions, and trained for a product quantizer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cluscomp.indexes.keys.forms import NUMBER, Form
from cluscomp.indexes.keys.specs import CodecSpec, TransformSpec, check_subspaces, reduced_dim
from cluscomp.indexes.stages.codec import Codec
from cluscomp.indexes.stages.cost import Cost, Shape, Work
from cluscomp.indexes.stages.transform import LinearStep
from cluscomp.progress import Progress

OPQ_ITERATIONS = 10
"""Alternations; more lower the squared error by less than 1 % (384-d sentence vectors, m=48)."""


@dataclass(frozen=True)
class PCA(TransformSpec):
    """Projection to the first d principal directions."""

    dim: int

    def __str__(self) -> str:
        return f"PCA{self.dim}"

    def output_dim(self, dim: int) -> int:
        return reduced_dim(self, dim, self.dim)


@dataclass(frozen=True)
class RandomRotation(TransformSpec):
    """Random orthonormal rotation, to d dimensions if given."""

    dim: int | None = None
    rotates = True

    def __str__(self) -> str:
        return "RR" if self.dim is None else f"RR{self.dim}"

    def output_dim(self, dim: int) -> int:
        return reduced_dim(self, dim, self.dim or dim)


@dataclass(frozen=True)
class OPQ(TransformSpec):
    """Rotation trained for a product quantizer of m groups, to d dimensions if given. m: 0 while a
    pool still has to choose it.
    """

    m: int
    dim: int | None = None
    rotates = True

    def __str__(self) -> str:
        size = self.m or ""
        return f"OPQ{size}" if self.dim is None else f"OPQ{size}_{self.dim}"

    @property
    def size(self) -> int:  # type: ignore[override]
        """M."""
        return self.m

    def with_size(self, size: int) -> OPQ:
        return self if self.m else OPQ(size, self.dim)

    def output_dim(self, dim: int) -> int:
        out = reduced_dim(self, dim, self.dim or dim)
        check_subspaces(self, out, self.m)
        return out


OPQ_FORMS = (
    Form("transform", rf"OPQ{NUMBER}(?:_{NUMBER})?", "OPQ48", OPQ, "OPQm[_d]"),
    Form("transform", r"OPQ", "OPQ48", lambda: OPQ(0)),
)
PCA_FORM = Form("transform", rf"PCA{NUMBER}", "PCA64", PCA, "PCAd")
RANDOM_FORM = Form("transform", rf"RR{NUMBER}?", "RR", RandomRotation, "RR[d]")


class PcaStep(LinearStep):
    """The principal directions of the training rows."""

    def _matrix(self, x: np.ndarray, seed: int, progress: Progress | None) -> np.ndarray:
        from cluscomp.quantization.pca import train_pca

        return np.asarray(train_pca(x, self.dim_out, progress=progress).matrix)

    def cost(self, shape: Shape) -> Cost:
        """The covariance of the training rows is computed."""
        from cluscomp.quantization.pca import covariance_bytes

        return replace(
            super().cost(shape),
            train_bytes=covariance_bytes(shape.rows, self.dim_in),
            train=Work(matmul=shape.rows * self.dim_in * self.dim_in),
        )


class RandomRotationStep(LinearStep):
    """A rotation that the seed alone decides."""

    def _matrix(self, x: np.ndarray, seed: int, progress: Progress | None) -> np.ndarray:
        from cluscomp.quantization.rotation import random_rotation

        return np.asarray(random_rotation(self.dim_in, self.dim_out, seed).matrix)


class OpqStep(LinearStep):
    """The rotation that suits the product quantizer behind it best."""

    def __init__(self, spec: OPQ, dim: int, codec: CodecSpec) -> None:
        super().__init__(spec, dim, codec)
        self.m, self.nbits = spec.m, codec.rotation_bits

    def _matrix(self, x: np.ndarray, seed: int, progress: Progress | None) -> np.ndarray:
        return self._learn(x, seed, progress)[0]

    def _learn(self, x: np.ndarray, seed: int, progress: Progress | None) -> tuple[np.ndarray, np.ndarray]:
        """Rotation (dim_out, dim_in) and codebooks (m, 2**nbits, dim_out / m)."""
        from cluscomp.quantization.rotation import train_opq

        rotation, codebooks = train_opq(
            x, self.m, self.nbits, d_out=self.dim_out, n_iter=OPQ_ITERATIONS, seed=seed, progress=progress
        )
        return rotation.matrix, codebooks

    def trains_with(self, codec: Codec) -> bool:
        """A product quantizer of the same sub-spaces takes the codebooks that come with the rotation."""
        return codec.joint_groups == self.m

    def train_with(self, codec: Codec, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        matrix, codebooks = self._learn(x, seed, progress)
        self.load({"matrix": matrix})
        codec.load({"codebooks": codebooks})

    def cost(self, shape: Shape) -> Cost:
        """Codebooks and rotation are trained in turns."""
        from cluscomp.quantization.rotation import opq_bytes, opq_work

        codebook, matmul = opq_work(shape.rows, self.dim_in, self.dim_out, self.nbits, OPQ_ITERATIONS)
        return replace(
            super().cost(shape),
            train_bytes=opq_bytes(shape.rows, self.dim_in, self.dim_out, self.m, self.nbits),
            train=Work(codebook=codebook, matmul=matmul),
        )
