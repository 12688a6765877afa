"""Transforms: the steps that rows and queries pass before the partition and the codec.

A step has the attributes of `Step`. To add one: a spec in keys/specs.py, a form in grammar.py, a class here,
a line in `TRANSFORMS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from cluscomp.arrays import normalize_rows
from cluscomp.clustering.blocks import Progress
from cluscomp.errors import NotTrainedError
from cluscomp.indexes.keys.grammar import MRL, OPQ, PCA, PQ, CodecSpec, L2Norm, RandomRotation, TransformSpec
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
        self.codec = codec
        self.dim_in = dim
        self.dim_out = spec.output_dim(dim)
        self._linear: LinearMap | None = None

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        train = MATRICES[type(self.spec)]
        self.load({"matrix": train(self.spec, x, self.dim_out, seed, self.codec, progress)})

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


def _pca_matrix(
    spec: PCA, x: np.ndarray, dim_out: int, seed: int, codec: CodecSpec, progress: Progress | None
) -> np.ndarray:
    from cluscomp.quantization.pca import train_pca

    return np.asarray(train_pca(x, dim_out, progress=progress).matrix)


def _random_matrix(
    spec: RandomRotation, x: np.ndarray, dim_out: int, seed: int, codec: CodecSpec, progress: Progress | None
) -> np.ndarray:
    from cluscomp.quantization.rotation import random_rotation

    return np.asarray(random_rotation(x.shape[1], dim_out, seed).matrix)


def _opq_matrix(
    spec: OPQ, x: np.ndarray, dim_out: int, seed: int, codec: CodecSpec, progress: Progress | None
) -> np.ndarray:
    from cluscomp.quantization.rotation import train_opq

    nbits = codec.nbits if isinstance(codec, PQ) else DEFAULT_NBITS
    rotation, _ = train_opq(
        x, spec.m, nbits, d_out=dim_out, n_iter=OPQ_ITERATIONS, seed=seed, progress=progress
    )
    return np.asarray(rotation.matrix)


MATRICES: dict[type, Callable[..., np.ndarray]] = {
    PCA: _pca_matrix,
    RandomRotation: _random_matrix,
    OPQ: _opq_matrix,
}
TRANSFORMS: dict[type, Callable[..., Step]] = {
    L2Norm: NormalizeStep,
    MRL: NormalizeStep,
    PCA: LinearStep,
    RandomRotation: LinearStep,
    OPQ: LinearStep,
    LearnedRotation: LearnedStep,
}


def make_transform(spec: TransformSpec, dim: int, codec: CodecSpec) -> Step:
    """The untrained step that a key part stands for; OPQ rotates for the bits of the key's codec."""
    return TRANSFORMS[type(spec)](spec, dim, codec)
