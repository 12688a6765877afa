"""What a run of the benchmarks is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluscomp.baselines import installed, library
from cluscomp.checks import one_of

KNOWN = ("faiss", "torch", "scann", "hnswlib", "pot", "scipy", "numpy", "pyseismic")
"""Libraries that a case may have a counterpart in."""

# torch has no index and no quantizer; it stands for plain matrix products, and only where asked for.
USUAL = ("faiss", "scann", "hnswlib", "pyseismic")


def choose(names: str | None) -> tuple[str, ...]:
    """Libraries of a comma-separated list; None = the usual ones that are installed.

    Raises UnknownKeyError, OptionalDependencyError for one that is not installed.
    """
    if names is None:
        return tuple(name for name in USUAL if name in installed())
    wanted = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    for name in wanted:
        library(one_of("library", name, KNOWN))
    return wanted


def absent(names: str | None) -> tuple[str, ...]:
    """Usual libraries that take no part, where nobody chose any, because they are not installed."""
    return tuple(name for name in USUAL if name not in installed()) if names is None else ()


@dataclass(frozen=True)
class Settings:
    """Settings of one run.

    baselines: libraries out of KNOWN, installed. threads: of every contender; None = all that the native
    core uses (scan: 1). repeat: rounds; None = 5, quick 2. quick: small shapes that prove the harness, not
    the speed. n: rows of each case instead of its own number. seed: of data, starts and training.
    data: folder of text collections for real token vectors; None looks where data.py says. embeddings:
    file of vectors of 384 dimensions that take the place of these. only: run the cases whose name contains
    this text. code_bytes: of a vector, for searches in codes alone (scan). absent: libraries that the report
    says are not installed.
    """

    baselines: tuple[str, ...] = ()
    threads: int | None = None
    repeat: int | None = None
    quick: bool = False
    n: int | None = None
    seed: int = 0
    data: Path | None = None
    embeddings: Path | None = None
    only: str = ""
    code_bytes: int | None = None
    absent: tuple[str, ...] = ()

    def rows(self, full: int, quick: int) -> int:
        """Rows of a case: as asked for, else `quick` or `full`."""
        return self.n or self.pick(full, quick)

    def pick(self, full: int, quick: int) -> int:
        """One of two sizes that --n does not change."""
        return quick if self.quick else full

    @property
    def rounds(self) -> int:
        """Least number of timed rounds."""
        return self.repeat or self.pick(5, 2)
