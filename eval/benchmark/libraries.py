"""The index libraries by name."""

from __future__ import annotations

from collections.abc import Callable

from cluscomp.checks import one_of
from cluscomp.eval.benchmark.config import KeySpec
from cluscomp.eval.benchmark.contender import Contender
from cluscomp.eval.benchmark.late_rivals import FastPlaid, PyLate
from cluscomp.eval.benchmark.ours import Ours
from cluscomp.eval.benchmark.rivals import Faiss, Hnswlib, Scann, Usearch

LIBRARIES: dict[str, Callable[[str], Contender]] = {
    "cluscomp": Ours,
    "faiss": Faiss,
    "scann": Scann,
    "hnswlib": Hnswlib,
    "usearch": Usearch,
    "fastplaid": FastPlaid,
    "pylate": PyLate,
}


def contender(spec: KeySpec) -> Contender:
    """The contender of a key. Raises UnknownKeyError, UsageError."""
    return LIBRARIES[one_of(f"key '{spec.library}:{spec.key}': library", spec.library, LIBRARIES)](spec.key)
