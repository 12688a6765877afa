"""Transforms: the steps that rows and queries pass before the partition and the codec."""

from __future__ import annotations

from abc import abstractmethod
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from cluscomp import native
from cluscomp.errors import NotTrainedError, UsageError
from cluscomp.indexes.keys.specs import CodecSpec, TransformSpec
from cluscomp.indexes.stages.codec import Codec
from cluscomp.indexes.stages.cost import Cost, Shape, Work
from cluscomp.indexes.stages.faiss_parts import linear_link
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters
from cluscomp.indexes.stages.stage import Stage
from cluscomp.progress import Progress


class Transform(Stage):
    """One step; a subclass is made of (spec, dim, spec of the key's codec). dim_in, dim_out: of its rows."""

    @property
    def matrix(self) -> np.ndarray | None:
        """(dim_out, dim_in) float32 of orthonormal rows, where that is all that rows and queries pass."""
        return None

    def unit_after(self, before: bool) -> bool:
        """Whether rows have length one behind the step. before: whether they have it in front of it."""
        return before and self.matrix is not None and self.dim_out == self.dim_in

    def __init__(self, spec: TransformSpec, dim: int, codec: CodecSpec) -> None:
        self.spec = spec
        self.dim_in, self.dim_out = dim, spec.output_dim(dim)

    @abstractmethod
    def apply(self, x: np.ndarray) -> np.ndarray:
        """Map float32 rows (n, dim_in) to float32 rows (n, dim_out), each row by itself."""

    def apply_queries(self, queries: np.ndarray) -> np.ndarray:
        """`apply` for queries: the same for all steps but a learned one."""
        return self.apply(queries)

    def back(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, dim_in) whose inner product with a query is that of `rows` (n, dim_out) with what the step
        makes of the query. UsageError where there are none.
        """
        raise UsageError(
            f"vectors do not come back through {self.spec}, which changes queries by more than a rotation; "
            "take a key without it, or one with a rerank such as RFlat"
        )

    def trains_with(self, codec: Codec) -> bool:
        """Whether the step and the codec behind it are best trained together (joint_training.py)."""
        return False

    def train_with(self, codec: Codec, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        """Learn together with a codec that `trains_with` accepts, from float32 rows (n, dim_in)."""
        raise NotImplementedError

    def to_faiss(self, faiss: ModuleType) -> list[Any]:
        """The links of a faiss chain that do the same."""
        raise UsageError(f"faiss has no step like {self.spec}, so the index cannot be copied")


class LinearStep(Transform):
    """x -> x @ matrix.T with a matrix (dim_out, dim_in) of orthonormal rows."""

    needs_training = True

    def __init__(self, spec: TransformSpec, dim: int, codec: CodecSpec) -> None:
        super().__init__(spec, dim, codec)
        self._linear: LinearMap | None = None

    @property
    def matrix(self) -> np.ndarray | None:
        return self.parameters().get("matrix")

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        self.load({"matrix": self._matrix(x, seed, progress)})

    @abstractmethod
    def _matrix(self, x: np.ndarray, seed: int, progress: Progress | None) -> np.ndarray:
        """The matrix to learn from float32 rows (n, dim_in)."""

    def cost(self, shape: Shape) -> Cost:
        """The result."""
        return Cost(
            train_bytes=16 * self.dim_in * self.dim_in,
            add_row_bytes=4 * self.dim_out,
            add=Work(matmul=self.dim_in * self.dim_out),
        )

    def apply(self, x: np.ndarray) -> np.ndarray:
        return self._trained().apply_rows(x)

    def apply_queries(self, queries: np.ndarray) -> np.ndarray:
        """`apply`, in fewer steps: a search of one query takes microseconds."""
        product: np.ndarray = (self._linear or self._trained()).forth.multiply(queries)
        return product

    def _trained(self) -> LinearMap:
        if self._linear is None:
            raise NotTrainedError(f"{self.spec} has not been trained; call index.train(x) first")
        return self._linear

    def back(self, rows: np.ndarray) -> np.ndarray:
        return self._trained().inverse_rows(rows)

    def to_faiss(self, faiss: ModuleType) -> list[Any]:
        return [linear_link(faiss, self.parameters()["matrix"])]

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

    @property
    def forth(self) -> native.PackedMatrix: ...

    def apply_rows(self, rows: np.ndarray) -> np.ndarray: ...

    def inverse_rows(self, rows: np.ndarray) -> np.ndarray: ...
