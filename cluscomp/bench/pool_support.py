"""Support pooling of documents, Ward's groups included, against the same method in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from cluscomp.bench.harness import OURS, Case, Measured, Verdict
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench, contenders
from cluscomp.multivector.pooling import pool_tokens
from cluscomp.multivector.ragged import Ragged, offsets_of
from cluscomp.multivector.support import SAMPLE_SIZE, SupportFit, support_errors, support_sample

TOKENS = 240  # of a document: the average of SciFact, cut off at 256
KEPT = 16
CHECKED = 64  # documents
ERROR_SLACK = 0.01  # of the mean error: a q between two vectors may go to either


def plans(settings: Settings) -> list[Plan]:
    """100 documents; --n 1243920 takes 5183, as many as SciFact has."""
    documents = max(1, settings.rows(24_000, 4_800) // TOKENS)
    return [Plan(_name(documents), partial(_run, documents))]


def _name(documents: int) -> str:
    return f"{documents} documents of {TOKENS} tokens to {KEPT}, support"


def _run(documents: int, bench: Workbench) -> list[Measured]:
    rows = bench.data.embeddings(documents * TOKENS)
    lengths = np.full(documents, TOKENS)
    sample = support_sample(rows.x, lengths)
    case = Case(
        name=_name(documents),
        data=rows.name,
        contenders=contenders(
            bench.settings,
            lambda: pool_tokens(rows.x, lengths, max_vectors=KEPT, method="support", sample=sample),
            {"numpy": lambda _: numpy_support(rows.x, lengths, sample)},
        ),
        check=partial(check_errors, rows.x, lengths, sample),
        notes=(f"{len(sample)} of {SAMPLE_SIZE} vectors in the sample; Ward's groups are part of the work",),
    )
    return bench.measure(case)


def numpy_support(
    x: np.ndarray, lengths: np.ndarray, sample: np.ndarray
) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    """One document after the other, with the same steps of conjugate gradients."""

    def run() -> tuple[np.ndarray, np.ndarray]:
        means, kept = pool_tokens(x, lengths, max_vectors=KEPT)
        tokens = Ragged(x, offsets_of(lengths, len(x)))
        starts = Ragged(means, offsets_of(kept, len(means)))
        parts = (
            _fit(tokens.part(slice(i, i + 1)).rows, starts.part(slice(i, i + 1)).rows, sample)
            for i in range(len(lengths))
        )
        return np.concatenate(list(parts)), kept

    return run


def _fit(x: np.ndarray, start: np.ndarray, sample: np.ndarray) -> np.ndarray:
    how = SupportFit()
    values = (sample @ x.T).max(axis=1)
    vectors, best, lowest = start.copy(), start, np.inf
    for _ in range(how.rounds + 1):
        products = sample @ vectors.T
        owner, residual = products.argmax(axis=1), values - products.max(axis=1)
        loss = residual @ residual + how.ridge * ((vectors - start) ** 2).sum()
        if loss < lowest:
            best, lowest = vectors.copy(), loss
        for j in range(len(start)):
            own = owner == j
            vectors[j] += _step(sample[own], residual[own], start[j] - vectors[j], how)
    return best


def _step(rows: np.ndarray, residual: np.ndarray, back: np.ndarray, how: SupportFit) -> np.ndarray:
    """Conjugate gradients for (rows^T rows + ridge) step = rows^T residual + ridge back, from 0."""
    ridge = np.float32(how.ridge)
    rest = rows.T @ residual + ridge * back
    step, direction, square = np.zeros_like(rest), rest, rest @ rest
    enough = 1e-12 * square
    for _ in range(how.steps):
        if square <= enough:
            break
        image = rows.T @ (rows @ direction) + ridge * direction
        length = square / (direction @ image)
        step = step + length * direction
        rest = rest - length * image
        before, square = square, rest @ rest
        direction = rest + square / before * direction
    return step


def check_errors(x: np.ndarray, lengths: np.ndarray, sample: np.ndarray, found: Mapping[str, Any]) -> Verdict:
    """The mean error over some documents is below that of Ward's means and not above that of any baseline."""
    some = lengths[:CHECKED]
    tokens = x[: int(some.sum())]

    def error(pooled: np.ndarray, kept: np.ndarray) -> float:
        vectors = pooled[: int(kept[: len(some)].sum())]
        return float(support_errors(tokens, some, vectors, kept[: len(some)], sample=sample).mean())

    errors = {name: error(*result) for name, result in found.items()}
    ward = error(*pool_tokens(tokens, some, max_vectors=KEPT))
    best = min([ward, *(value for name, value in errors.items() if name != OURS)])
    told = ", ".join(f"{name} {value:.3g}" for name, value in errors.items())
    return Verdict(
        errors[OURS] <= best * (1 + ERROR_SLACK), f"mean squared error: {told}, Ward's means {ward:.3g}"
    )
