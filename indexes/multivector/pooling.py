"""The pool of a key at work: token vectors of documents become the vectors that are stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.array_forms import form_of
from cluscomp.arrays import as_rows
from cluscomp.errors import UsageError
from cluscomp.indexes.keys.pool import Pool, code_bytes
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.stages.registry import make_codec
from cluscomp.indexes.stages.support_pool import drawn_directions, guides
from cluscomp.inputs.embeddings import open_embeddings
from cluscomp.multivector import Ragged, as_ragged, pool_tokens
from cluscomp.progress import Progress


def pool_of(spec: IndexSpec) -> Pool:
    """The pool that a key of documents begins with; UsageError for keys of single vectors."""
    if spec.pool is None:
        raise UsageError(f"index key {str(spec)!r} names no pool; write one in front, as in 'Pool16,{spec}'")
    return spec.pool


def fitted_spec(spec: IndexSpec, dim: int) -> IndexSpec:
    """The key with what a pool by bytes chooses: how many vectors there is room for, and before that the size
    of product codes where OPQ and PQ leave it open.
    """
    pool = spec.pool
    if pool is None or pool.bytes is None:
        return spec
    if spec.codec.size == 0:
        spec = _sized_spec(spec, pool.bytes, dim)
    codec = make_codec(spec.codec, spec.stage_dims(dim)[-1])
    return replace(spec, pool=pool.fitted(codec.row_bytes))


def _sized_spec(spec: IndexSpec, document_bytes: int, dim: int) -> IndexSpec:
    for transform in spec.transforms:
        if transform.size != 0:
            dim = transform.output_dim(dim)
    m = code_bytes(document_bytes, dim)
    transforms = tuple(transform.with_size(m) for transform in spec.transforms)
    return replace(spec, transforms=transforms, codec=spec.codec.with_size(m))


def pooled(pipeline: Pipeline, documents: Ragged, progress: Progress | None = None) -> Ragged:
    """The vectors that the documents keep: fitted ones, unit means of groups, or all of them where f is 1."""
    pool = pool_of(pipeline.spec)
    if pipeline.support is not None:
        return pipeline.support.pooled(documents, progress)
    if pool.keeps_all:
        return documents
    vectors, lengths = pool_tokens(
        form_of(documents.rows),
        documents.lengths,
        factor=pool.f,
        max_vectors=pool.n,
        method=pool.method,
        protected=pool.protected,
        seed=pipeline.seed % 2**32,
        progress=progress,
    )
    return as_ragged(vectors, lengths, check_finite=False)


def learn_pool(pipeline: Pipeline, documents: Ragged, directions: np.ndarray | None = None) -> None:
    """Let a pool that learns do so from some of the documents, drawn at random. directions: of queries."""
    if pipeline.support is not None:
        few = documents.take(guides(len(documents), pipeline.seed))
        pipeline.support.learn(few, pipeline.seed, directions)


def query_directions(pool_sample: Any, spec: IndexSpec, dim: int, seed: int) -> np.ndarray | None:
    """What a pool learns from vectors of queries (n, d), an array or a path; None of None.

    Raises UsageError where the key has no pool that is fitted, and what the array gate and files raise.
    """
    if pool_sample is None:
        return None
    if spec.fitted_pool is None:
        raise UsageError(f"pool_sample is for pools that are fitted, such as Pool16, but the key is {spec}")
    if isinstance(pool_sample, (str, Path)):
        source = open_embeddings(pool_sample)
        pool_sample = source.read(0, source.n)
    return drawn_directions(as_rows(pool_sample, name="pool_sample", dim=dim), seed)
