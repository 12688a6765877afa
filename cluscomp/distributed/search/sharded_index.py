"""open: an index whose segments are searched by several processes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.distributed.arguments import require_shared
from cluscomp.distributed.search.documents import ShardedDocuments
from cluscomp.distributed.search.groups import Group, LocalGroup, ShardPart, asking, parts_of
from cluscomp.distributed.search.terms import ShardedTerms
from cluscomp.distributed.search.vectors import ShardedVectors
from cluscomp.errors import IncompleteResultsWarning, UsageError
from cluscomp.indexes.filters.info import SearchInfo
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.storage.opening import open_folder
from cluscomp.indexes.storage.places import place_of
from cluscomp.vocabulary import ENGINES, PARTIAL, EngineName, Partial

DRIVERS: dict[str, Any] = {"vectors": ShardedVectors, "documents": ShardedDocuments, "terms": ShardedTerms}
"""What searches an index of a kind over shards."""


def open(
    path: str | os.PathLike[str],
    *,
    engine: EngineName = "local",
    shards: int | None = None,
    address: str | None = None,
) -> ShardedIndex:
    """Open an index for searches over shards, each of which has some of its segments.

    An index that was built with `shards=` has a segment for each; any index of several segments will do.

    Args:
        path: the folder, which all processes see, or an address of an object store.
        engine: "local", shards in this process, asked one after the other; or "ray", actors of a cluster.
        shards: how many, at most one a segment. None: one a segment, and with "ray" at most one a processor.
        address: of a running Ray cluster, as for `build`.

    Returns:
        A `ShardedIndex`; close it, or use it in a `with` block.

    Raises:
        UsageError: the key has no search over shards (Seismic, keys of two parts), or there is no cluster.
        IndexMissingError, CorruptIndexError, NewerFormatError, ForeignFileError: as `open_index`.
        OptionalDependencyError: engine "ray" without the package ray.
    """
    checks.one_of("engine", engine, ENGINES)
    if shards is not None:
        checks.integer("shards", shards, 1)
    if engine == "ray":
        require_shared(path)
    place = place_of(path)
    opened = open_folder(place, verify=False)
    spec = opened.pipeline.spec
    driver = DRIVERS.get(kind_of(spec).name)
    if driver is None:
        raise UsageError(
            f"the key {str(spec)!r} has no search over shards: searches that leave out blocks by what they "
            "have found, and those that fuse two sides, run in one process; use open_index"
        )
    index = driver.from_folder(opened)
    rows = [segment.n_rows for segment in index.segments]
    generation = opened.manifest.generation or None
    if engine == "local":
        parts = parts_of(rows, shards or len(rows))
        return ShardedIndex(index, LocalGroup(str(place), generation, parts))
    from cluscomp.distributed.ray_cluster import RayCluster
    from cluscomp.distributed.search.ray_group import RayGroup

    cluster = RayCluster(address).__enter__()
    try:
        parts = parts_of(rows, shards or cluster.cpus()[1])
        return ShardedIndex(index, RayGroup(cluster, str(place), generation, parts))
    except BaseException:
        cluster.__exit__(None, None, None)
        raise


class ShardedIndex:
    """An index that is searched by shards; `cluscomp.distributed.open` makes one.

    Hits, scores and their order are those of `open_index(path).search`, bit for bit. Threads may search at
    the same time. Changes of the folder are not seen: open it again.

    Args:
        index: the driver of the searches.
        group: the shards.
    """

    def __init__(self, index: Any, group: Group) -> None:
        self._index, self._group = index, group

    def __enter__(self) -> ShardedIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._index)

    def __repr__(self) -> str:
        return f"ShardedIndex({self.key!r}, rows={len(self)}, shards={len(self.shards)})"

    @property
    def key(self) -> str:
        """Canonical key of the index."""
        return str(self._index.key)

    @property
    def dim(self) -> int:
        """Dimension of rows and queries."""
        return int(self._index.dim)

    @property
    def metric(self) -> str:
        """How rows are compared: "ip", "l2" or "cosine"."""
        return str(self._index.metric)

    @property
    def generation(self) -> int:
        """The state of the folder that is searched."""
        return int(self._index.generation)

    @property
    def shards(self) -> Sequence[ShardPart]:
        """Which segments each shard has."""
        return tuple(self._group.parts)

    def search(
        self, queries: Any, k: int, *, partial: Partial = "fail", return_info: bool = False, **options: Any
    ) -> tuple[np.ndarray, np.ndarray] | tuple[np.ndarray, np.ndarray, SearchInfo]:
        """Find the k best rows for each query.

        Args:
            queries: as the `search` of the index takes them.
            k: hits a query.
            partial: where a shard does not answer: "fail", or "allow", which returns what the others found,
                with a warning.
            return_info: also return a `SearchInfo`, whose `missing_shards` are those that did not answer.
            options: as the `search` of the index takes them; filters are conditions or ids.

        Returns:
            Scores and ids, as the `search` of the index returns them.

        Raises:
            ShardUnavailableError: a shard does not answer; the message names it.
            UsageError: an option that searches over shards do not have (a Mask, candidates_by="fde").
            DimensionError, DTypeError, NonFiniteError, TooLargeError: the queries are wrong.
        """
        checks.one_of("partial", partial, PARTIAL)
        if not self._group.parts or not self._group.is_open:
            raise UsageError("this index is closed or has no rows; open it again")
        with asking(self._group, partial=partial == "allow") as asked:
            found = self._index.search(queries, k, return_info=return_info, **options)
        missing = tuple(sorted(asked.missing))
        if not missing:
            return found
        warnings.warn(
            f"shards {list(missing)} of {len(self.shards)} did not answer; hits are those of the others",
            IncompleteResultsWarning,
            stacklevel=2,
        )
        if not return_info:
            return found
        scores, ids, info = found
        nothing = np.zeros_like(info.complete)
        return scores, ids, replace(info, complete=nothing, missing_shards=missing)

    def close(self) -> None:
        """End the processes of the shards; may be called twice."""
        with suppress(OSError):
            self._group.close()
