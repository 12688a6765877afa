"""What parts of index keys stand for, and the key as a whole (`IndexSpec`).

A part is a frozen dataclass whose `str` is its canonical spelling. Those of transforms, partitions and codecs
stand beside the classes that do the work (stages/).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cluscomp.errors import UsageError
from cluscomp.indexes.keys.pool import Pool
from cluscomp.vocabulary import EncoderKind


class TransformSpec:
    """A step that maps rows of dim d_in to rows of dim `output_dim(d_in)` before they are partitioned.

    hidden: it belongs to the codec, and the key does not name it. normalizes: it scales rows to length one
    and does nothing else. rotates: it makes dimensions vary alike. size: a number that a pool by bytes may
    choose, 0 while it is open; None: no such number.
    """

    hidden = False
    normalizes = False
    rotates = False
    size: int | None = None

    def output_dim(self, dim: int) -> int:
        """Dimension after the step; raises UsageError where the step cannot take rows of this dim."""
        return dim

    def with_size(self, size: int) -> TransformSpec:
        """The step with its open size chosen."""
        return self


class PartitionSpec:
    """A division of the rows into lists, of which a search visits a few."""

    nlist: int


class CodecSpec:
    """A form in which rows are stored.

    kind: of the rows (kinds.py), where the key has no pool. stands_alone: no other part may stand in the key.
    encoder_kinds: of encoders that make such rows of texts. own_encoder: name of the one that needs no model.
    has_prescreen: 8-bit codes beside the rows make
    the exact search faster (stages/prescreen.py). size: as `TransformSpec.size`. rotation_bits: bits of the
    codes that a rotation in front is trained for. wants_rotation: it is good only for rows whose dimensions
    vary alike. source_folder: that the codec is read from, if any.
    approximate: a search may miss hits also without lists.
    """

    kind = "vectors"
    stands_alone = False
    encoder_kinds: tuple[EncoderKind, ...] = ("dense",)
    own_encoder: str | None = None
    has_prescreen = False
    size: int | None = None
    rotation_bits = 8
    wants_rotation = False
    source_folder: str | None = None
    approximate = False

    def check_dim(self, dim: int) -> None:
        """Raise UsageError where rows of this dim cannot be stored in this form."""

    def check_metric(self, metric: str) -> None:
        """Raise UsageError where this form cannot score by this metric."""

    def with_size(self, size: int) -> CodecSpec:
        """The form with its open size chosen."""
        return self

    def without_prescreen(self) -> CodecSpec:
        """How the form is written where there is no prescreen anyway: behind lists and in documents."""
        return self

    def in_rerank(self) -> str:
        """How a key writes that candidates are scored again with this form."""
        return f"Refine({self})"

    def resolve(self, spec: IndexSpec) -> IndexSpec:
        """The key with what this part refers to, such as a folder, once that has been read."""
        return spec

    def bind(self, spec: IndexSpec, shapes: Mapping[str, tuple[int, ...]], where: str) -> IndexSpec:
        """`resolve` for an index whose folder lists files of arrays of these shapes. where: its manifest.

        Raises CorruptIndexError where files are missing.
        """
        return spec


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
        return ",".join(self.tokens())

    def tokens(self) -> list[str]:
        """The parts of the key in their canonical spelling."""
        stages: list[object] = [] if self.pool is None else [self.pool]
        stages += [transform for transform in self.transforms if not transform.hidden]
        if self.partition is not None:
            stages.append(self.partition)
        stages.append(self.codec)
        if self.refine is not None:
            stages.append(f"BiDR({self.refine})" if self.on_disk else self.refine.in_rerank())
        return [str(stage) for stage in stages]

    def resolved(self) -> IndexSpec:
        """The key with what its codec refers to; raises what reading that raises."""
        return self.codec.resolve(self)

    def bound(self, shapes: Mapping[str, tuple[int, ...]], where: str) -> IndexSpec:
        """The key with what the files of an index folder tell of its codec; as `CodecSpec.bind`."""
        return self.codec.bind(self, shapes, where)

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

    @property
    def dense(self) -> IndexSpec:
        """The key of the vectors, where a key has two parts; else the key itself."""
        return self

    @property
    def term_codec(self) -> CodecSpec:
        """The form of the weighted terms, where a key has two parts; else of the rows."""
        return self.codec

    @property
    def encoder_kinds(self) -> tuple[EncoderKind, ...]:
        """Kinds of encoders that make such rows of texts."""
        return self.codec.encoder_kinds if self.pool is None else ("tokens", "multivector")

    @property
    def sums_tokens(self) -> bool:
        """Whether a score adds up those of the token vectors of a query."""
        return self.pool is not None

    def stores_unit_vectors(self, normalizes: bool) -> bool:
        """Whether documents are stored as vectors of length one. normalizes: rows are scaled before."""
        if self.pool is None or self.pool.is_fitted:
            return False
        return normalizes or not self.pool.keeps_all

    @property
    def fitted_pool(self) -> Pool | None:
        """The pool, where it fits vectors, whose lengths then count."""
        return self.pool if self.pool is not None and self.pool.is_fitted else None

    def of_old_folders(self) -> IndexSpec:
        """What the key meant in folders of format 2 and 1."""
        return self if self.pool is None else replace(self, pool=self.pool.of_old_folders())

    @property
    def has_leading_norm(self) -> bool:
        """Rows are normalised before all else, for the rerank too."""
        return bool(self.transforms) and self.transforms[0].normalizes

    @property
    def has_prescreen(self) -> bool:
        """Whether 8-bit codes beside float rows make the exact search faster (stages/prescreen.py)."""
        return self.pool is None and self.partition is None and self.codec.has_prescreen

    @property
    def nlist(self) -> int:
        """Number of lists; an index without partition is one list."""
        return 1 if self.partition is None else self.partition.nlist


def reduced_dim(spec: object, dim: int, wanted: int) -> int:
    """The dim `wanted` if rows of dim can be cut to it; UsageError if not."""
    if wanted > dim:
        raise UsageError(f"{spec}: cannot keep {wanted} of {dim} dimensions; valid are 1 to {dim}")
    return wanted


def check_subspaces(spec: object, dim: int, m: int) -> None:
    """Raise UsageError, with the numbers that work, unless dim splits into m equal sub-vectors."""
    if m == 0 or dim % m:
        valid = ", ".join(str(n) for n in range(1, dim + 1) if dim % n == 0)
        raise UsageError(f"{spec}: dim {dim} cannot be cut into m={m} equal sub-vectors; valid m: {valid}")
