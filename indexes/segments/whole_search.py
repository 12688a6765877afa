"""A search in one call of the kernels: the choice of lists, the scan of their codes, the rerank."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cluscomp import native
from cluscomp.indexes.segments.gathering import lists_stay, stored_lists
from cluscomp.indexes.segments.rerank import finer_parts
from cluscomp.indexes.segments.segment import Segment
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.codec import StoredLists
from cluscomp.indexes.stages.hits import Hits
from cluscomp.indexes.stages.kernel_codec import KernelCodec, damaged
from cluscomp.indexes.stages.pipeline import Pipeline


class Prepared(NamedTuple):
    """What searches of nprobe lists need. kernels: None where a step of the key has none, or where the finer
    codes are read from disk. chooser: None where there is one list.
    """

    lists: StoredLists
    kernels: native.Search | None
    chooser: native.ListChooser | None
    nprobe: int

    def run(self, queries: np.ndarray, projected: np.ndarray, k: int, most: int) -> tuple[Hits, np.ndarray]:
        """Best k of each query, and the lists (nq, nprobe) that were visited.

        queries, projected: as `Pipeline.query_rows` gives them. most: candidates that finer codes score.
        """
        assert self.kernels is not None
        try:
            scores, positions, visited = self.kernels.run(
                queries, projected, k, most, self.chooser, self.nprobe
            )
        except IndexError as exc:
            raise damaged(exc) from exc
        return Hits(scores, positions), visited


def prepared_search(pipeline: Pipeline, together: Together[Segment], n_queries: int, nprobe: int) -> Prepared:
    """What a search of so many queries needs, made once while segments and their groups stay."""
    prepared: Prepared | None = together.found(("search", nprobe))
    if prepared is not None:
        return prepared
    lists = stored_lists(pipeline, together, n_queries, nprobe)
    partition = pipeline.partition
    chooser = None if partition is None else partition.chooser(nprobe)
    kernels = None if chooser is None and partition is not None else _kernels(pipeline, together, lists)
    prepared = Prepared(lists, kernels, chooser, nprobe)
    return together.put(("search", nprobe), prepared) if lists_stay(together) else prepared


def _kernels(pipeline: Pipeline, together: Together[Segment], lists: StoredLists) -> native.Search | None:
    made: native.Search | None = lists.kernels.get("search")
    finer = None if pipeline.refine is None else finer_parts(pipeline, together)
    if made is not None or not isinstance(pipeline.codec, KernelCodec):
        return made
    if finer is None and pipeline.refine is not None:
        return None
    rows = pipeline.codec.listed_parts(lists)
    made = lists.kernels["search"] = native.Search(rows, pipeline.score_metric, lists.skip_bits, finer)
    return made
