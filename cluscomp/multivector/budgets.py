"""How many vectors a document may keep."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from cluscomp import checks
from cluscomp.clustering.ward import Merges
from cluscomp.errors import InfeasibleError, UsageError


@dataclass(frozen=True)
class Budget:
    """Exactly one of these.

    factor: >= 1; a document keeps floor(n / factor) of its n unprotected vectors, at least 1. max_vectors:
    kept by a document at most, protected ones included. height: Ward distance up to which vectors are merged.
    total_vectors: kept by all documents together; they are spent where merging would lose most.
    """

    factor: float | None = None
    max_vectors: int | None = None
    height: float | None = None
    total_vectors: int | None = None

    def __post_init__(self) -> None:
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        if len(given) != 1:
            named = " and ".join(given) or "none"
            raise UsageError(
                f"one budget is needed, but {named} given; pass one of factor, max_vectors, height, "
                "total_vectors, total_bytes"
            )
        name, value = next(iter(given.items()))
        if name.endswith("vectors"):
            checks.integer(name, value, 1)
        else:
            checks.number(name, value, low=0 if name == "height" else 1)

    @property
    def needs_merges(self) -> bool:
        """Whether the counts depend on the heights of merges."""
        return self.height is not None or self.total_vectors is not None

    def counts(self, sizes: np.ndarray, protected: np.ndarray, merges: Merges | None) -> np.ndarray:
        """Clusters (n_docs,) int64 into which the unprotected vectors of each document may be grouped.

        sizes, protected: (n_docs,) unprotected and protected vectors. merges: of the unprotected ones, where
        `needs_merges`. Raises UsageError, InfeasibleError (the total is below one vector a document).
        """
        if self.factor is not None:
            wanted = np.floor(sizes / self.factor).astype(np.int64)
        elif self.max_vectors is not None:
            self._check_room(protected)
            wanted = int(self.max_vectors) - protected
        elif merges is None:
            raise UsageError("a budget by height or in total needs the merges of Ward's method")
        elif self.height is not None:
            wanted = sizes - _count_per_run(merges.heights <= self.height, merges)
        else:
            wanted = self._share_total(sizes, protected, merges)
        return np.minimum(np.maximum(wanted, 1), sizes)

    def _check_room(self, protected: np.ndarray) -> None:
        most = int(protected.max(initial=0))
        if self.max_vectors is not None and most >= self.max_vectors:
            raise UsageError(
                f"max_vectors is {self.max_vectors}, but {most} protected vectors leave no room for another; "
                f"raise max_vectors to {most + 1} or lower protected"
            )

    def _share_total(self, sizes: np.ndarray, protected: np.ndarray, merges: Merges) -> np.ndarray:
        """The merges that lose least over all documents are made; heights ascend within each document."""
        total = int(self.total_vectors or 0)
        least = int(protected.sum() + (sizes > 0).sum())
        if total < least:
            raise InfeasibleError(
                f"total_vectors is {total}, but every document keeps its protected vectors and one more, "
                f"{least} in all; raise the budget or pool fewer documents"
            )
        surplus = int(protected.sum() + sizes.sum()) - total
        if surplus <= 0:
            return sizes
        last = np.partition(merges.heights, surplus - 1)[surplus - 1]
        return sizes - _count_per_run(_lowest(merges.heights, surplus, float(last)), merges)


def _lowest(heights: np.ndarray, n: int, last: float) -> np.ndarray:
    """Mask of the n smallest heights, of which `last` is the largest; equal ones in order."""
    chosen: np.ndarray = heights < last
    ties = np.flatnonzero(heights == last)
    chosen[ties[: n - int(chosen.sum())]] = True
    return chosen


def _count_per_run(mask: np.ndarray, merges: Merges) -> np.ndarray:
    """How many rows of each run the mask (N,) holds."""
    before = np.zeros(mask.shape[0] + 1, dtype=np.int64)
    np.cumsum(mask, out=before[1:])
    counts: np.ndarray = before[merges.stops] - before[merges.starts]
    return counts
