"""The stage "guides": what a pool that is fitted to MaxSim learns from token vectors of some documents.

The documents are drawn at random, so their token vectors are read, or encoded, once more than those of the
others. They lie in a spool until the pool has learned: they need not fit the memory, and a killed build goes
on behind the last whole block.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp.files import flush
from cluscomp.indexes.build.pooled import PooledSpool
from cluscomp.indexes.build.request import Request, Shard
from cluscomp.indexes.build.stage import BuildWork, Facts, Stage
from cluscomp.indexes.build.stages import corpus_of
from cluscomp.indexes.build.token_blocks import document_count, require_tokens, some_tokens, text_store
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.stages.support_pool import guides

_FOLDER = "guides"


def _guides(work: BuildWork, request: Request, shard: Shard) -> Facts:
    """Leave what the pool learns. Facts: from how many documents."""
    source: Any = request.source
    pipeline, corpus = request.new_index().pipeline, corpus_of(work)
    assert pipeline.support is not None
    work.path(_FOLDER).mkdir(exist_ok=True)
    spool = PooledSpool(work.path(_FOLDER), source.dim, "" if corpus is None else corpus.digest)
    chosen = guides(document_count(work, request), pipeline.seed).tolist()
    with text_store(work, request) as store:
        left = chosen[spool.documents :]
        for tokens, ids in some_tokens(source, store, left, work.plan.block_rows):
            require_tokens(pipeline, tokens, ids)
            spool.append(tokens)
            work.progress("guides", spool.documents, len(chosen))
    pipeline.support.learn(spool.mapped(), pipeline.seed, request.directions)
    for name, array in pipeline.support.parameters().items():
        with work.path(_file(name)).open("wb") as file:
            np.lib.format.write_array(file, array, allow_pickle=False)
            flush(file)
    return {"rows": len(chosen)}


def take_over_pool(work: BuildWork, pipeline: Pipeline) -> None:
    """Load what the stage "guides" left, where the pool learns."""
    if pipeline.support is not None:
        names = pipeline.support.parameter_specs
        pipeline.support.load({name: np.load(work.path(_file(name))) for name in names})


def _file(name: str) -> str:
    return f"pool.{name}.npy"


GUIDES = Stage("guides", ("read", "plan"), _guides)
