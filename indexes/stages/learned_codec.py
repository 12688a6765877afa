"""Learned codecs in an index: `RepCONC(folder)`.

The key names a folder; what the index stores is the arrays of the folder, so that it never needs the folder
again. `resolve` reads the folder when an index is made, `bind` (storage/learned_shape.py) finds the shapes in
the listing of an index that is opened. Both put the codec's rotation in front of the partition, as a step
that the key does not name: lists, codes and probes then live in one space, and queries reach it through the
query adapter.

The codebooks are never trained again: training learns the lists alone, and codes are those of the rows, not
of residuals.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from cluscomp.clustering.blocks import Progress
from cluscomp.errors import NotTrainedError, UsageError
from cluscomp.indexes.keys.grammar import CodecSpec, IndexSpec, LearnedShape, RepCONC, TransformSpec
from cluscomp.indexes.stages.cost import Cost, Shape, Work
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters
from cluscomp.quantization.learned import LearnedCodec, QueryMap
from cluscomp.quantization.linear import multiply_rows


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


def resolve(spec: IndexSpec) -> IndexSpec:
    """The spec with what the folder of its learned codec says; unchanged without such a codec.

    Raises what `LearnedCodec.load` does.
    """
    if not isinstance(spec.codec, RepCONC):
        return spec
    codec = LearnedCodec.load(spec.codec.folder)
    shape = LearnedShape(
        dim=codec.dim,
        d_out=codec.d_out,
        m=codec.m,
        nbits=codec.nbits,
        two_sets=not np.array_equal(codec.document_centroids, codec.query_centroids),
        adapter=codec.has_adapter,
        metric=codec.metric,
    )
    return with_shape(spec, spec.codec, shape, codec)


def with_shape(
    spec: IndexSpec, codec: RepCONC, shape: LearnedShape, source: LearnedCodec | None
) -> IndexSpec:
    """The spec with the rotation of its learned codec as the last transform."""
    rotation = LearnedRotation(shape, str(codec), source)
    return replace(spec, transforms=(*spec.transforms, rotation), codec=RepCONC(codec.folder, shape, source))


class LearnedStep:
    """Rows x -> R x, queries q -> R (W q + b)."""

    needs_training = False

    def __init__(self, spec: LearnedRotation, dim: int, codec: CodecSpec) -> None:
        self.spec: TransformSpec = spec
        self._has_adapter = spec.shape.adapter
        self.dim_in, self.dim_out = dim, spec.output_dim(dim)
        self._arrays: Parameters = {}
        self.query_map: QueryMap
        if spec.source is not None:
            self._load_from(spec.source)

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        """Nothing to learn."""

    def cost(self, shape: Shape) -> Cost:
        """Rows and their product in float64, and the result in float32."""
        return Cost(
            add_row_bytes=8 * (self.dim_in + self.dim_out) + 4 * self.dim_out,
            add=Work(matmul=self.dim_in * self.dim_out),
        )

    def apply(self, x: np.ndarray) -> np.ndarray:
        return multiply_rows(x, self._trained()["rotation"].T)

    def apply_queries(self, queries: np.ndarray) -> np.ndarray:
        """`apply` for queries, which pass the adapter before."""
        self._trained()
        return self.query_map.apply(queries)

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
        self.query_map = QueryMap.of(self._arrays["rotation"], *adapter)

    def _load_from(self, codec: LearnedCodec) -> None:
        arrays: Parameters = {"rotation": codec.rotation}
        if codec.adapter_weight is not None and codec.adapter_bias is not None:
            arrays |= {"adapter_weight": codec.adapter_weight, "adapter_bias": codec.adapter_bias}
        self.load(arrays)

    def _trained(self) -> Parameters:
        if not self._arrays:
            raise NotTrainedError(f"{self.spec} has not been loaded")
        return self._arrays
