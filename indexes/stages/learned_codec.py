"""Learned codecs in an index: `RepCONC(folder)`.

The key names a folder; what the index stores is the arrays of the folder, so that it never needs the folder
again. `resolve` reads the folder when an index is made, `bind` finds the shapes in the listing of an index
that is opened. Both put the codec's rotation in front of the partition, as a step that the key does not name:
lists, codes and probes then live in one space, and queries reach it through the query adapter.

The codebooks are never trained again: training learns the lists alone, and codes are those of the rows, not
of residuals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from cluscomp import native
from cluscomp.errors import CorruptIndexError, NotTrainedError, UsageError
from cluscomp.indexes.keys.forms import Form
from cluscomp.indexes.keys.specs import CodecSpec, IndexSpec
from cluscomp.indexes.stages.codec import CODES, Codes
from cluscomp.indexes.stages.cost import Cost, Shape, Work
from cluscomp.indexes.stages.learned_rotation import LearnedRotation, LearnedShape
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters
from cluscomp.indexes.stages.product_codecs import ProductCodec
from cluscomp.quantization.learned import LearnedCodec


@dataclass(frozen=True)
class RepCONC(CodecSpec):
    """A learned codec (quantization/learned.py): from `folder` when an index is made, and then in the index.

    shape: of its arrays, which the key does not say. source: the codec where it was just read.
    """

    folder: str
    shape: LearnedShape | None = None
    source: LearnedCodec | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"RepCONC({self.folder})"

    @property
    def source_folder(self) -> str:  # type: ignore[override]
        """Folder."""
        return self.folder

    def known(self) -> LearnedShape:
        """The shape; UsageError where nobody has looked for it."""
        if self.shape is None:
            raise UsageError(f"{self} is a name only; make the index with index_factory or build_index")
        return self.shape

    def check_dim(self, dim: int) -> None:
        if dim != self.known().d_out:
            raise UsageError(f"{self} encodes {self.known().d_out} dimensions, but gets {dim}")

    def check_metric(self, metric: str) -> None:
        trained = self.known().metric
        if trained is not None and (trained == "l2") != (metric == "l2"):
            raise UsageError(
                f"{self} was trained for the metric {trained!r}, but the index has {metric!r}; "
                f"make the index with metric {trained!r}, or train another codec"
            )

    def resolve(self, spec: IndexSpec) -> IndexSpec:
        """The key with rotation and shape of the codec in the folder. Raises as `LearnedCodec.load` does."""
        codec = LearnedCodec.load(self.folder)
        shape = LearnedShape(
            dim=codec.dim,
            d_out=codec.d_out,
            m=codec.m,
            nbits=codec.nbits,
            two_sets=not np.array_equal(codec.document_centroids, codec.query_centroids),
            adapter=codec.has_adapter,
            metric=codec.metric,
        )
        return self._with_shape(spec, shape, codec)

    def bind(self, spec: IndexSpec, shapes: Mapping[str, tuple[int, ...]], where: str) -> IndexSpec:
        """The key with the rotation and shape that the files of an index tell of."""
        rotation = f"transform{len(spec.transforms) - spec.has_leading_norm}"
        try:
            m, centroids, _ = _shape(shapes, "codec.document_centroids.npy", 3)
            d_out, dim = _shape(shapes, f"{rotation}.rotation.npy", 2)
        except KeyError as exc:
            raise CorruptIndexError(
                f"{where} does not list {exc.args[0]} with its shape, which {self} needs; the index is "
                "damaged: restore a copy or rebuild it"
            ) from exc
        shape = LearnedShape(
            dim=dim,
            d_out=d_out,
            m=m,
            nbits=centroids.bit_length() - 1,
            two_sets="codec.query_centroids.npy" in shapes,
            adapter=f"{rotation}.adapter_weight.npy" in shapes,
        )
        return self._with_shape(spec, shape, None)

    def _with_shape(self, spec: IndexSpec, shape: LearnedShape, source: LearnedCodec | None) -> IndexSpec:
        rotation = LearnedRotation(shape, str(self), source)
        codec = RepCONC(self.folder, shape, source)
        return replace(spec, transforms=(*spec.transforms, rotation), codec=codec)


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str, lengths: int) -> tuple[int, ...]:
    found = shapes[name]
    if len(found) != lengths or 0 in found:
        raise KeyError("an array of the codec")
    return found


LEARNED_FORM = Form(
    "codec",
    r"RepCONC\(([^()]+)\)",
    "RepCONC(folder)",
    RepCONC,
    "RepCONC(folder)",
    texts=True,
    meaning="codec trained for ranking (cluscomp train repconc), kept in the index with its query adapter",
)


class LearnedProductCodec(ProductCodec):
    """Codes of one set of learned centroids, scored with another; `codebooks` are those of the scores.

    Codes are those of the rows also behind lists, and nothing is ever trained.
    """

    by_residual = False
    needs_training = False

    def __init__(self, spec: RepCONC, dim: int) -> None:
        shape = spec.known()
        super().__init__(spec, dim, shape.m, shape.nbits)
        self._two_sets = shape.two_sets
        self._document: np.ndarray | None = None
        self._packed_document: native.PqCodebook | None = None
        if spec.source is not None:
            self.load(
                {
                    "document_centroids": spec.source.document_centroids,
                    "query_centroids": spec.source.query_centroids,
                }
            )

    @property
    def shared_codebooks(self) -> np.ndarray | None:
        """None where scores have centroids of their own."""
        return None if self._two_sets else self.codebooks

    def cost(self, shape: Shape) -> Cost:
        """Only encoding costs anything."""
        k = 1 << self.nbits
        return Cost(add=Work(codebook=self.dim * k), codewords=(self.dim // self.m, k))

    def encode(self, x: np.ndarray) -> Codes:
        if self._packed_document is None:
            if self._document is None:
                raise NotTrainedError(f"{self.spec} has not been loaded")
            self._packed_document = native.PqCodebook(self._document, self.nbits)
        return {CODES: native.pq_encode(x, self._packed_document, self.nbits)}

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        centroids = ArraySpec("<f4", (self.m, 2**self.nbits, self.dim // self.m))
        names = ("document_centroids", "query_centroids")[: 1 + self._two_sets]
        return dict.fromkeys(names, centroids)

    def parameters(self) -> Parameters:
        if self._document is None:
            return {}
        arrays = {"document_centroids": self._document, "query_centroids": self.codebooks}
        return {name: arrays[name] for name in self.parameter_specs}

    def load(self, parameters: Parameters) -> None:
        self._document = np.ascontiguousarray(parameters["document_centroids"], dtype=np.float32)
        self._packed_document = None
        super().load({"codebooks": parameters.get("query_centroids", self._document)})
