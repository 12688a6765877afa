"""The rotation of a learned codec, with its query adapter: a step that the key does not name."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from cluscomp.arrays import require_finite
from cluscomp.errors import NotTrainedError, UsageError
from cluscomp.indexes.keys.specs import CodecSpec, TransformSpec
from cluscomp.indexes.stages.cost import Cost, Shape, Work
from cluscomp.indexes.stages.faiss_parts import linear_link
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters
from cluscomp.indexes.stages.transform import Transform
from cluscomp.quantization.learned import AffineMap, LearnedCodec


@dataclass(frozen=True)
class LearnedShape:
    """Shape of a learned codec's arrays. metric: that it was trained for, None where the index says it.

    two_sets: scoring has centroids of its own. adapter: queries pass one.
    """

    dim: int
    d_out: int
    m: int
    nbits: int
    two_sets: bool
    adapter: bool
    metric: str | None = None


@dataclass(frozen=True)
class LearnedRotation(TransformSpec):
    """The rotation of a learned codec, and its query adapter. source: the codec, where it was just read."""

    shape: LearnedShape
    name: str
    source: LearnedCodec | None = field(default=None, compare=False, repr=False)
    hidden = True

    def __str__(self) -> str:
        return f"rotation of {self.name}"

    def output_dim(self, dim: int) -> int:
        if dim != self.shape.dim:
            raise UsageError(
                f"{self.name} was trained for dim {self.shape.dim}, but gets rows of dim {dim}; "
                "use vectors of the same model, or train another codec"
            )
        return self.shape.d_out


class LearnedStep(Transform):
    """Rows x -> R x, queries q -> R (W q + b)."""

    def __init__(self, spec: LearnedRotation, dim: int, codec: CodecSpec) -> None:
        super().__init__(spec, dim, codec)
        self._has_adapter = spec.shape.adapter
        self._arrays: Parameters = {}
        self.document_map: AffineMap
        self.query_map: AffineMap
        if spec.source is not None:
            self._load_from(spec.source)

    def cost(self, shape: Shape) -> Cost:
        """The result."""
        return Cost(
            add_row_bytes=4 * self.dim_out,
            add=Work(matmul=self.dim_in * self.dim_out),
        )

    def apply(self, x: np.ndarray) -> np.ndarray:
        self._loaded()
        return self._scorable(self.document_map.apply(x), "rows")

    def apply_queries(self, queries: np.ndarray) -> np.ndarray:
        """`apply` for queries, which pass the adapter before."""
        self._loaded()
        return self._scorable(self.query_map.apply(queries), "queries")

    def _scorable(self, mapped: np.ndarray, what: str) -> np.ndarray:
        """What a map of any size gave; raises TooLargeError or NonFiniteError where scores would overflow."""
        require_finite(mapped, name=f"{what} behind the {self.spec}")
        return mapped

    @property
    def matrix(self) -> np.ndarray | None:
        """None with an adapter."""
        return None if self._has_adapter else self._loaded()["rotation"]

    def unit_after(self, before: bool) -> bool:
        """Of rows, which pass no adapter."""
        return before and self.dim_out == self.dim_in

    def to_faiss(self, faiss: ModuleType) -> list[Any]:
        """What queries pass: faiss has one map for rows and queries, and the rows are encoded already."""
        return [linear_link(faiss, self.query_map.matrix, self.query_map.shift)]

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        specs = {"rotation": ArraySpec("<f4", (self.dim_out, self.dim_in))}
        if self._has_adapter:
            specs["adapter_weight"] = ArraySpec("<f4", (self.dim_in, self.dim_in))
            specs["adapter_bias"] = ArraySpec("<f4", (self.dim_in,))
        return specs

    def parameters(self) -> Parameters:
        return dict(self._arrays)

    def load(self, parameters: Parameters) -> None:
        self._arrays = {
            name: np.ascontiguousarray(parameters[name], dtype=np.float32) for name in self.parameter_specs
        }
        adapter = (self._arrays.get(name) for name in ("adapter_weight", "adapter_bias"))
        self.document_map = AffineMap(self._arrays["rotation"], None)
        self.query_map = AffineMap.of(self._arrays["rotation"], *adapter)

    def _load_from(self, codec: LearnedCodec) -> None:
        arrays: Parameters = {"rotation": codec.rotation}
        if codec.adapter_weight is not None and codec.adapter_bias is not None:
            arrays |= {"adapter_weight": codec.adapter_weight, "adapter_bias": codec.adapter_bias}
        self.load(arrays)

    def _loaded(self) -> Parameters:
        if not self._arrays:
            raise NotTrainedError(f"{self.spec} has not been loaded")
        return self._arrays
