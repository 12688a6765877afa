"""The index libraries by name."""

from __future__ import annotations

from collections.abc import Callable

from cluscomp.checks import one_of
from cluscomp.eval.compare.adapter import Adapter
from cluscomp.eval.compare.adapters import Faiss, Hnswlib, Scann, Usearch
from cluscomp.eval.compare.config import KeySpec
from cluscomp.eval.compare.late_adapters import FastPlaid, PyLate
from cluscomp.eval.compare.ours import Ours

LIBRARIES: dict[str, Callable[[str], Adapter]] = {
    "cluscomp": Ours,
    "faiss": Faiss,
    "scann": Scann,
    "hnswlib": Hnswlib,
    "usearch": Usearch,
    "fastplaid": FastPlaid,
    "pylate": PyLate,
}


def adapter(spec: KeySpec) -> Adapter:
    """The adapter of a key. Raises UnknownKeyError, UsageError."""
    return LIBRARIES[one_of(f"key '{spec.library}:{spec.key}': library", spec.library, LIBRARIES)](spec.key)
