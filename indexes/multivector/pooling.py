"""The pool of a key at work: token vectors of documents become the vectors that are stored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cluscomp.clustering.blocks import Progress
from cluscomp.indexes.codecs import make_codec
from cluscomp.indexes.key import IndexSpec
from cluscomp.indexes.pool_key import Pool
from cluscomp.multivector import Ragged, as_ragged, pool_tokens


def fitted_spec(spec: IndexSpec, dim: int) -> IndexSpec:
    """The key with the number of vectors that a pool by bytes leaves room for."""
    if spec.pool is None or spec.pool.bytes is None:
        return spec
    codec = make_codec(spec.codec, spec.stage_dims(dim)[-1])
    width = codec.code_width * np.dtype(codec.code_dtype).itemsize
    return replace(spec, pool=spec.pool.fitted(width))


def pooled(pool: Pool, documents: Ragged, seed: int, progress: Progress | None = None) -> Ragged:
    """The vectors that the documents keep: unit means of groups, or all of them where f is 1.

    pool: with `bytes` already replaced (`Pool.fitted`).
    """
    if pool.keeps_all:
        return documents
    vectors, lengths = pool_tokens(
        documents.rows,
        documents.lengths,
        factor=pool.f,
        max_vectors=pool.n,
        method=pool.method,
        protected=pool.protected,
        seed=seed % 2**32,
        progress=progress,
    )
    return as_ragged(vectors, lengths, check_finite=False)
