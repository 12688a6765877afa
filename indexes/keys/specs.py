"""What the parts of an index key stand for, and the key as a whole (`IndexSpec`). grammar.py reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cluscomp.errors import UsageError
from cluscomp.indexes.keys.pool import Pool

DEFAULT_CAP = 1.5


class TransformSpec:
    """A step that maps rows of dim d_in to rows of dim `output_dim(d_in)` before they are partitioned.

    hidden: it belongs to the codec, and the key does not name it.
    """

    hidden = False

    def output_dim(self, dim: int) -> int:
        """Dimension after the step; raises UsageError where the step cannot take rows of this dim."""
        return dim


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


class PartitionSpec:
    """A division of the rows into lists, of which a search visits a few."""

    nlist: int


class CodecSpec:
    """A form in which rows are stored. kind: of the rows (kinds.py), where the key has no pool."""

    kind = "vectors"

    def check_dim(self, dim: int) -> None:
        """Raise UsageError where rows of this dim cannot be stored in this form."""

    def check_metric(self, metric: str) -> None:
        """Raise UsageError where this form cannot score by this metric."""


@dataclass(frozen=True)
class L2Norm(TransformSpec):
    """Rows and queries scaled to length one; zero rows stay zero."""

    def __str__(self) -> str:
        return "L2norm"


@dataclass(frozen=True)
class PCA(TransformSpec):
    """Projection to the first `dim` principal directions."""

    dim: int

    def __str__(self) -> str:
        return f"PCA{self.dim}"

    def output_dim(self, dim: int) -> int:
        return _reduced(self, dim, self.dim)


@dataclass(frozen=True)
class MRL(TransformSpec):
    """The first `dim` components, scaled to length one: for vectors of Matryoshka representation learning."""

    dim: int

    def __str__(self) -> str:
        return f"MRL{self.dim}"

    def output_dim(self, dim: int) -> int:
        return _reduced(self, dim, self.dim)


@dataclass(frozen=True)
class RandomRotation(TransformSpec):
    """Random orthonormal rotation, to `dim` dimensions if given."""

    dim: int | None = None

    def __str__(self) -> str:
        return "RR" if self.dim is None else f"RR{self.dim}"

    def output_dim(self, dim: int) -> int:
        return _reduced(self, dim, self.dim or dim)


@dataclass(frozen=True)
class OPQ(TransformSpec):
    """Rotation trained for a product quantizer of m sub-spaces, to `dim` dimensions if given. m: 0 while a
    pool still has to choose it.
    """

    m: int
    dim: int | None = None

    def __str__(self) -> str:
        size = self.m or ""
        return f"OPQ{size}" if self.dim is None else f"OPQ{size}_{self.dim}"

    def output_dim(self, dim: int) -> int:
        out = _reduced(self, dim, self.dim or dim)
        _check_subspaces(self, out, self.m)
        return out


@dataclass(frozen=True)
class IVF(PartitionSpec):
    """Lists around `nlist` k-means centroids."""

    nlist: int

    def __str__(self) -> str:
        return f"IVF{self.nlist}"


@dataclass(frozen=True)
class BIVF(PartitionSpec):
    """Balanced lists: of n rows, none holds more than ceil(cap * n / nlist) (stages/balanced_ivf.py)."""

    nlist: int
    cap: float = DEFAULT_CAP

    def __str__(self) -> str:
        return f"BIVF{self.nlist}" if self.cap == DEFAULT_CAP else f"BIVF{self.nlist}(cap={self.cap:g})"


@dataclass(frozen=True)
class Flat(CodecSpec):
    """float32 values as they are. shadow: without lists, 8-bit codes beside them make exact search fast."""

    shadow: bool = True

    def __str__(self) -> str:
        return "Flat" if self.shadow else "Flat(noshadow)"


@dataclass(frozen=True)
class SQfp16(CodecSpec):
    """float16 values. shadow: as in Flat."""

    shadow: bool = False

    def __str__(self) -> str:
        return "SQfp16(shadow)" if self.shadow else "SQfp16"


@dataclass(frozen=True)
class SQ8(CodecSpec):
    """One byte a value, uniform between the minimum and maximum of its dimension."""

    def __str__(self) -> str:
        return "SQ8"


@dataclass(frozen=True)
class SQ4(CodecSpec):
    """Half a byte a value: the nearest of 16 levels learned for its dimension."""

    def __str__(self) -> str:
        return "SQ4"


@dataclass(frozen=True)
class PQ(CodecSpec):
    """Product quantizer: m sub-vectors, each replaced by the number of its nearest of 2**nbits centroids. m:
    0 while a pool still has to choose it.
    """

    m: int
    nbits: int = 8

    def __str__(self) -> str:
        return f"PQ{self.m or ''}" if self.nbits == 8 else f"PQ{self.m}x{self.nbits}"

    def check_dim(self, dim: int) -> None:
        _check_subspaces(self, dim, self.m)


@dataclass(frozen=True)
class RepCONC(CodecSpec):
    """A learned codec (quantization/learned.py): from `folder` when an index is made, and then in the index.

    shape: of its arrays, which the key does not say; learned_codec.py finds it and adds the rotation. source:
    the codec (LearnedCodec) where it was just read.
    """

    folder: str
    shape: LearnedShape | None = None
    source: Any = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"RepCONC({self.folder})"

    @property
    def m(self) -> int:
        """Sub-vectors."""
        return self.known().m

    @property
    def nbits(self) -> int:
        """Bits a code."""
        return self.known().nbits

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


@dataclass(frozen=True)
class OnDisk:
    """Finer codes that stay on disk, the others in memory: BiDR's two granularities (arXiv 2201.05409)."""

    codec: CodecSpec


@dataclass(frozen=True)
class IndexSpec:
    """A parsed key: transforms, then a partition or None, then the codec, then the codec of the rerank or
    None. pool: of a multi-vector index, whose rows are documents; None where a row is one vector.
    """

    transforms: tuple[TransformSpec, ...]
    partition: PartitionSpec | None
    codec: CodecSpec
    refine: CodecSpec | None = None
    pool: Pool | None = None
    on_disk: bool = False

    def __str__(self) -> str:
        stages: list[object] = [] if self.pool is None else [self.pool]
        stages += [transform for transform in self.transforms if not transform.hidden]
        if self.partition is not None:
            stages.append(self.partition)
        stages.append(self.codec)
        if self.refine is not None:
            plain = "RFlat" if isinstance(self.refine, Flat) else f"Refine({self.refine})"
            stages.append(f"BiDR({self.refine})" if self.on_disk else plain)
        return ",".join(str(stage) for stage in stages)

    def stage_dims(self, dim: int) -> tuple[int, ...]:
        """Dimension of the input and after each transform; UsageError where the key does not fit."""
        dims = [dim]
        for transform in self.transforms:
            dims.append(transform.output_dim(dims[-1]))
        self.codec.check_dim(dims[-1])
        if self.refine is not None:
            self.refine.check_dim(dim)
        return tuple(dims)

    @property
    def kind(self) -> str:
        """Name of the kind of rows that the index holds (kinds.py)."""
        return self.codec.kind if self.pool is None else self.pool.kind

    def stores_unit_vectors(self, normalizes: bool) -> bool:
        """Whether documents are stored as vectors of length one. normalizes: rows are scaled before."""
        return self.pool is not None and (normalizes or not self.pool.keeps_all)

    @property
    def has_leading_norm(self) -> bool:
        """Rows are normalised before all else, for the rerank too."""
        return bool(self.transforms) and isinstance(self.transforms[0], L2Norm)

    @property
    def has_prescreen(self) -> bool:
        """Whether 8-bit codes beside float rows make the exact search faster (stages/prescreen.py)."""
        return (
            self.pool is None
            and self.partition is None
            and isinstance(self.codec, Flat | SQfp16)
            and self.codec.shadow
        )

    @property
    def nlist(self) -> int:
        """Number of lists; an index without partition is one list."""
        return 1 if self.partition is None else self.partition.nlist


def _reduced(spec: object, dim: int, wanted: int) -> int:
    if wanted > dim:
        raise UsageError(f"{spec}: cannot keep {wanted} of {dim} dimensions; valid are 1 to {dim}")
    return wanted


def _check_subspaces(spec: object, dim: int, m: int) -> None:
    if m == 0 or dim % m:
        valid = ", ".join(str(n) for n in range(1, dim + 1) if dim % n == 0)
        raise UsageError(f"{spec}: dim {dim} cannot be cut into m={m} equal sub-vectors; valid m: {valid}")
