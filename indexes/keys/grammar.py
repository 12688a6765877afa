"""The grammar of index keys.

    key       := [pool ","] [transform ","]... [partition ","] codec ["," refine]
    pool      := "Pool" n | "Pool(" setting ["," setting]... ")"
    transform := "OPQ" [m ["_" d]] | "PCA" d | "RR" [d] | "L2norm" | "MRL" d
    partition := "IVF" n | "BIVF" n ["(cap=" ratio ")"]
    codec     := "Flat" ["(noshadow)"] | "SQfp16" ["(shadow)"] | "SQ8" | "SQ4" | "PQ" [m ["x" nbits]]
               | "RepCONC(" folder ")"
    refine    := "Refine(" codec ")" | "RFlat" | "RSQ8" | "RSQfp16" | "BiDR(" codec ")"

Keys follow faiss's index_factory where it has the idea, and every key has one canonical spelling,
`str(spec)`. OPQ and PQ without a number are for Pool(bytes=...), which then chooses it (pool.py).

To add a form (a transform, partition or codec): write its frozen dataclass in specs.py with `__str__`,
add one `Form` line to `FORMS`, then register what it does in the table of its stage: `TRANSFORMS`
(transforms.py), `PARTITIONS` (partitions.py) or `CODECS` (codecs.py), and its faiss counterpart in
faiss_bridge.py. Nothing else knows the forms by name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass

from cluscomp.errors import UnknownKeyError, UsageError
from cluscomp.indexes.keys.pool import POOL_GRAMMAR, Pool, parse_pool
from cluscomp.indexes.keys.specs import (
    BIVF,
    DEFAULT_CAP,
    IVF,
    MRL,
    OPQ,
    PCA,
    PQ,
    SQ4,
    SQ8,
    CodecSpec,
    Flat,
    IndexSpec,
    L2Norm,
    LearnedShape,
    OnDisk,
    PartitionSpec,
    RandomRotation,
    RepCONC,
    SQfp16,
    TransformSpec,
)

__all__ = [
    "BIVF", "GRAMMAR", "IVF", "MRL", "OPQ", "PCA", "PQ", "SQ4", "SQ8", "CodecSpec", "Flat", "IndexSpec",
    "L2Norm", "LearnedShape", "PartitionSpec", "RandomRotation", "RepCONC", "SQfp16", "TransformSpec",
    "parse_key", "with_codec",
]  # fmt: skip

MAX_KEY_LENGTH = 4096
PQ_NBITS = (4, 6, 8)


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
            f"index key {key!r}: lists have no prescreen; {str(codec)!r} behind {partition} means nothing; "
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
