"""The index libraries by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from cluscomp.errors import UsageError
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
    """The contender of a key. Raises UsageError, UnknownKeyError."""
    if spec.library not in LIBRARIES:
        close = difflib.get_close_matches(spec.library, LIBRARIES, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UsageError(
            f"key '{spec.library}:{spec.key}': the library {spec.library!r} is unknown; {hint}known are "
            f"{', '.join(LIBRARIES)}"
        )
    return LIBRARIES[spec.library](spec.key)
