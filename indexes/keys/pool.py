"""The part of a key that says how the token vectors of a document become fewer: "Pool16", "Pool(f=4)" ...

    pool    := "Pool" n | "Pool" n "(ward)" | "Pool(" setting ["," setting]... ")"
    setting := "n=" vectors | "f=" factor | "bytes=" code bytes a document | "method=" name
               | "protected=" tokens

Without a method, vectors are fitted to what MaxSim needs of the tokens (cluscomp.multivector.support);
method=ward keeps the means of groups. One of n, f and bytes stands in every pool. `bytes` is replaced by n
when the dim of the vectors is known, by as many vectors as their codes leave room for. Where the key says PQ
or OPQ,...,PQ without a number, the bytes of a code are chosen first (`code_bytes`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import ClassVar

from cluscomp.checks import one_of
from cluscomp.errors import UnknownKeyError, UsageError
from cluscomp.vocabulary import POOL_METHODS, SUPPORT

WARD = "ward"
"""What a pool without a method meant in folders of format 2 and 1."""
POOL_GRAMMAR = "pool Pooln, Pooln(ward), Pool(f=4), Pool(bytes=768), also with method=NAME and protected=n"
_BUDGETS = ("n", "f", "bytes")
_VECTORS = 12  # of a document that has as many code bytes as a vector has dimensions


@dataclass(frozen=True)
class Pool:
    """How many vectors a document keeps, and how they are found (multivector/pooling.py).

    n: at most. f: one for so many tokens, rounded down; Pool(f=1) keeps all of them as they are. bytes: as
    many as have codes of so many bytes together. method: "support", or how vectors are grouped, whose means
    are scaled to length one. protected: first tokens that stay by themselves. kind: of
    the rows of an index with a pool (kinds.py).
    """

    n: int | None = None
    f: float | None = None
    bytes: int | None = None
    method: str = SUPPORT
    protected: int = 0
    kind: ClassVar[str] = "documents"

    def __post_init__(self) -> None:
        given = [name for name in _BUDGETS if getattr(self, name) is not None]
        if len(given) != 1:
            raise UsageError(
                f"a pool needs one of n, f and bytes, but has {' and '.join(given) or 'none'}; write Pool16, "
                "Pool(f=4) or Pool(bytes=768)"
            )
        if self.f is not None and not 1 <= self.f <= 1e6:
            raise UsageError(f"Pool(f={self.f:g}): a factor from 1 to 1000000 is needed")
        one_of("pooling method", self.method, (SUPPORT, *POOL_METHODS))

    def __str__(self) -> str:
        if self.n is not None and self == Pool(n=self.n):
            return f"Pool{self.n}"
        if self.n is not None and self == Pool(n=self.n, method=WARD):
            return f"Pool{self.n}({WARD})"
        settings = [
            f"{name}={getattr(self, name):.12g}" for name in _BUDGETS if getattr(self, name) is not None
        ]
        settings += [f"method={self.method}"] * (self.method != SUPPORT)
        settings += [f"protected={self.protected}"] * (self.protected > 0)
        return f"Pool({','.join(settings)})"

    @property
    def keeps_all(self) -> bool:
        """Whether vectors are stored as they come, neither grouped nor normalised."""
        return self.f == 1

    @property
    def is_fitted(self) -> bool:
        """Whether vectors are fitted to MaxSim, which has to learn; their lengths then count."""
        return self.method == SUPPORT and not self.keeps_all

    def of_old_folders(self) -> Pool:
        """What the pool meant in folders of format 2 and 1, where a method that is not named is Ward's."""
        return replace(self, method=WARD) if self.is_fitted else self

    def fitted(self, code_bytes: int) -> Pool:
        """The pool with `bytes` replaced by the number of vectors whose codes of code_bytes fit."""
        if self.bytes is None:
            return self
        if self.bytes < code_bytes:
            raise UsageError(
                f"{self}: the code of one vector has {code_bytes} bytes; allow at least {code_bytes}, or use "
                "smaller codes"
            )
        return replace(self, n=self.bytes // code_bytes, bytes=None)


def code_bytes(document_bytes: int, dim: int) -> int:
    """Bytes of the product code of one vector, a divisor of dim, where a document may have so many in all.

    The one that leaves room for about 12 sqrt(document_bytes / dim) vectors: of the ways to spend 384, 768,
    1536 and 3072 bytes on SciFact (384 dimensions), 12 vectors of 32 bytes, 16 of 48, 24 of 64 and 32 of 96
    are the best, or within noise of it (docs/notes/multivector.md). Ties: more vectors.
    """
    wanted = _VECTORS * math.sqrt(document_bytes / dim)
    sizes = [m for m in range(1, dim + 1) if dim % m == 0 and m <= document_bytes]
    return min(sizes, key=lambda m: abs(math.log(document_bytes // m / wanted)))


def parse_pool(text: str) -> Pool:
    """The pool of the settings between the parentheses of "Pool(...)".

    Raises UnknownKeyError (a setting that does not exist), UsageError (a number that makes no sense).
    """
    values: dict[str, str] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in (*_BUDGETS, "method", "protected") or not value or name in values:
            raise UnknownKeyError(
                f"Pool({text}): {part.strip()!r} is no setting or stands twice; {POOL_GRAMMAR}"
            )
        values[name] = value
    return Pool(
        n=_whole(values, "n", text),
        f=_factor(values, text),
        bytes=_whole(values, "bytes", text),
        method=values.get("method", SUPPORT),
        protected=_whole(values, "protected", text) or 0,
    )


def _whole(values: dict[str, str], name: str, text: str) -> int | None:
    if name not in values:
        return None
    if not re.fullmatch(r"[1-9]\d{0,8}", values[name]) and (name, values[name]) != ("protected", "0"):
        raise UsageError(f"Pool({text}): {name}={values[name]} is no whole number from 1 to 999999999")
    return int(values[name])


def _factor(values: dict[str, str], text: str) -> float | None:
    if "f" not in values:
        return None
    if not re.fullmatch(r"\d{1,7}(\.\d{1,6})?", values["f"]):
        raise UsageError(f"Pool({text}): f={values['f']} is no factor such as 4 or 2.5")
    return float(values["f"])
