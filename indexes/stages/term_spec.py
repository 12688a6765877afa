"""How keys of weighted terms are written.

Sparse                  weights as they come, float32
Sparse(bits=16)         float16
Sparse(bits=8)          whole numbers of 255ths of the largest weight of training
Sparse(bm25,k1=1.5,b=0.75,bits=8)   weights are counts of words, and BM25 makes the weights of them
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

from cluscomp import checks
from cluscomp.errors import CorruptIndexError, UsageError
from cluscomp.indexes.keys.forms import Form
from cluscomp.indexes.keys.specs import CodecSpec, IndexSpec
from cluscomp.vocabulary import EncoderKind

K1, B, BITS = 1.5, 0.75, 32
Spec = TypeVar("Spec", bound="Sparse")


@dataclass(frozen=True)
class Sparse(CodecSpec):
    """Weighted terms in an inverted file, searched exactly.

    bm25: weights are counts, and BM25 with k1 and b weighs them. bits: of a stored weight. sizes: terms of
    training and bytes of their names, which the key does not say.
    """

    bm25: bool = False
    k1: float = K1
    b: float = B
    bits: int = BITS
    sizes: tuple[int, int] = field(default=(0, 0), compare=False, repr=False)

    name: ClassVar[str] = "Sparse"
    kind: ClassVar[str] = "terms"  # type: ignore[misc]
    stands_alone: ClassVar[bool] = True  # type: ignore[misc]

    @property
    def encoder_kinds(self) -> tuple[EncoderKind, ...]:  # type: ignore[override]
        """BM25 weighs words itself; without it, weights are those of a model."""
        return ("words",) if self.bm25 else ("sparse",)

    @property
    def own_encoder(self) -> str | None:  # type: ignore[override]
        """What splits texts into words."""
        return "words" if self.bm25 else None

    def __str__(self) -> str:
        return f"{self.name}({','.join(self.settings)})" if self.settings else self.name

    @property
    def settings(self) -> list[str]:
        """What the key says between its parentheses."""
        settings = ["bm25"] if self.bm25 else []
        if self.bm25:
            settings += [f"k1={self.k1:g}"] if self.k1 != K1 else []
            settings += [f"b={self.b:g}"] if self.b != B else []
        return settings + ([f"bits={self.bits}"] if self.bits != BITS else [])

    def check_metric(self, metric: str) -> None:
        if metric != "ip":
            raise UsageError(f"{self}: terms are compared by inner products, metric 'ip', not by {metric!r}")

    def bind(self, spec: IndexSpec, shapes: Mapping[str, tuple[int, ...]], where: str) -> IndexSpec:
        """The key with the sizes that the files of an index tell of."""
        if not self.bm25:
            return spec
        offsets, names = shapes.get("codec.term_offsets.npy", ()), shapes.get("codec.terms.npy", ())
        if len(offsets) != 1 or len(names) != 1 or offsets[0] < 1:
            raise CorruptIndexError(
                f"{where} does not list codec.terms.npy and codec.term_offsets.npy with their lengths, which "
                f"{self} needs; the index is damaged: restore a copy or rebuild it"
            )
        return replace(spec, codec=replace(self, sizes=(offsets[0] - 1, names[0])))


def parse_sparse(text: str | None) -> Sparse:
    """The spec of the settings between the parentheses, or of none. UsageError for unknown or wrong ones."""
    return parse_settings(Sparse, text, {})


Reader = Callable[[str, str], Any]
"""Makes the value of a setting of its text; the first argument says where it stands, for messages."""


def parse_settings(spec: type[Spec], text: str | None, own: Mapping[str, Reader]) -> Spec:
    """The spec of settings such as "bm25,bits=8". own: those that it has besides. Raises UsageError."""
    given: dict[str, Any] = {}
    readers = {"k1": _positive, "b": _share, "bits": _bits, **own}
    key = f"{spec.name}({text})"
    for part in (text or "").split(",") if text else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name in given:
            raise UsageError(f"{key}: {name!r} stands there twice")
        if name == "bm25" and not equals:
            given[name] = True
        elif name in readers:
            given[name] = readers[name](f"{name} in {key}", value if equals else "")
        else:
            known = ", ".join(["bm25", *(f"{reader}=" for reader in readers)])
            raise UsageError(f"{key}: {name!r} is no setting; known are {known}")
    made = spec(**given)
    if not made.bm25 and ("k1" in given or "b" in given):
        raise UsageError(f"{key}: k1 and b belong to BM25; write {spec.name}(bm25,{text})")
    return made


def read_number(where: str, value: str, high: float | None = None) -> float:
    """A number of at least 0. Raises UsageError."""
    if not re.fullmatch(r"\d*\.?\d+(e-?\d+)?", value):
        raise UsageError(f"{where} must be a number, but is {value!r}")
    return checks.number(where, float(value), low=0, high=high)


def _positive(where: str, value: str) -> float:
    return read_number(where, value)


def _share(where: str, value: str) -> float:
    return read_number(where, value, 1)


def _bits(where: str, value: str) -> int:
    if value not in ("8", "16", "32"):
        raise UsageError(f"{where} must be 8, 16 or 32, but is {value!r}")
    return int(value)


SPARSE_FORM = Form(
    "codec",
    r"Sparse(?:\(([^()]*)\))?",
    "Sparse(bm25)",
    parse_sparse,
    "Sparse(bm25,k1=x,b=x,bits=n)",
    texts=True,
    rerank=False,
    meaning="weighted terms in an inverted file: words by BM25, or learned sparse vectors",
)
