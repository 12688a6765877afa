"""Product codes for documents of several vectors, trained for MaxSim while the encoder stays frozen.

    1  token vectors are pooled, as the pool of an index key does
    2  OPQ of the pooled vectors
    3  codes frozen: centroids learn to rank by MaxSim over decoded vectors as MaxSim over all tokens does,
       and a query adapter learns from the positives

Sources as for train.py; Khattab and Zaharia, "ColBERT" (SIGIR 2020) for MaxSim.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.arrays import normalize_rows, to_float32
from cluscomp.errors import DimensionError, EmptyInputError, InputError, UnknownKeyError, UsageError
from cluscomp.multivector import Ragged, as_ragged
from cluscomp.progress import Progress, as_stage
from cluscomp.quantization.codebooks import check_enough_rows, check_split
from cluscomp.quantization.learned import LearnedCodec
from cluscomp.quantization.rotation import train_opq
from cluscomp.training.frozen.data import checked_positives
from cluscomp.training.frozen.late_lessons import LateLessons, make_late_pairs, token_runs
from cluscomp.training.frozen.late_model import LateScorer
from cluscomp.training.frozen.loop import FrozenSettings, initial, learn
from cluscomp.training.frozen.train import METRICS, OPQ_ITERATIONS, FrozenReport, finished_codec

DEFAULT_POOL = "Pool16"


@dataclass(frozen=True)
class LateSettings(FrozenSettings):
    """`FrozenSettings` for documents of several vectors. Both query_share and held_out must be 0."""

    query_share: float = 0.0
    epochs: int = 8
    n_nearest: int = 100
    n_pseudo: int = 512

    def check(self) -> None:
        super().check()
        for name in ("held_out", "query_share"):
            if getattr(self, name):
                raise UsageError(
                    f"{name} must be 0 for documents of several vectors, but is {getattr(self, name)}"
                )


def train_frozen_late(
    x: Any,
    lengths: Any,
    m: int,
    *,
    pool: str = DEFAULT_POOL,
    nbits: int = 8,
    queries: Any = None,
    query_lengths: Any = None,
    positives: Sequence[Any] | None = None,
    metric: str = "ip",
    settings: LateSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[LearnedCodec, FrozenReport]:
    """Learn rotation, centroids and query adapter for the pooled vectors of documents.

    x, lengths: token vectors of the documents, ragged, as `pool_tokens` takes them. m, nbits: codes a vector
    and bits a code. pool: that of the index key, such as "Pool16" or "Pool12(ward)". queries, query_lengths:
    ragged, or None: then runs of the documents' tokens stand for them and there is no adapter. positives: for
    each query the numbers of the documents that answer it, or None. seed: also of what the pool learns, as in
    an index of this seed. Vectors are held in memory as they are given. progress(stage, done, total).

    Returns the codec and a report. Raises UsageError, DimensionError, TooFewRowsError, EmptyInputError,
    InputError (a document or query without vectors) and the errors of the array gate.
    """
    start = time.monotonic()
    settings = settings or LateSettings()
    tokens, asked, answers = _checked(x, lengths, queries, query_lengths, positives, metric, settings)
    check_split(tokens.dim, m, nbits)
    kept, unit = _pooled(tokens, pool, metric, seed, progress)
    check_enough_rows(kept.rows.shape[0], nbits)
    rng = np.random.default_rng((seed, 0xF1))
    runs, own = token_runs(tokens, settings.n_pseudo, rng)
    rotation, centroids = train_opq(kept.rows, m, nbits, n_iter=OPQ_ITERATIONS, seed=seed, progress=progress)
    first = LearnedCodec(rotation.matrix, centroids, metric=metric)
    codes, matrix = first.encode(kept.rows), rotation.matrix
    scorer = LateScorer(matrix, codes, kept.offsets, m, nbits, unit=unit)
    pseudo = make_late_pairs(tokens, kept, runs, None, settings, own)
    real = None if asked is None else make_late_pairs(tokens, kept, asked, answers, settings)
    lessons = LateLessons(scorer, pseudo, real, settings)
    learned, epochs, last = learn(lessons, initial(first), settings, rng, progress)
    report = FrozenReport(
        n_documents=len(tokens),
        n_queries=0 if asked is None else len(asked),
        n_positives=0 if answers is None else sum(len(rows) for rows in answers),
        n_held_out=0,
        temperature=float((pseudo if real is None else real).temperature.mean()),
        epochs=epochs,
        kept=last,
        seconds=time.monotonic() - start,
    )
    codec = finished_codec(
        first, learned, np.eye(tokens.dim), asked is not None, settings, seed, report, {"pool": pool}
    )
    return codec, report


def _pooled(
    tokens: Ragged, pool: str, metric: str, seed: int, progress: Progress | None
) -> tuple[Ragged, bool]:
    """What an index with this pool stores, and whether it scales decoded vectors to length one.

    UsageError for a text that is no pool.
    """
    from cluscomp.indexes.factory import index_factory
    from cluscomp.indexes.multivector.index import MultiVectorIndex
    from cluscomp.indexes.multivector.pooling import learn_pool

    fault = f"{pool!r} is no pool; write one such as Pool16, Pool(f=4) or Pool16(ward)"
    try:
        index = index_factory(f"{pool},SQfp16", tokens.dim, metric, seed=seed)
    except UnknownKeyError as exc:
        raise UsageError(fault) from exc
    if not isinstance(index, MultiVectorIndex) or len(index.spec.stage_dims(tokens.dim)) > 1:
        raise UsageError(fault)
    learn_pool(index.pipeline, tokens)
    kept = index.pool_documents(tokens, as_stage(progress, str(index.pool)))
    return kept, index.pipeline.decodes_to_unit


def _checked(
    x: Any, lengths: Any, queries: Any, query_lengths: Any, positives: Sequence[Any] | None, metric: str,
    settings: LateSettings,
) -> tuple[Ragged, Ragged | None, tuple[np.ndarray, ...] | None]:  # fmt: skip
    """Documents, queries and positives; normalised for cosine, queries as float32."""
    settings.check()
    if metric not in METRICS:
        raise UsageError(f"metric {metric!r}: documents of several vectors are compared by 'ip' or 'cosine'")
    if positives is not None and queries is None:
        raise UsageError("positives belong to queries; pass queries, too")
    tokens = _ragged(x, lengths, "embeddings", metric)
    if len(tokens) < 2:
        raise EmptyInputError(f"there are {len(tokens)} documents, but two are needed to rank them")
    if queries is None:
        return tokens, None, None
    asked = _ragged(queries, query_lengths, "query embeddings", metric)
    if asked.dim != tokens.dim:
        raise DimensionError(
            f"embeddings have dim {tokens.dim}, query embeddings have dim {asked.dim}; both "
            "must come from the same model"
        )
    asked = Ragged(to_float32(asked.rows), asked.offsets)
    return tokens, asked, None if positives is None else checked_positives(positives, len(asked), len(tokens))


def _ragged(vectors: Any, lengths: Any, name: str, metric: str) -> Ragged:
    given = as_ragged(vectors, lengths, name=name)
    empty = np.flatnonzero(given.lengths == 0)
    if empty.size:
        raise InputError(f"{name}: number {empty[0]} has no vectors ({empty.size} have none); leave it out")
    return Ragged(normalize_rows(given.rows), given.offsets) if metric == "cosine" else given
