"""The grammar of index keys.

    key       := [pool ","] [transform ","]... [partition ","] codec ["," refine]
    pool      := "Pool" n | "Pool(" setting ["," setting]... ")"
    transform := "OPQ" [m ["_" d]] | "PCA" d | "RR" [d] | "L2norm" | "MRL" d
    partition := "IVF" n | "BIVF" n ["(cap=" ratio ")"]
    codec     := "Flat" ["(noshadow)"] | "SQfp16" ["(shadow)"] | "SQ8" | "SQ4" | "PQ" [m ["x" nbits]]
               | "RepCONC(" folder ")"
    refine    := "Refine(" codec ")" | "RFlat" | "RSQ8" | "RSQfp16" | "BiDR(" codec ")"

Keys follow faiss's index_factory where it has the idea, and every key has one canonical spelling,
`str(spec)`. OPQ and PQ without a number are for Pool(bytes=...), which then chooses it (pool_key.py).

To add a form (a transform, partition or codec): write its frozen dataclass here with `__str__`, add one
`Form` line to `FORMS`, then register what it does in the table of its stage: `TRANSFORMS` (transforms.py),
`PARTITIONS` (partitions.py) or `CODECS` (codecs.py), and its faiss counterpart in faiss_bridge.py. Nothing
else knows the forms by name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cluscomp.errors import UnknownKeyError, UsageError
from cluscomp.indexes.pool_key import POOL_GRAMMAR, Pool, parse_pool

MAX_KEY_LENGTH = 4096
PQ_NBITS = (4, 6, 8)
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
    """A form in which rows are stored."""

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
    """Balanced lists: of n rows, none holds more than ceil(cap * n / nlist) (balanced_ivf.py)."""

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

    shape: of its arrays, which the key does not say; learned.py finds it, and adds the rotation. source: the
    codec (LearnedCodec) where it was just read.
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
    def has_leading_norm(self) -> bool:
        """Rows are normalised before all else, for the rerank too."""
        return bool(self.transforms) and isinstance(self.transforms[0], L2Norm)

    @property
    def has_shadow(self) -> bool:
        """Whether 8-bit codes beside float rows make the exact search faster (shadow.py)."""
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


def _number(text: str) -> int | float:
    return int(text) if text.isdigit() else float(text)


@dataclass(frozen=True)
class Form:
    """One kind of key part: how it reads, an example, and how its numbers make a spec."""

    stage: str
    pattern: str
    example: str
    build: Callable[..., object]

    def match(self, token: str) -> object | None:
        found = re.fullmatch(self.pattern, token)
        if found is None:
            return None
        return self.build(*(_number(group) if group else None for group in found.groups()))


@dataclass(frozen=True)
class TextForm(Form):
    """A form whose `build` takes its groups as they are written."""

    def match(self, token: str) -> object | None:
        found = re.fullmatch(self.pattern, token)
        return None if found is None else self.build(*found.groups())


_N = r"([1-9]\d{0,8})"


def _bivf(nlist: int, cap: float | None) -> BIVF:
    if cap is not None and cap < 1:
        raise UsageError(
            f"BIVF{nlist}(cap={cap:g}): lists of at most {cap:g} times the mean cannot hold all rows; "
            "the cap must be at least 1"
        )
    return BIVF(nlist, cap or DEFAULT_CAP)


def _pq(m: int, nbits: int | None) -> PQ:
    if nbits is not None and nbits not in PQ_NBITS:
        raise UsageError(
            f"PQ{m}x{nbits}: {nbits} bits a code are not supported; valid numbers are 4, 6 and 8"
        )
    return PQ(m, nbits or 8)


FORMS = (
    Form("pool", rf"Pool{_N}", "Pool16", Pool),
    TextForm("pool", r"Pool\((.*)\)", "Pool(f=4)", parse_pool),
    Form("transform", rf"OPQ{_N}(?:_{_N})?", "OPQ48", OPQ),
    Form("transform", r"OPQ", "OPQ48", lambda: OPQ(0)),
    Form("transform", rf"PCA{_N}", "PCA64", PCA),
    Form("transform", rf"RR{_N}?", "RR", RandomRotation),
    Form("transform", r"L2norm", "L2norm", L2Norm),
    Form("transform", rf"MRL{_N}", "MRL128", MRL),
    Form("partition", rf"IVF{_N}", "IVF1024", IVF),
    Form("partition", rf"BIVF{_N}(?:\(cap=(\d{{1,3}}(?:\.\d{{1,3}})?)\))?", "BIVF1024", _bivf),
    Form("codec", r"Flat", "Flat", Flat),
    Form("codec", r"Flat\(noshadow\)", "Flat(noshadow)", lambda: Flat(shadow=False)),
    Form("codec", r"SQfp16", "SQfp16", SQfp16),
    Form("codec", r"SQfp16\(shadow\)", "SQfp16(shadow)", lambda: SQfp16(shadow=True)),
    Form("codec", r"SQ8", "SQ8", SQ8),
    Form("codec", r"SQ4", "SQ4", SQ4),
    Form("codec", rf"PQ{_N}(?:x{_N})?", "PQ48", _pq),
    Form("codec", r"PQ", "PQ48", lambda: PQ(0)),
    Form("codec", rf"PQ{_N}x4fs", "PQ48x4fs", lambda m: PQ(m, 4)),  # faiss's name; here every x4 scans so
    TextForm("codec", r"RepCONC\(([^()]+)\)", "RepCONC(folder)", RepCONC),
    Form("refine", r"RFlat|Refine\(Flat\)", "RFlat", Flat),
    Form("refine", r"RSQfp16|Refine\(SQfp16\)", "Refine(SQfp16)", SQfp16),
    Form("refine", r"RSQ8|Refine\(SQ8\)", "Refine(SQ8)", SQ8),
    Form("refine", r"BiDR\(Flat\)", "BiDR(Flat)", lambda: OnDisk(Flat())),
    Form("refine", r"BiDR\(SQfp16\)", "BiDR(SQfp16)", lambda: OnDisk(SQfp16())),
    Form("refine", r"BiDR\(SQ8\)", "BiDR(SQ8)", lambda: OnDisk(SQ8())),
)
STAGES = ("pool", "transform", "partition", "codec", "refine")
GRAMMAR = (
    f"a key reads [pool,][transform,...][partition,]codec[,refine]: {POOL_GRAMMAR}; "
    "transforms OPQm[_d], PCAd, RR[d], L2norm, MRLd; partitions IVFn, BIVFn[(cap=1.5)]; "
    "codecs Flat, Flat(noshadow), SQfp16, SQfp16(shadow), SQ8, SQ4, PQm, PQmx4, PQmx6, "
    "RepCONC(folder); behind Pool(bytes=n) also OPQ and PQ without a number; "
    "refine RFlat, Refine(SQfp16), Refine(SQ8), BiDR(Flat), BiDR(SQfp16), BiDR(SQ8)"
)


def parse_key(key: str) -> IndexSpec:
    """Parse an index key such as "OPQ48,IVF1024,PQ48,RFlat".

    Raises UnknownKeyError naming the nearest known key and the list of forms, UsageError for an impossible
    number.
    """
    if not isinstance(key, str) or not key or len(key) > MAX_KEY_LENGTH:
        raise UnknownKeyError(
            f"an index key is a text of 1 to {MAX_KEY_LENGTH} characters, but got {key!r:.80}; {GRAMMAR}"
        )
    parts: dict[str, list[object]] = {stage: [] for stage in STAGES}
    last = 0
    for token in _split(key):
        stage, spec = _parse_token(token, key)
        rank = STAGES.index(stage)
        if rank < last or (parts[stage] and stage != "transform"):
            raise UnknownKeyError(
                f"index key {key!r}: {token!r} ({stage}) stands in the wrong place; {GRAMMAR}"
            )
        last = rank
        parts[stage].append(spec)
    return _assemble(key, parts)


def _assemble(key: str, parts: dict[str, list[object]]) -> IndexSpec:
    if not parts["codec"]:
        raise UnknownKeyError(
            f"index key {key!r} names no codec; did you mean {with_codec(key, 'Flat')!r}? {GRAMMAR}"
        )
    codec = parts["codec"][0]
    partition = parts["partition"][0] if parts["partition"] else None
    refine = parts["refine"][0] if parts["refine"] else None
    if partition is not None and codec in (Flat(shadow=False), SQfp16(shadow=True)):
        raise UsageError(
            f"index key {key!r}: lists have no shadow, so {str(codec)!r} behind {partition} means nothing; "
            f"write {str(codec).partition('(')[0]!r}"
        )
    transforms = tuple(t for t in parts["transform"] if isinstance(t, TransformSpec))
    pool = parts["pool"][0] if parts["pool"] else None
    if pool is not None:  # a shadow serves the search of single vectors
        codec = {Flat(shadow=False): Flat(), SQfp16(shadow=True): SQfp16()}.get(codec, codec)  # type: ignore[call-overload]
    _check_sizes(key, pool, transforms, codec)
    on_disk = isinstance(refine, OnDisk)
    if on_disk and pool is not None:
        raise UsageError(f"index key {key!r}: BiDR is for documents of one vector; write Refine(...) instead")
    finer = refine.codec if isinstance(refine, OnDisk) else refine
    return IndexSpec(transforms, partition, codec, finer, pool, on_disk)  # type: ignore[arg-type]


def _check_sizes(key: str, pool: object, transforms: tuple[TransformSpec, ...], codec: object) -> None:
    """PQ and OPQ may leave their size to a pool that knows the bytes of a document, and to nothing else."""
    rotations = [transform for transform in transforms if isinstance(transform, OPQ)]
    free = codec == PQ(0)
    if any((rotation.m == 0) != free for rotation in rotations):
        raise UsageError(f"index key {key!r}: write a number behind both OPQ and PQ, or behind neither")
    if free and not (isinstance(pool, Pool) and pool.bytes is not None):
        raise UsageError(
            f"index key {key!r}: PQ without a number is for Pool(bytes=...), which chooses it; write one, as "
            "in PQ48"
        )


def _split(key: str) -> list[str]:
    """Parts between commas that stand outside parentheses."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", key)]


def _parse_token(token: str, key: str) -> tuple[str, object]:
    for form in FORMS:
        spec = form.match(token)
        if spec is not None:
            return form.stage, spec
    raise UnknownKeyError(
        f"unknown index key {key!r}: {token!r} is no known part; did you mean {_nearest_key(key)!r}? "
        f"{GRAMMAR}"
    )


def _nearest_key(key: str) -> str:
    """The key with each unknown part replaced by the nearest known one."""
    tokens = []
    for token in _split(key):
        known = any(re.fullmatch(form.pattern, token) for form in FORMS)
        tokens.append(token if known else _nearest_token(token))
    return ",".join(tokens)


def _nearest_token(token: str) -> str:
    """The example form nearest in letters, with the numbers of `token` where they fit."""
    letters = {re.sub(r"\d+$", "", form.example).lower(): form.example for form in FORMS}
    letters.update({form.example.lower(): form.example for form in FORMS})
    wanted = token.lower()
    for probe in (wanted, re.sub(r"\d+.*$", "", wanted)):
        close = difflib.get_close_matches(probe, letters, n=1, cutoff=0.5)
        if close:
            return _with_numbers(letters[close[0]], token)
    return "Flat"


def _with_numbers(example: str, token: str) -> str:
    """`example` with its trailing number replaced by the first number in `token`."""
    number = re.search(r"[1-9]\d{0,8}", token)
    candidate = re.sub(r"\d+$", number.group(), example) if number else example
    return candidate if any(re.fullmatch(form.pattern, candidate) for form in FORMS) else example


def with_codec(key: str, codec: str) -> str:
    """A key without codec, such as "IVF64,RFlat", with one; the part "RepCONC" by itself stands for it."""
    stages = _split(key)
    if "RepCONC" in stages:
        return ",".join(codec if stage == "RepCONC" else stage for stage in stages)
    is_refine = any(form.stage == "refine" and re.fullmatch(form.pattern, stages[-1]) for form in FORMS)
    stages.insert(len(stages) - is_refine, codec)
    return ",".join(stages)


def _reduced(spec: object, dim: int, wanted: int) -> int:
    if wanted > dim:
        raise UsageError(f"{spec}: cannot keep {wanted} of {dim} dimensions; valid are 1 to {dim}")
    return wanted


def _check_subspaces(spec: object, dim: int, m: int) -> None:
    if m == 0 or dim % m:
        valid = ", ".join(str(n) for n in range(1, dim + 1) if dim % n == 0)
        raise UsageError(f"{spec}: dim {dim} cannot be cut into m={m} equal sub-vectors; valid m: {valid}")
