"""What a search without a condition reads, from the lists that it visited."""

from __future__ import annotations

import numpy as np

from cluscomp.indexes.filters.info import SearchInfo
from cluscomp.indexes.segments.passing import live_in_lists
from cluscomp.indexes.segments.segment import Segment
from cluscomp.indexes.segments.together import Together


def visited_info(
    together: Together[Segment], nlist: int, lists: np.ndarray | None, n_queries: int
) -> SearchInfo:
    """Facts of a search that all rows pass; those of `search_passing` with a condition that all rows pass.

    Args:
        together: the segments searched; at least one row is not deleted.
        nlist: number of lists.
        lists: (nq, nprobe) lists visited; None where there are no lists.
        n_queries: number of queries.

    Returns:
        Facts of each query. Lists without a row are not counted as visited.
    """
    n_live = together.n_live
    if lists is None:
        filled, probed = 1, np.ones(n_queries, dtype=np.int64)
        scored = np.full(n_queries, n_live)
    else:
        sizes = live_in_lists(together, nlist)
        filled, counts = int(np.count_nonzero(sizes)), sizes[lists]
        probed, scored = np.count_nonzero(counts, axis=1), counts.sum(axis=1)
    complete = scored == n_live
    return SearchInfo(
        allowed=np.full(n_queries, n_live),
        selectivity=np.ones(n_queries),
        path=np.where(complete, "direct", "lists").astype(object),
        probed=np.where(complete, filled, probed),
        rows_scored=scored,
        complete=complete,
    )
