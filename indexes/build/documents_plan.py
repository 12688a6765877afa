"""The plan of a build of documents: what each stage holds in memory, leaves on disk and takes in time.

Memory is the process as it is, plus the arrays that a stage holds at once; time is that of a few documents of
the corpus, encoded and pooled when the plan is made.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from cluscomp.indexes.build.costs import StageCost
from cluscomp.indexes.build.memory import available_bytes, resident_bytes
from cluscomp.indexes.build.plan import (
    DEFAULT_SHARE,
    SLACK_BYTES,
    SLACK_SHARE,
    BuildPlan,
    pipeline_rates,
)
from cluscomp.indexes.build.source import TextInput
from cluscomp.indexes.build.texts import text_costs
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.multivector.pooling import fitted_spec, pooled
from cluscomp.indexes.multivector.segment import document_arrays
from cluscomp.indexes.stages.pipeline import BLOCK_ROWS, Pipeline, training_rows
from cluscomp.indexes.stages.pipeline_cost import pipeline_cost
from cluscomp.indexes.storage.parts import part_bytes, trained_bytes
from cluscomp.indexes.storage.texts import CorpusFacts, scan_documents
from cluscomp.multivector import Ragged, as_ragged

BLOCK_VECTORS = 65_536
"""Token vectors of one block: 100 MB of 384 dimensions."""
BLOCK_TEXTS = 256


def document_plan(request: Any, source: Any, facts: CorpusFacts | None, *, timed: bool) -> BuildPlan:
    """What a build needs. source: TextInput, with `facts` of its corpus if known, or RaggedInput.

    timed: measure encoding and pooling on a few documents, else they count as 0 seconds.
    """
    is_text = isinstance(source, TextInput)
    if is_text and facts is None:
        facts = scan_documents(source.documents())
    dim = source.encoder.info.dim if is_text else source.vectors.dim
    spec = fitted_spec(request.spec, dim)
    baseline = resident_bytes()
    sample, seconds = _sample(source, facts)
    n = facts.n if facts is not None else source.n
    kept, pooling = _pooled_share(spec, sample)
    n_vectors = max(n, round(n * kept))
    pipeline = Pipeline(spec, dim, request.metric, 0)
    train_rows = min(n_vectors, request.train_rows or training_rows(spec)) if pipeline.needs_training else 0
    id_bytes = 0.0 if facts is None else facts.id_bytes / n + 8
    index_bytes = sum(part_bytes(document_arrays(pipeline, n, n_vectors), n, id_bytes=id_bytes).values())
    index_bytes += sum(trained_bytes(pipeline).values())
    cost, rates = pipeline_cost(pipeline, train_rows, 4), pipeline_rates(pipeline)
    block = BLOCK_ROWS * cost.add_row_bytes + cost.add_bytes + 4 * dim * BLOCK_VECTORS
    stages = [
        StageCost("pool", n, _pool_memory(source, facts, dim), 4 * dim * n_vectors + 8 * n,
                  (seconds + pooling) * n if timed else 0.0),
        StageCost("train", train_rows, cost.train_bytes, 0, rates.seconds(cost.train)),
        StageCost("add", n_vectors, block, index_bytes, rates.seconds(cost.add * n_vectors)),
    ]  # fmt: skip
    if facts is not None:
        stages.insert(0, StageCost("read", n, 2 * facts.longest + 1_000_000, facts.characters, 0.0))
    return BuildPlan(
        index_key=str(spec),
        metric=request.metric,
        n=n,
        dim=dim,
        source_dtype="text" if is_text else str(source.vectors.dtype),
        train_rows=train_rows,
        block_rows=BLOCK_TEXTS if is_text else BLOCK_VECTORS,
        group_bytes=0,
        max_memory=request.max_memory or baseline + int(DEFAULT_SHARE * available_bytes()),
        baseline_bytes=baseline,
        stages=tuple(_with_slack(stage) for stage in stages),
        index_bytes=index_bytes,
        code_bytes_per_document=round(n_vectors / n * pipeline.codec.row_bytes),
    )


def _with_slack(stage: StageCost) -> StageCost:
    memory = int(stage.memory_bytes * (1 + SLACK_SHARE)) + SLACK_BYTES
    return StageCost(stage.name, stage.rows, memory, stage.disk_bytes, stage.seconds)


def _sample(source: Any, facts: CorpusFacts | None) -> tuple[Ragged, float]:
    """Token vectors of a few documents, and the seconds that encoding one of them takes."""
    if facts is None:
        stop = int(np.searchsorted(source.offsets, 4096, side="right")) - 1
        stop = min(max(1, stop), source.n)
        offsets = source.offsets[: stop + 1]
        rows = np.nan_to_num(
            source.vectors.read(0, int(offsets[-1]))
        )  # what is no number is found when pooled
        return Ragged(rows, offsets), 0.0
    texts = list(facts.sample)
    source.encoder.encode_documents(texts[:2])
    start = time.perf_counter()
    tokens = as_ragged(*source.encoder.encode_documents(texts))
    return tokens, (time.perf_counter() - start) / len(texts)


def _pooled_share(spec: IndexSpec, sample: Ragged) -> tuple[float, float]:
    """Vectors that a document keeps, and seconds of pooling one, both means of the sample."""
    assert spec.pool is not None
    start = time.perf_counter()
    kept = pooled(spec.pool, sample, 0)
    return kept.rows.shape[0] / len(sample), (time.perf_counter() - start) / len(sample)


def _pool_memory(source: Any, facts: CorpusFacts | None, dim: int) -> int:
    """Token vectors of a block as the encoder leaves them and as one matrix, and what Ward's method holds."""
    if facts is None:
        longest = int(np.diff(source.offsets).max(initial=1))
        return 3 * max(BLOCK_VECTORS, longest) * dim * 4
    tokens = BLOCK_TEXTS * (source.encoder.info.max_seq_length or 512)
    return 3 * tokens * dim * 4 + text_costs(facts, source.encoder, False, timed=False).encode_bytes
