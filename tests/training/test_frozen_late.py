"""Frozen training for documents of several vectors: gradients against differences, the single vector as a
special case, and a real gain over plain codes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import cluscomp as cc
from cluscomp import errors
from cluscomp.multivector import Ragged
from cluscomp.training.frozen.late_lessons import make_late_pairs, token_runs
from cluscomp.training.frozen.late_model import LateBatch, LateScorer
from cluscomp.training.frozen.late_train import LateSettings, train_frozen_late
from cluscomp.training.frozen.model import Batch, Parameters, Scorer, softmax

DIM, M = 8, 2


def ragged(rng: np.random.Generator, lengths: list[int], dim: int = DIM) -> Ragged:
    rows = rng.standard_normal((sum(lengths), dim)).astype(np.float32)
    return Ragged(rows, np.concatenate([[0], np.cumsum(lengths)]))


@pytest.fixture
def parameters(rng) -> Parameters:
    shapes = ((M, 256, DIM // M), (DIM, DIM), (DIM,))
    return Parameters(*(0.3 * rng.standard_normal(shape).astype(np.float32) for shape in shapes))


def reference(parameters: Parameters, scorer: LateScorer, batch: LateBatch, unit: bool) -> float:
    """The loss, document by document, in float64."""
    decoded = np.concatenate([parameters.centroids[j][scorer.codes[:, j]] for j in range(M)], axis=1)
    if unit:
        decoded = decoded / np.linalg.norm(decoded, axis=1, keepdims=True)
    total = 0.0
    for i, documents in enumerate(batch.documents):
        asked = batch.queries.part(slice(i, i + 1)).rows
        z = parameters.adapt(asked).astype(np.float64) @ scorer.query_map.T
        scores = [
            (z @ decoded[scorer.offsets[d] : scorer.offsets[d + 1]].T).max(axis=1).sum() for d in documents
        ]
        logits = np.array(scores) / batch.temperature[i]
        total -= float(batch.target[i] @ (logits - np.log(np.exp(logits).sum())))
    return total / len(batch.documents)


@pytest.mark.parametrize("unit", [False, True])
def test_gradients_equal_differences(parameters, rng, unit: bool) -> None:
    offsets = np.concatenate([[0], np.cumsum(rng.integers(1, 5, size=12))])
    codes = rng.integers(256, size=(offsets[-1], M)).astype(np.uint8)
    scorer = LateScorer(np.linalg.qr(rng.standard_normal((DIM, DIM)))[0], codes, offsets, M, 8, unit=unit)
    documents = np.array([rng.permutation(12)[:7] for _ in range(3)])
    target = softmax(rng.standard_normal((3, 7)).astype(np.float32))
    temperature = np.array([0.7, 1.1, 0.9], dtype=np.float32)
    batch = LateBatch(ragged(rng, [2, 5, 1]), documents, target, temperature)
    loss, slopes = scorer.loss(parameters, batch, adapt=True)
    assert loss == pytest.approx(reference(parameters, scorer, batch, unit), rel=1e-5)
    for values, slope, number in zip(parameters.arrays(), slopes.arrays(), range(3), strict=True):
        used = np.unravel_index(np.argsort(-np.abs(slope), axis=None)[:6], slope.shape)
        for at in zip(*used, strict=True):
            moved = [parameters.copy(), parameters.copy()]
            for sign, each in zip((1, -1), moved, strict=True):
                each.arrays()[number][at] = values[at] + sign * np.float32(0.002)
            ends = [reference(each, scorer, batch, unit) for each in moved]
            assert slope[at] == pytest.approx((ends[0] - ends[1]) / 0.004, rel=0.03, abs=1e-4)


def test_documents_and_queries_of_one_vector_are_single_vectors(parameters, rng) -> None:
    codes = rng.integers(256, size=(30, M)).astype(np.uint8)
    query_map = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]
    queries = rng.standard_normal((5, DIM)).astype(np.float32)
    rows = np.arange(3, 25)
    target = softmax(rng.standard_normal((5, 22)).astype(np.float32))
    wanted = Scorer(query_map, codes, M, 8, 0.7).loss(parameters, Batch(queries, rows, target))
    batch = LateBatch(Ragged(queries, np.arange(6)), np.tile(rows, (5, 1)), target, np.full(5, 0.7, "f"))
    found = LateScorer(query_map, codes, np.arange(31), M, 8).loss(parameters, batch, adapt=True)
    assert found[0] == pytest.approx(wanted[0], rel=1e-5)
    for mine, theirs in zip(found[1].arrays(), wanted[1].arrays(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_pairs_by_hand(rng) -> None:
    """The best by the pooled vectors are compared, positives always; the teacher has all tokens."""
    tokens = ragged(rng, [3] * 20)
    kept = Ragged(tokens.rows[::3], np.arange(21))
    queries = ragged(rng, [2, 4])
    settings = LateSettings(n_nearest=6)
    rough = cc.maxsim(queries.rows, queries.lengths, kept.rows, kept.lengths)
    exact = cc.maxsim(queries.rows, queries.lengths, tokens.rows, tokens.lengths)
    worst = int(rough[0].argmin())
    pairs = make_late_pairs(tokens, kept, queries, [np.array([worst]), np.array([], int)], settings)
    best = np.argsort(-rough, axis=1)
    assert set(pairs.documents[0]) == {worst, *best[0, :5]}
    assert set(pairs.documents[1]) == set(best[1, :6])
    assert pairs.labels.sum(axis=1).tolist() == [1, 0]
    assert pairs.documents[0, pairs.labels[0].argmax()] == worst
    for i in range(2):
        scores = exact[i, pairs.documents[i]] / pairs.temperature[i]
        np.testing.assert_allclose(pairs.target[i], softmax(scores[None])[0], rtol=1e-4)
        assert pairs.temperature[i] == pytest.approx(0.5 * rough[i].std(), rel=1e-5)
    own = make_late_pairs(tokens, kept, queries, None, settings, np.array([best[0, 0], 3]))
    assert best[0, 0] not in own.documents[0]


def test_runs_are_neighbours_of_one_document(rng) -> None:
    tokens = ragged(rng, [2, 30, 5])
    runs, own = token_runs(tokens, 50, rng)
    assert runs.lengths.min() == 2 and runs.lengths.max() <= 16
    for i, document in enumerate(own):
        rows = runs.part(slice(i, i + 1)).rows
        inside = tokens.part(slice(document, document + 1)).rows
        first = np.flatnonzero((inside == rows[0]).all(axis=1))[0]
        np.testing.assert_array_equal(inside[first : first + len(rows)], rows)


def documents_of_topics(rng: np.random.Generator, n: int, d: int = 32) -> Ragged:
    """Documents of 12 tokens, each about three of 40 topics."""
    scales = np.exp(-np.arange(d) / 8)
    centres = rng.standard_normal((40, d)) * scales
    topics = np.repeat(rng.integers(40, size=(n, 3)), 4, axis=1).ravel()
    rows = centres[topics] + 0.7 * rng.standard_normal((12 * n, d)) * scales
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return Ragged(rows.astype(np.float32), np.arange(n + 1) * 12)


def error_of(key: str, documents: Ragged, queries: Ragged) -> float:
    """Share of the ten best documents by all tokens that an index misses."""
    exact = cc.maxsim(queries.rows, queries.lengths, documents.rows, documents.lengths)
    index = cc.index_factory(key, documents.dim, "ip")
    index.train(documents.rows, lengths=documents.lengths)
    index.add(documents.rows, lengths=documents.lengths)
    found = index.search(queries.rows, 10, lengths=queries.lengths)[1]
    best = np.argsort(-exact, axis=1)[:, :10]
    return 1 - float(np.mean([np.isin(a, b).mean() for a, b in zip(found, best, strict=True)]))


@pytest.mark.parametrize(("pool", "share"), [("Pool3", 0.98), ("Pool3(ward)", 1.0)])
def test_learns_to_rank_as_all_tokens_do(rng, tmp_path, pool: str, share: float) -> None:
    """Against plain OPQ of the same size, on queries that took no part."""
    documents = documents_of_topics(rng, 500)
    runs, _ = token_runs(documents, 450, rng)
    queries, new = runs.part(slice(0, 300)), runs.part(slice(300, 450))
    settings = LateSettings(epochs=6, n_nearest=40, n_pseudo=200)
    given = {"lengths": documents.lengths, "m": 4, "nbits": 4, "pool": pool, "settings": settings}
    asked = {"queries": queries.rows, "query_lengths": queries.lengths}
    codec, report = train_frozen_late(documents.rows, **given, **asked)
    codec.save(tmp_path / "codec")
    plain, _ = train_frozen_late(
        documents.rows, **given | {"settings": replace(settings, epochs=1, centroid_lr=0)}
    )
    plain.save(tmp_path / "plain")
    mine, other = (
        error_of(f"{pool},RepCONC({tmp_path / name})", documents, new) for name in ("codec", "plain")
    )
    assert mine < share * other
    assert (report.n_documents, report.n_queries, report.kept) == (500, 300, 6)
    assert report.epochs[-1].loss < report.epochs[1].loss
    assert codec.provenance["pool"] == pool


@pytest.mark.parametrize(
    ("options", "kind", "fault"),
    [
        ({"pool": "Pol3"}, errors.UsageError, "'Pol3' is no pool"),
        ({"pool": "IVF4"}, errors.UsageError, "'IVF4' is no pool"),
        ({"pool": "Pool2,OPQ2"}, errors.UsageError, "'Pool2,OPQ2' is no pool"),
        ({"m": 5}, errors.UsageError, "dim 8 does not split into m=5"),
        ({"metric": "l2"}, errors.UsageError, "'ip' or 'cosine'"),
        ({"nbits": 8}, errors.TooFewRowsError, "256"),
        ({"positives": [[0]]}, errors.UsageError, "pass queries"),
        ({"lengths": [3, 0, 27]}, errors.InputError, "embeddings: number 1 has no vectors"),
        ({"queries": np.ones((2, 4)), "query_lengths": [2]}, errors.DimensionError, "dim 8, .* dim 4"),
        ({"queries": np.ones((2, 8)), "query_lengths": [2, 0]}, errors.InputError, "number 1 has no vectors"),
        (
            {"queries": np.ones((2, 8)), "query_lengths": [2], "positives": [[7]]},
            errors.DimensionError,
            "7, but rows are 0 to 4",
        ),
        ({"settings": LateSettings(held_out=0.1)}, errors.UsageError, "held_out must be 0 .* but is 0.1"),
    ],
)
def test_what_cannot_work(rng, options, kind, fault) -> None:
    given = {"lengths": [6] * 5, "m": 4, "nbits": 4, "pool": "Pool4"} | options
    with pytest.raises(kind, match=fault):
        train_frozen_late(ragged(rng, [30]).rows, **given)
