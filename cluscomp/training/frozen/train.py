"""Product codes for vectors that are there already: no text model, only documents' and queries' vectors.

    1  the metric of the scores (query_metric.py), and OPQ in it: rotation, centroids, codes
    2  codes frozen: centroids of the scores and a query adapter learn from the queries' positives and from
       the exact scores of their nearest documents, by softmax over both (Distill-VQ); documents stand for
       further queries, or for all of them where there are none
    3  the epoch that ranks held-out queries best is kept

Sources: Xiao et al., Distill-VQ (SIGIR 2022); Zhan et al., JPQ (CIKM 2021).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.arrays import as_rows, normalize_rows, to_float32
from cluscomp.errors import DimensionError, UsageError
from cluscomp.progress import Progress
from cluscomp.quantization.codebooks import check_enough_rows, check_split
from cluscomp.quantization.codes import unpack_codes
from cluscomp.quantization.learned import LearnedCodec
from cluscomp.quantization.rotation import train_opq
from cluscomp.quantization.score_aware import THRESHOLD, eta_for, move_centroids
from cluscomp.training.frozen.data import Task, make_pairs, split_pairs
from cluscomp.training.frozen.lessons import RowLessons
from cluscomp.training.frozen.loop import Epoch, FrozenSettings, initial, learn
from cluscomp.training.frozen.model import Parameters, Scorer
from cluscomp.training.query_metric import score_metric

METRICS = ("ip", "cosine")
OPQ_ITERATIONS = 10
MIN_HELD_OUT, MAX_HELD_OUT = 20, 1000
"""Fewer held-out queries cannot choose an epoch; more make it slower and not better."""


@dataclass(frozen=True)
class FrozenReport:
    """What training saw and did. epochs: the state before the first, then after each. kept: number of the
    epoch whose state the codec has. temperature: of the softmax, absolute.
    """

    n_documents: int
    n_queries: int
    n_positives: int
    n_held_out: int
    temperature: float
    epochs: tuple[Epoch, ...]
    kept: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return asdict(self)


def train_frozen(
    x: Any,
    m: int,
    *,
    nbits: int = 8,
    queries: Any = None,
    positives: Sequence[Any] | None = None,
    metric: str = "ip",
    settings: FrozenSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[LearnedCodec, FrozenReport]:
    """Learn rotation, centroids and query adapter for the document vectors x (n, d).

    m, nbits: codes a document and bits a code. queries: (nq, d) of the kind that will be asked, or None: then
    documents stand for queries and there is no adapter. positives: for each query the rows of x that answer
    it (some may be empty), or None: then the exact scores alone teach. metric: "ip" or "cosine".
    progress(stage, done, total).

    Returns the codec and a report. Raises UsageError, DimensionError, TooFewRowsError, EmptyInputError and
    the errors of the array gate.
    """
    start = time.monotonic()
    settings = settings or FrozenSettings()
    rows, asked = _checked(x, m, nbits, queries, positives, metric, settings)
    rng = np.random.default_rng((seed, 0xF0))
    own = np.sort(rng.choice(len(rows), size=min(settings.n_pseudo, len(rows)), replace=False))
    metric_map, inverse = score_metric(rows[own] if asked is None else asked, settings.query_share)
    rotation, centroids = train_opq(
        native.packed_matrix(metric_map).multiply(rows), m, nbits, n_iter=OPQ_ITERATIONS, seed=seed,
        progress=progress,
    )  # fmt: skip
    matrix = rotation.matrix.astype(np.float64)
    first = LearnedCodec((matrix @ metric_map).astype(np.float32), centroids, metric=metric)
    task = _task(rows, asked, positives, own, settings, rng)
    scorer = Scorer(matrix @ inverse, first.encode(rows), m, nbits, settings.temperature * task.spread())
    learned, epochs, kept = learn(RowLessons(scorer, task, settings), initial(first), settings, rng, progress)
    report = FrozenReport(
        n_documents=len(rows),
        n_queries=0 if asked is None else len(asked),
        n_positives=0 if task.real is None else sum(len(p) for p in task.real.positives),
        n_held_out=len(task.held_out),
        temperature=float(scorer.temperature),
        epochs=epochs,
        kept=kept,
        seconds=time.monotonic() - start,
    )
    return finished_codec(first, learned, inverse, asked is not None, settings, seed, report), report


def train_anisotropic(
    x: Any, m: int, *, nbits: int = 8, metric: str = "ip", threshold: float = THRESHOLD, seed: int = 0
) -> LearnedCodec:
    """OPQ with centroids for the scores by ScaNN's anisotropic loss: what to compare `train_frozen` with.

    x: documents (n, d). threshold: see quantization/score_aware.py. No queries, no adapter; its kind is
    "anisotropic".
    Raises what `train_frozen` does.
    """
    rows, _ = _checked(x, m, nbits, None, None, metric, FrozenSettings())
    rotation, centroids = train_opq(rows, m, nbits, n_iter=OPQ_ITERATIONS, seed=seed)
    first = LearnedCodec(rotation.matrix, centroids, metric=metric)
    numbers = unpack_codes(first.encode(rows), m, nbits)
    eta = eta_for(rows.shape[1], threshold)
    scoring = move_centroids(rotation.apply_rows(rows), numbers, centroids, eta=eta)
    provenance = {"trainer": "train_anisotropic", "seed": seed, "threshold": threshold, "eta": eta}
    return LearnedCodec(
        rotation.matrix, centroids, scoring, metric=metric, kind="anisotropic", provenance=provenance
    )


def finished_codec(
    first: LearnedCodec, learned: Parameters, inverse: np.ndarray, adapt: bool, settings: FrozenSettings,
    seed: int, report: FrozenReport, made_for: dict[str, Any] | None = None,
) -> LearnedCodec:  # fmt: skip
    """Rotation R A, and in the adapter what undoes A for queries: R A (A^-2 (q + W q + b)) = R A^-1 (...).

    first: the state before training, whose rotation is R A. inverse: A^-1. made_for: more provenance.
    """
    undo = inverse @ inverse
    weight = undo @ (np.eye(len(undo)) + learned.weight)
    identity = not adapt and settings.query_share == 0
    return LearnedCodec(
        first.rotation,
        first.document_centroids,
        learned.centroids,
        adapter_weight=None if identity else weight,
        adapter_bias=None if identity else undo @ learned.bias,
        metric=first.metric,
        kind="frozen",
        provenance={
            "seed": seed,
            "settings": asdict(settings),
            "report": report.to_json(),
            **(made_for or {}),
        },
    )


def _task(
    rows: np.ndarray, asked: np.ndarray | None, positives: Sequence[Any] | None, own: np.ndarray,
    settings: FrozenSettings, rng: np.random.Generator,
) -> Task:  # fmt: skip
    """Queries that teach and queries that choose the epoch."""
    pseudo = make_pairs(rows, rows[own], None, settings.n_nearest + 1, own=own)
    real = None if asked is None else make_pairs(rows, asked, positives, settings.n_nearest)
    whole = pseudo if real is None else real
    n_held = min(round(settings.held_out * len(whole)), MAX_HELD_OUT)
    rest, held = split_pairs(whole, n_held if n_held >= MIN_HELD_OUT else 0, rng)
    return Task(rows, rest if real is None else pseudo, None if real is None else rest, held)


def _checked(
    x: Any, m: int, nbits: int, queries: Any, positives: Any, metric: str, settings: FrozenSettings
) -> tuple[np.ndarray, np.ndarray | None]:
    """Documents and queries as float32, normalised for cosine."""
    settings.check()
    if metric not in METRICS:
        raise UsageError(
            f"metric {metric!r}: frozen training is for 'ip' and 'cosine'; for l2 use a key such as "
            f"OPQ{m},PQ{m}"
        )
    if positives is not None and queries is None:
        raise UsageError("positives belong to queries; pass queries, too")
    rows = as_rows(x, name="embeddings")
    check_split(rows.shape[1], m, nbits)
    check_enough_rows(len(rows), nbits)
    asked = None if queries is None else as_rows(queries, name="query embeddings")
    if asked is not None and asked.shape[1] != rows.shape[1]:
        raise DimensionError(
            f"embeddings have dim {rows.shape[1]}, query embeddings have dim {asked.shape[1]}; both "
            "must come from the same model"
        )
    ready = normalize_rows if metric == "cosine" else to_float32
    return ready(rows), None if asked is None else ready(asked)
