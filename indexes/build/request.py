"""What a caller asks of a build, and the part of its rows that one run of the stages handles."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.build.described import NO_ATTRIBUTES, BuildAttributes
from cluscomp.indexes.build.source import Source
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.storage.names import trained_mark


@dataclass(frozen=True)
class Kept:
    """What an index that is made anew keeps beside its rows. next_id: number from which rows without ids are
    numbered on. write_texts: makes the file of titles and texts at a path, None where there are none.
    """

    next_id: int
    write_texts: Callable[[Path], object] | None = None


@dataclass(frozen=True)
class Request:
    """What a caller asked for; all but max_memory and cache decides the bits of the index.

    directions: of queries, that the pool of the key is fitted to (multivector/pooling.py: query_directions).
    kept: where the source is another index, whose state its identity tells. into: the trained index that the
    rows are added to, None where a new one is built.
    """

    spec: IndexSpec
    metric: str
    seed: int
    max_train_rows: int | None
    store_texts: bool
    max_memory: int | None
    source: Source
    cache: bool = True
    kept: Kept | None = None
    described: BuildAttributes = NO_ATTRIBUTES
    into: StoredIndex[Any] | None = None
    directions: np.ndarray | None = None

    def identity(self) -> dict[str, Any]:
        """JSON value that two builds share exactly when they make the same index."""
        return {
            "index_key": str(self.spec),
            "metric": self.metric,
            "seed": self.seed,
            "max_train_rows": self.max_train_rows,
            "store_texts": self.store_texts,
            "source": self.source.identity,
            "encoder": self.source.info,
            **self.described.identity(),
            **({} if self.directions is None else {"pool_sample": _digest(self.directions)}),
            **({} if self.into is None else {"into": trained_mark(self.into.pipeline)}),
        }

    def new_index(self) -> StoredIndex[Any]:
        """The index without rows and training, or the one that rows are added to; UsageError where the key
        does not fit the source.
        """
        if self.into is not None:
            return self.into
        kind = kind_of(self.spec)
        index: StoredIndex[Any] = kind.index(
            self.spec, 1 if kind.terms else self.source.dim, self.metric, seed=self.seed
        )
        return index


def _digest(rows: np.ndarray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(rows).tobytes(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Shard:
    """Part `number` of `of` equal parts of the rows, in their order. A shard is built in a work folder of its
    own.
    """

    number: int = 0
    of: int = 1

    def part(self, n: int) -> slice:
        """Those of n rows that belong to the shard."""
        return slice(n * self.number // self.of, n * (self.number + 1) // self.of)


WHOLE = Shard()
