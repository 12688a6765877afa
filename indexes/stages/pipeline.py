"""The trained stages of an index, in the order that rows pass them.

    rows --normalise?--> base rows --transforms--> projected rows --partition--> list, --codec--> code
                             |
                             +--codec of the rerank--> finer code

The metric cosine, or a key that begins with L2norm, normalises rows and queries before anything else, so that
the rerank compares normalised vectors too; it compares them before the transforms, which may drop dimensions.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cluscomp import checks, native
from cluscomp.arrays import TOKEN_TERMS, largest_safe, normalize_rows, to_float32
from cluscomp.clustering.blocks import take_rows
from cluscomp.errors import KeyAdviceWarning, NotTrainedError
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.stages import registrations  # noqa: F401 - the stages make themselves known
from cluscomp.indexes.stages.codec import (
    CentredCodec,
    Codec,
    Codes,
    Refiner,
    RowArray,
    ScoreKeeper,
    rerank_name,
)
from cluscomp.indexes.stages.ivf import MAX_POINTS_PER_LIST, ListAssigner
from cluscomp.indexes.stages.joint_training import is_joint, train_jointly
from cluscomp.indexes.stages.list_training import ListTrainer, apply_steps, train_lists
from cluscomp.indexes.stages.registry import make_codec, make_partition, make_refiner, make_transform
from cluscomp.indexes.stages.stage import Stage
from cluscomp.indexes.stages.support_pool import MOST_LENGTHENED, longest_token, make_support
from cluscomp.indexes.stages.tally import Tally
from cluscomp.indexes.stages.transform import Transform
from cluscomp.progress import Progress, as_stage

BLOCK_ROWS = 16384
MIN_TRAINING_SAMPLE = 65536


@dataclass(frozen=True)
class EncodedRows:
    """labels: (n,) int32 list of each row, None without partition. finer: codes of the rerank, or None."""

    labels: np.ndarray | None
    codes: Codes
    finer: Codes | None

    def arrays(self) -> dict[str, np.ndarray]:
        """Codes and finer codes by the names of `Pipeline.row_arrays`."""
        finer = {} if self.finer is None else self.finer
        return {**self.codes, **{rerank_name(name): array for name, array in finer.items()}}


class Pipeline:
    """Stages of the key `spec` for rows of dim `dim`. metric: "ip", "l2" or "cosine".

    Raises UnknownKeyError (metric), UsageError (the key does not fit the dim).
    """

    def __init__(self, spec: IndexSpec, dim: int, metric: str, seed: int) -> None:
        metric = checks.metric(metric)
        self.spec, self.dim, self.metric, self.seed = spec, dim, metric, seed
        dims = spec.stage_dims(dim)
        spec.codec.check_metric(metric)
        self.normalizes = metric == "cosine" or spec.has_leading_norm
        self.score_metric = "l2" if metric == "l2" else "ip"
        self.steps: list[Transform] = [
            make_transform(t, d, spec.codec) for t, d in zip(spec.transforms, dims, strict=False)
        ]
        if spec.has_leading_norm:
            del self.steps[0]
        # Lists of vectors whose lengths count are of the nearest: what is left for the code is then shortest.
        distance = self.score_metric if spec.fitted_pool is None else "l2"
        self.partition = make_partition(spec.partition, dims[-1], distance)
        self.codec: Codec = make_codec(spec.codec, dims[-1])
        # Inner products are kept better by codes that are not the nearest ones (quantization/score_aware.py),
        # unless what they stand for is scaled to length one: then only the error across a row counts.
        by_scores = self.score_metric == "ip" and not self.decodes_to_unit
        self.score_codec = self.codec if by_scores and isinstance(self.codec, ScoreKeeper) else None
        self.refine: Refiner | None = None if spec.refine is None else make_refiner(spec.refine, dim)
        self.support = make_support(spec, dim, self.normalizes)
        self._was_trained = False

    @cached_property
    def largest(self) -> float:
        """Largest magnitude of a component of a row, of a token vector or of a query."""
        return largest_value(self.spec, self.metric, self.dim)

    @property
    def largest_stored(self) -> float:
        """`largest` of what is stored: a pool that fits vectors makes longer ones than it is given."""
        return self.largest if self.support is None else self.largest * MOST_LENGTHENED

    def row_arrays(self) -> dict[str, RowArray]:
        """Arrays of the codes of a row, those of the rerank included, by the names of their files."""
        finer = {} if self.refine is None else self.refine.arrays
        return {**self.codec.arrays, **{rerank_name(name): array for name, array in finer.items()}}

    @property
    def uses_residuals(self) -> bool:
        """Codes are residuals to the centroid of their list."""
        return self.partition is not None and self.codec.by_residual

    @property
    def residual_centroids(self) -> np.ndarray | None:
        """Centroids (nlist, dim) of the lists where codes are residuals to them, else None."""
        return self.partition.centroids if self.partition is not None and self.uses_residuals else None

    @property
    def decodes_to_unit(self) -> bool:
        """Codes of a multi-vector index stand for vectors of length one."""
        is_kept = len(set(self.spec.stage_dims(self.dim))) == 1
        return is_kept and self.spec.stores_unit_vectors(self.normalizes)

    def stages(self) -> dict[str, Stage]:
        """Stages by the name under which their arrays are saved."""
        named: dict[str, Stage] = {} if self.support is None else {"pool": self.support}
        named |= {f"transform{i}": step for i, step in enumerate(self.steps)}
        if self.partition is not None:
            named["partition"] = self.partition
        named["codec"] = self.codec
        if self.refine is not None:
            named["refine"] = self.refine
        return named

    def take_stages(self, other: Pipeline) -> None:
        """Work with the stages of another pipeline, whose key has the same for vectors."""
        self.steps, self.partition, self.codec = other.steps, other.partition, other.codec
        self.score_codec, self.refine, self.support = other.score_codec, other.refine, other.support

    @property
    def needs_training(self) -> bool:
        """False for keys whose stages learn nothing from data."""
        return self.support is not None or self.learns_from_rows

    @property
    def learns_from_rows(self) -> bool:
        """Whether a stage behind the pool learns, from the rows that are stored."""
        return any(stage.needs_training for stage in self.stages().values() if stage is not self.support)

    @property
    def is_trained(self) -> bool:
        return all(
            stage.parameters().keys() == stage.parameter_specs.keys() for stage in self.stages().values()
        )

    def require_trained(self) -> None:
        """Raise NotTrainedError if a stage still has to learn."""
        if self._was_trained:  # nothing unlearns; looking at all parameters takes a while of a single query
            return
        self._was_trained = self.is_trained
        if not self._was_trained:
            raise NotTrainedError(
                f"the index {str(self.spec)!r} has not been trained; call index.train(x) before"
            )

    def train(
        self, sample: np.ndarray, progress: Progress | None = None, lists: ListTrainer = train_lists
    ) -> None:
        """Learn all stages behind the pool from rows (n, dim) of kernel dtype, one after the other.

        Lists and the finer codes learn from all rows, the others from MIN_TRAINING_SAMPLE of them at most.
        A float32 copy of all is made where they are normalised, or transformed before lists learn here.

        progress(stage, done, total): stage is the key part being trained, such as "OPQ48". lists: trains the
        partition, here or from rows that lie elsewhere.
        """
        seeds = self._seeds()
        self._warn_of_missing_rotation()
        base = self.stored_rows(sample) if self.normalizes else sample
        joint = is_joint(self.steps, self.partition, self.codec)
        before = self.steps[:-1] if joint else self.steps
        rows = to_float32(_at_most(base, MIN_TRAINING_SAMPLE))
        for step in before:
            step.train(rows, next(seeds), as_stage(progress, str(step.spec)))
            rows = apply_steps([step], rows)
        if self.partition is not None:
            ticks = as_stage(progress, str(self.partition.spec))
            lists(self.partition, base, before, next(seeds), ticks)
        whole = rows
        if self.partition is not None and self.codec.by_residual:
            rows = self.partition.residuals(rows, self.partition.assign(rows))
        if joint:
            step, ticks = self.steps[-1], as_stage(progress, str(self.steps[-1].spec))
            train_jointly(step, self.partition, self.codec, rows, next(seeds), ticks)
        else:
            self.codec.train(rows, next(seeds), as_stage(progress, str(self.codec.spec)))
        if self.score_codec is not None:
            rows, whole = (apply_steps(self.steps[-1:], r) if joint else r for r in (rows, whole))
            ticks = as_stage(progress, f"{self.codec.spec} for scores")
            self.score_codec.refine_for_scores(rows, whole, ticks)
        if self.refine is not None:
            self.refine.train(base, next(seeds), as_stage(progress, str(self.refine.spec)))

    def _warn_of_missing_rotation(self) -> None:
        if self.spec.codec.wants_rotation and not any(step.rotates for step in self.spec.transforms):
            warnings.warn(
                f"{self.spec.codec} expects rotated rows: dimensions that vary more than others cost recall; "
                f"add the part RR, as in RR,IVF64,{self.spec.codec}, unless all vary alike",
                KeyAdviceWarning,
                stacklevel=3,
            )

    def base_rows(self, rows: np.ndarray) -> np.ndarray:
        """float32 rows, normalised where the index normalises."""
        return normalize_rows(rows) if self.normalizes else to_float32(rows)

    def stored_rows(self, rows: np.ndarray) -> np.ndarray:
        """`base_rows` of what is stored: a pool has normalised token vectors, and its own have lengths."""
        return self.base_rows(rows) if self.support is None else to_float32(rows)

    def project(self, base: np.ndarray) -> np.ndarray:
        """Base rows through the transforms."""
        for step in self.steps:
            base = step.apply(base)
        return np.ascontiguousarray(base)

    def project_queries(self, base: np.ndarray) -> np.ndarray:
        """`project` for queries, which a learned codec maps otherwise than rows."""
        for step in self.steps:
            base = step.apply_queries(base)
        return base if base.flags.c_contiguous else np.ascontiguousarray(base)

    def query_rows(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Queries (nq, dim) of kernel dtype as finer codes compare them, and as lists and codes do."""
        if self.normalizes:
            base = native.unit_rows(queries)
        else:
            base = queries if queries.dtype == np.float32 else to_float32(queries)
        return base, self.project_queries(base) if self.steps else base

    def take_back(self, projected: np.ndarray) -> np.ndarray:
        """Rows whose inner products with queries are those of `projected` with what the transforms make of
        the queries. UsageError where a transform has no way back.
        """
        for step in reversed(self.steps):
            projected = step.back(projected)
        return projected

    def list_assigner(self, sizes: np.ndarray, n_new: int | None) -> ListAssigner | None:
        """What chooses the lists of n_new new rows beside the rows that are there, `sizes` in each list.

        n_new: None where it is not known. Returns None without partition.
        """
        return None if self.partition is None else self.partition.list_assigner(sizes, n_new)

    def encode(
        self, rows: np.ndarray, assigner: ListAssigner | None, tally: Tally | None = None
    ) -> EncodedRows:
        """Lists, codes and finer codes of a block of rows (n, dim) of kernel dtype; assigner: see there.

        tally: looks at the rows, where somebody wants to know what they cost.
        """
        base = self.stored_rows(rows)
        projected = self.project(base)
        labels = None if assigner is None else assigner.assign(projected)
        finer = None if self.refine is None else self._encoded(self.refine, base, base)
        codes = self.codes(projected, labels)
        if tally is not None:
            tally.take(projected, labels, codes)
        return EncodedRows(labels, codes, finer)

    def codes(self, projected: np.ndarray, labels: np.ndarray | None) -> Codes:
        """Codes of rows behind the transforms. labels: (n,) their lists, None without partition."""
        rows = projected
        if labels is not None and self.partition is not None and self.codec.by_residual:
            rows = self.partition.residuals(projected, labels)
        return self._encoded(self.codec, rows, projected)

    def _encoded(self, codec: Codec, rows: np.ndarray, whole: np.ndarray) -> Codes:
        """Codes of rows, which are residuals of the rows `whole`, or these themselves."""
        if isinstance(codec, CentredCodec):
            return codec.encode_centred(rows, whole, self.score_metric)
        if self.score_codec is not None and codec is self.score_codec:
            return self.score_codec.encode_for_scores(rows, whole)
        return codec.encode(rows)

    def _seeds(self) -> Iterator[int]:
        """One seed a stage, so that adding a stage before another does not make two stages share draws."""
        sequence = np.random.SeedSequence(self.seed)
        while True:
            yield int(sequence.spawn(1)[0].generate_state(1)[0])


def largest_value(spec: IndexSpec, metric: str, dim: int) -> float:
    """Largest magnitude of a component with which an index of this key scores within float32.

    Rows may lose a centroid and pass a rotation, after which a component is at most 2 sqrt(dim) times as
    large.
    """
    normalizes = metric == "cosine" or spec.has_leading_norm
    terms = TOKEN_TERMS if spec.sums_tokens else 4 * dim
    largest = largest_safe(dim, "cosine" if normalizes else "l2", terms=terms)
    if spec.fitted_pool is None or normalizes:
        return largest
    return min(largest, longest_token() / dim**0.5)


def training_rows(spec: IndexSpec) -> int:
    """Most rows that training looks at: 256 a list of the partition, at least 65536 (256 a PQ centroid)."""
    return max(MIN_TRAINING_SAMPLE, MAX_POINTS_PER_LIST * spec.nlist)


def sample_rows(rows: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """At most `limit` rows, drawn at random, in their order; only those are read from a memory map."""
    n = rows.shape[0]
    if n <= limit:
        return rows
    picked = checks.rng(seed).choice(n, size=limit, replace=False, shuffle=False)
    return take_rows(rows, np.sort(picked))


def _at_most(rows: np.ndarray, limit: int) -> np.ndarray:
    """At most `limit` evenly spaced rows; a prefix would be biased where files have an order."""
    n = rows.shape[0]
    return rows if n <= limit else take_rows(rows, np.linspace(0, n - 1, limit).astype(np.int64))
