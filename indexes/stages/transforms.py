"""Transforms: the steps that rows and queries pass before the partition and the codec.

A step has the attributes of `Step`. To add one: a spec in keys/specs.py, a form in grammar.py, a class here,
a line in `TRANSFORMS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from cluscomp.arrays import normalize_rows
from cluscomp.clustering.blocks import Progress
from cluscomp.errors import NotTrainedError
from cluscomp.indexes.keys.grammar import MRL, OPQ, PCA, PQ, CodecSpec, L2Norm, RandomRotation, TransformSpec
from cluscomp.indexes.stages.cost import NORMALIZE_BYTES, Cost, Shape, Work
from cluscomp.indexes.stages.learned_codec import LearnedRotation, LearnedStep
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters

OPQ_ITERATIONS = 10
"""Alternations; more lower the squared error by less than 1 % (384-d sentence vectors, m=48)."""
DEFAULT_NBITS = 8


class Step(Protocol):
    """One transform. dim_in, dim_out: of its rows. parameter_specs: the arrays that it saves."""

    spec: TransformSpec
    dim_in: int
    dim_out: int
    needs_training: bool

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        """Learn from float32 rows (n, dim_in)."""

    def cost(self, shape: Shape) -> Cost:
        """Memory and work of the step, when it is trained on the rows of `shape` and when it is applied."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Map float32 rows (n, dim_in) to float32 rows (n, dim_out), each row by itself."""

    def apply_queries(self, queries: np.ndarray) -> np.ndarray:
        """`apply` for queries: the same for all steps but a learned one."""

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]: ...

    def parameters(self) -> Parameters: ...

    def load(self, parameters: Parameters) -> None: ...


class NormalizeStep:
    """The first components of rows (L2norm: all) scaled to length one; zero rows stay zero."""

    needs_training = False

    def __init__(self, spec: TransformSpec, dim: int, codec: CodecSpec) -> None:
        self.spec = spec
        self.dim_in, self.dim_out = dim, spec.output_dim(dim)

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        """Nothing to learn."""

    def cost(self, shape: Shape) -> Cost:
        """A part of the rows in float64, and the result."""
        return Cost(add_bytes=NORMALIZE_BYTES, add_row_bytes=4 * self.dim_out)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return normalize_rows(x[:, : self.dim_out])

    apply_queries = apply

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        return {}

    def parameters(self) -> Parameters:
        return {}

    def load(self, parameters: Parameters) -> None:
        """Nothing to load."""


class LinearStep:
    """x -> x @ matrix.T with a matrix (dim_out, dim_in) of orthonormal rows."""

    needs_training = True

    def __init__(self, spec: TransformSpec, dim: int, codec: CodecSpec) -> None:
        self.spec = spec
        self.dim_in = dim
        self.dim_out = spec.output_dim(dim)
        self._linear: LinearMap | None = None

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        self.load({"matrix": self._matrix(x, seed, progress)})

    def _matrix(self, x: np.ndarray, seed: int, progress: Progress | None) -> np.ndarray:
        """The matrix to learn from float32 rows (n, dim_in)."""
        raise NotImplementedError

    def cost(self, shape: Shape) -> Cost:
        """Rows and their product in float64, and the result in float32."""
        return Cost(
            train_bytes=16 * self.dim_in * self.dim_in,
            add_row_bytes=8 * (self.dim_in + self.dim_out) + 4 * self.dim_out,
            add=Work(matmul=self.dim_in * self.dim_out),
        )

    def apply(self, x: np.ndarray) -> np.ndarray:
        if self._linear is None:
            raise NotTrainedError(f"{self.spec} has not been trained; call index.train(x) first")
        return self._linear.apply(x)

    apply_queries = apply

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        return {"matrix": ArraySpec("<f4", (self.dim_out, self.dim_in))}

    def parameters(self) -> Parameters:
        return {} if self._linear is None else {"matrix": self._linear.matrix}

    def load(self, parameters: Parameters) -> None:
        from cluscomp.quantization.linear import LinearTransform

        self._linear = LinearTransform(np.ascontiguousarray(parameters["matrix"], dtype=np.float32))


class LinearMap(Protocol):
    """What LinearStep uses of quantization.linear.LinearTransform."""

    matrix: np.ndarray

    def apply(self, x: np.ndarray) -> np.ndarray: ...


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
        self.m = spec.m
        self.nbits = codec.nbits if isinstance(codec, PQ) else DEFAULT_NBITS

    def _matrix(self, x: np.ndarray, seed: int, progress: Progress | None) -> np.ndarray:
        from cluscomp.quantization.rotation import train_opq

        rotation, _ = train_opq(
            x, self.m, self.nbits, d_out=self.dim_out, n_iter=OPQ_ITERATIONS, seed=seed, progress=progress
        )
        return np.asarray(rotation.matrix)

    def cost(self, shape: Shape) -> Cost:
        """Codebooks and rotation are trained in turns."""
        from cluscomp.quantization.rotation import opq_bytes, opq_work

        codebook, matmul = opq_work(shape.rows, self.dim_in, self.dim_out, self.nbits, OPQ_ITERATIONS)
        return replace(
            super().cost(shape),
            train_bytes=opq_bytes(shape.rows, self.dim_in, self.dim_out, self.m, self.nbits),
            train=Work(codebook=codebook, matmul=matmul),
        )


TRANSFORMS: dict[type, Callable[..., Step]] = {
    L2Norm: NormalizeStep,
    MRL: NormalizeStep,
    PCA: PcaStep,
    RandomRotation: RandomRotationStep,
    OPQ: OpqStep,
    LearnedRotation: LearnedStep,
}


def make_transform(spec: TransformSpec, dim: int, codec: CodecSpec) -> Step:
    """The untrained step that a key part stands for; OPQ rotates for the bits of the key's codec."""
    return TRANSFORMS[type(spec)](spec, dim, codec)
