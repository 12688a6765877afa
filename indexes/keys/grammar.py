"""Reading index keys.

    key       := vectors | terms | vectors "+" terms
    vectors   := [pool ","] [transform ","]... [partition ","] codec ["," refine]
    terms     := codec
    pool      := "Pool" n | "Pool" n "(ward)" | "Pool(" setting ["," setting]... ")"
    refine    := "Refine(" codec ")" | "RFlat" | "RSQ8" | "RSQfp16" | "BiDR(" codec ")"

Transforms, partitions and codecs are those that the stages register (stages/registrations.py): `grammar()`
in forms.py lists them. Keys follow faiss's index_factory where it has the idea, and every key has one
canonical spelling, `str(spec)`.
"""

from __future__ import annotations

import re

from cluscomp.errors import UnknownKeyError, UsageError
from cluscomp.indexes.keys.forms import STAGES, grammar, is_known, match_token, nearest_token
from cluscomp.indexes.keys.hybrid import HybridSpec, parts_of
from cluscomp.indexes.keys.pool import Pool
from cluscomp.indexes.keys.specs import CodecSpec, IndexSpec, OnDisk, PartitionSpec, TransformSpec

MAX_KEY_LENGTH = 4096


def parse_key(key: str) -> IndexSpec:
    """Parse an index key such as "OPQ48,IVF1024,PQ48,RFlat".

    Raises UnknownKeyError naming the nearest known key and the list of forms, UsageError for an impossible
    number.
    """
    if not isinstance(key, str) or not key or len(key) > MAX_KEY_LENGTH:
        raise UnknownKeyError(
            f"an index key is a text of 1 to {MAX_KEY_LENGTH} characters, but got {key!r:.80}; {grammar()}"
        )
    parts = parts_of(key)
    if len(parts) > 2:
        raise UsageError(
            f"index key {key!r} has {len(parts)} parts with + between them; one key of vectors and one of "
            "terms make a hybrid key"
        )
    if len(parts) == 2:
        return HybridSpec.of(*(parse_key(part) for part in parts))
    try:
        return _parsed(key)
    except _UnreadableKey as fault:
        raise UnknownKeyError(f"{fault}{_suggestion(key)}; {grammar()}") from None


class _UnreadableKey(Exception):
    """What is wrong with a key, before a remedy is known."""


def _parsed(key: str) -> IndexSpec:
    parts: dict[str, list[object]] = {stage: [] for stage in STAGES}
    last = 0
    for token in _split(key):
        found = match_token(token)
        if found is None:
            raise _UnreadableKey(f"unknown index key {key!r}: {token!r} is no known part")
        stage, spec = found
        rank = STAGES.index(stage)
        if rank < last or (parts[stage] and stage != "transform"):
            raise _UnreadableKey(f"index key {key!r}: {token!r} ({stage}) stands in the wrong place")
        last = rank
        parts[stage].append(spec)
    return _assemble(key, parts)


def with_codec(key: str, codec: str) -> str:
    """A key without codec, such as "IVF64,RFlat", with one. A part that names the codec without its
    parentheses, such as "RepCONC", stands for it.
    """
    tokens, name = _split(key), codec.partition("(")[0]
    if name != codec and name in tokens:
        return ",".join(codec if token == name else token for token in tokens)
    tokens.insert(len(tokens) - is_known(tokens[-1], "refine"), codec)
    return ",".join(tokens)


def _assemble(key: str, parts: dict[str, list[object]]) -> IndexSpec:
    if not parts["codec"]:
        raise _UnreadableKey(f"index key {key!r} names no codec")
    pool, partition, codec, refine = (_only(parts[stage]) for stage in ("pool", *STAGES[2:]))
    assert isinstance(codec, CodecSpec)
    transforms = tuple(t for t in parts["transform"] if isinstance(t, TransformSpec))
    if codec.stands_alone and len(_split(key)) > 1:
        raise UsageError(
            f"index key {key!r}: {codec} stores no vectors and stands alone; write {str(codec)!r}"
        )
    codec = _in_place(key, codec, pool, partition)
    _check_sizes(key, pool, transforms, codec)
    on_disk = isinstance(refine, OnDisk)
    if on_disk and pool is not None:
        raise UsageError(f"index key {key!r}: BiDR is for documents of one vector; write Refine(...) instead")
    finer = refine.codec if isinstance(refine, OnDisk) else refine
    return IndexSpec(transforms, partition, codec, finer, pool, on_disk)  # type: ignore[arg-type]


def _only(specs: list[object]) -> object | None:
    return specs[0] if specs else None


def _in_place(key: str, codec: CodecSpec, pool: object, partition: object) -> CodecSpec:
    """The codec where it stands: settings of the search without lists mean nothing behind lists or a pool."""
    plain = codec.without_prescreen()
    if isinstance(partition, PartitionSpec) and plain != codec:
        raise UsageError(
            f"index key {key!r}: lists have no prescreen; {str(codec)!r} behind {partition} means nothing; "
            f"write {str(plain)!r}"
        )
    return codec if pool is None else plain


def _check_sizes(key: str, pool: object, transforms: tuple[TransformSpec, ...], codec: CodecSpec) -> None:
    """PQ and OPQ may leave their size to a pool that knows the bytes of a document, and to nothing else."""
    sizes = [transform.size for transform in transforms if transform.size is not None]
    free = codec.size == 0
    if any((size == 0) != free for size in sizes):
        raise UsageError(f"index key {key!r}: write a number behind both OPQ and PQ, or behind neither")
    if free and not (isinstance(pool, Pool) and pool.bytes is not None):
        raise UsageError(
            f"index key {key!r}: PQ without a number is for Pool(bytes=...), which chooses it; write one, as "
            "in PQ48"
        )


def _split(key: str) -> list[str]:
    """Parts between commas that stand outside parentheses."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", key)]


def _suggestion(key: str) -> str:
    """A question for the end of a message, naming a key that can be read; empty where none is near.

    Unknown parts become the nearest known ones or go, parts are put in order, and a codec is added where none
    is left.
    """
    tokens = [token for token in _split(key) if token]
    nearest = [token if is_known(token) else nearest_token(token) for token in tokens]
    known = [token for token in tokens if is_known(token)]
    for parts in (nearest, _ordered(nearest), known, _ordered(known)):
        for candidate in (",".join(parts), with_codec(",".join(parts), "Flat")):
            if _parses(candidate):
                return f"; did you mean {candidate!r}?"
    return ""


def _ordered(tokens: list[str]) -> list[str]:
    """Known parts in the order of a key, each stage but the transforms once."""
    staged = [(STAGES.index(found[0]), token) for token in tokens if (found := match_token(token))]
    once: dict[tuple[int, str], None] = {}
    taken: set[int] = set()
    for rank, token in sorted(staged, key=lambda part: part[0]):
        if rank not in taken or STAGES[rank] == "transform":
            once[rank, token] = None
            taken.add(rank)
    return [token for _, token in once]


def _parses(key: str) -> bool:
    try:
        _parsed(key)
    except (_UnreadableKey, UsageError):
        return False
    return True
