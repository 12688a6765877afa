"""Frozen training: gradients against differences, oracles of the metric, and a real gain on held-out queries."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import errors
from cluscomp.quantization import LearnedCodec
from cluscomp.training.frozen.data import make_pairs, positives_of, split_pairs
from cluscomp.training.frozen.model import Adam, Batch, Parameters, Scorer, softmax
from cluscomp.training.frozen.train import FrozenSettings, train_frozen
from cluscomp.training.query_metric import score_metric

DIM, M = 8, 2


@pytest.fixture
def scorer(rng) -> Scorer:
    codes = rng.integers(256, size=(30, M)).astype(np.uint8)
    return Scorer(np.linalg.qr(rng.standard_normal((DIM, DIM)))[0], codes, M, 8, 0.7)


@pytest.fixture
def parameters(rng) -> Parameters:
    shapes = ((M, 256, DIM // M), (DIM, DIM), (DIM,))
    return Parameters(*(0.3 * rng.standard_normal(shape).astype(np.float32) for shape in shapes))


def test_gradients_equal_differences(scorer, parameters, rng) -> None:
    """Centroids descend the loss against their target, the adapter against its own."""
    queries = rng.standard_normal((5, DIM)).astype(np.float32)
    rows = np.arange(3, 25)
    target, other = (softmax(rng.standard_normal((5, 22)).astype(np.float32)) for _ in range(2))
    _, slopes = scorer.loss(parameters, Batch(queries, rows, target, other))

    def loss(moved: Parameters, wanted: np.ndarray) -> float:
        z = moved.adapt(queries).astype(np.float64) @ scorer.query_map.T
        logits = z @ scorer.decode(moved.centroids, rows).T / 0.7
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return -float((wanted * log_p).sum()) / 5

    assert scorer.loss(parameters, Batch(queries, rows, target))[0] == pytest.approx(loss(parameters, target))
    for number, wanted in enumerate((other, target, target)):
        values, slope = parameters.arrays()[number], slopes.arrays()[number]
        used = np.unravel_index(np.argsort(-np.abs(slope), axis=None)[:6], slope.shape)
        for at in zip(*used, strict=True):
            moved = [parameters.copy(), parameters.copy()]
            for sign, each in zip((1, -1), moved, strict=True):
                each.arrays()[number][at] = values[at] + sign * np.float32(0.01)
            difference = (loss(moved[0], wanted) - loss(moved[1], wanted)) / 0.02
            assert slope[at] == pytest.approx(difference, rel=0.02, abs=1e-5)


def test_list_loss_is_least_where_student_and_teacher_agree(scorer, parameters, rng) -> None:
    """ListNet: there the gradient vanishes, and the loss is the teacher's entropy."""
    queries = rng.standard_normal((4, DIM)).astype(np.float32)
    rows = np.arange(30)
    logits = scorer.map_queries(parameters, queries) @ scorer.decode(parameters.centroids, rows).T
    teacher = softmax(logits / scorer.temperature + np.float32(3))  # a constant changes nothing
    loss, slopes = scorer.loss(parameters, Batch(queries, rows, teacher))
    assert loss == pytest.approx(-(teacher * np.log(teacher)).sum() / 4, rel=1e-5)
    assert all(np.abs(slope).max() < 1e-6 for slope in slopes.arrays())


def test_a_document_is_not_its_own_answer(scorer, parameters, rng) -> None:
    queries = rng.standard_normal((3, DIM)).astype(np.float32)
    own = np.array([0, 4, 2])
    target = np.full((3, 6), 0.2, dtype=np.float32)
    target[np.arange(3), own] = 0
    loss, slopes = scorer.loss(parameters, Batch(queries, np.arange(6), target, own=own), adapt=False)
    assert np.isfinite(loss)
    assert not slopes.weight.any()
    assert not slopes.bias.any()
    # Moving only document 4's score for query 1 would change nothing: nobody else sees column 4 alone.
    assert np.isfinite(slopes.centroids).all()


def test_translating_a_codebook_changes_no_ranking(scorer, parameters, rng) -> None:
    queries = rng.standard_normal((7, DIM)).astype(np.float32)
    shifted = parameters.copy()
    shifted.centroids[1] += np.float32(0.25)
    np.testing.assert_array_equal(scorer.search(parameters, queries, 5), scorer.search(shifted, queries, 5))


def test_adam_by_hand() -> None:
    """The first step moves every value by its learning rate against the sign of its gradient."""
    values = Parameters(np.zeros((1, 1, 2), "f"), np.zeros((1, 1), "f"), np.zeros(1, "f"))
    slopes = Parameters(np.array([[[5, -0.1]]], "f"), np.array([[2]], "f"), np.array([-3], "f"))
    Adam((0.1, 0.01, 0.5)).step(values, slopes, 0.5)
    np.testing.assert_allclose(values.centroids, [[[-0.05, 0.05]]], rtol=1e-4)
    np.testing.assert_allclose(values.weight, [[-0.005]], rtol=1e-4)
    np.testing.assert_allclose(values.bias, [0.25], rtol=1e-4)


def test_metric_turns_residuals_into_score_errors(rng) -> None:
    """With share 1, |A r|^2 is the mean of <q, r>^2 up to the scale of A; inner products stay."""
    queries = rng.standard_normal((50, DIM)) * np.arange(1, DIM + 1)
    a, inverse = score_metric(queries.astype(np.float32), 1.0)
    residuals = rng.standard_normal((6, DIM))
    ratio = ((residuals @ a) ** 2).sum(axis=1) / ((residuals @ queries.T) ** 2).mean(axis=1)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    np.testing.assert_allclose((queries @ inverse) @ (residuals @ a).T, queries @ residuals.T, atol=1e-6)
    assert np.trace(a @ a) == pytest.approx(DIM)
    np.testing.assert_array_equal(score_metric(queries.astype(np.float32), 0.0)[0], np.eye(DIM))


def test_held_out_queries_share_no_answer(rng) -> None:
    x = rng.standard_normal((40, DIM)).astype(np.float32)
    positives = [rng.choice(20, size=2) for _ in range(60)]
    pairs = make_pairs(x, rng.standard_normal((60, DIM)).astype(np.float32), positives, 5)
    rest, held = split_pairs(pairs, 4, rng)
    assert len(held) == 4
    assert 0 < len(rest) < 56
    assert not np.isin(np.concatenate(rest.positives), np.concatenate(held.positives)).any()


def topics(rng: np.random.Generator, n: int, d: int = 32) -> np.ndarray:
    """Rows around 40 directions, with variances that fall, as embeddings have."""
    scales = np.exp(-np.arange(d) / 8)
    centres = rng.standard_normal((40, d)) * scales
    rows = centres[rng.integers(40, size=n)] + 0.7 * rng.standard_normal((n, d)) * scales
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def ranking_error(codec: LearnedCodec, x: np.ndarray, queries: np.ndarray) -> float:
    """Share of the exact ten nearest that the codes miss."""
    exact = np.argsort(-(queries @ x.T), axis=1)[:, :10]
    scores = codec.rotate_queries(queries) @ codec.decode(codec.encode(x)).T
    found = np.argsort(-scores, axis=1)[:, :10]
    return 1 - float(np.mean([np.isin(a, b).mean() for a, b in zip(found, exact, strict=True)]))


@pytest.mark.parametrize("with_queries", [True, False])
def test_learns_to_rank_as_the_exact_scores_do(rng, with_queries: bool) -> None:
    """Against plain OPQ of the same size, on queries that took no part."""
    data = topics(rng, 2500)
    x, queries, new = data[:2000], data[2000:2300], data[2300:]
    settings = FrozenSettings(epochs=6, n_nearest=50, n_pseudo=1000)
    plain, _ = train_frozen(x, 4, nbits=4, settings=FrozenSettings(epochs=1, query_share=0, centroid_lr=0))
    codec, report = train_frozen(x, 4, nbits=4, queries=queries if with_queries else None, settings=settings)
    assert ranking_error(codec, x, new) < 0.97 * ranking_error(plain, x, new)
    assert report.kept == 6 and report.epochs[-1].ndcg is None  # no query is held out by default
    assert (codec.dim, codec.m, codec.nbits, codec.kind) == (32, 4, 4, "frozen")
    assert codec.provenance["report"]["n_queries"] == (300 if with_queries else 0)


def test_positives_teach_what_vectors_do_not_say(rng) -> None:
    """Queries come rotated against their documents: only judgements can tell, and the adapter learns it."""
    x = topics(rng, 800)
    turn = np.linalg.svd(np.eye(32) + 0.4 * rng.standard_normal((32, 32)))
    turn = turn[0] @ turn[2]  # the rotation nearest to a disturbed identity
    answers = rng.permutation(800)[:600]
    queries = (x[answers] @ turn).astype(np.float32)
    settings = FrozenSettings(epochs=12, adapter_lr=5e-3, label_weight=1.0, n_pseudo=300, batch_size=64)
    codec, report = train_frozen(
        x, 8, nbits=4, queries=queries[:450], positives=[[a] for a in answers[:450]], settings=settings
    )
    scores = codec.rotate_queries(queries[450:]) @ codec.decode(codec.encode(x)).T
    before = queries[450:] @ x.T

    def rank(s: np.ndarray) -> float:
        return float(np.mean((s > s[np.arange(150), answers[450:]][:, None]).sum(axis=1)))

    assert rank(scores) < 0.8 * rank(before)
    assert report.n_positives > 0


def test_equal_seeds_give_equal_bits(rng) -> None:
    x = topics(rng, 400)
    settings = FrozenSettings(epochs=2, n_pseudo=200)
    one, two, other = (train_frozen(x, 4, nbits=4, settings=settings, seed=s)[0] for s in (1, 1, 2))
    for name, array in one.arrays().items():
        np.testing.assert_array_equal(array, two.arrays()[name])
    assert not np.array_equal(one.query_centroids, other.query_centroids)


def test_codes_are_those_of_the_document_centroids(rng, tmp_path) -> None:
    from cluscomp.indexes import index_factory

    x = topics(rng, 500)
    codec, _ = train_frozen(x, 4, nbits=4, metric="cosine", settings=FrozenSettings(epochs=1, n_pseudo=200))
    codec.save(tmp_path / "codec")
    index = index_factory(f"RepCONC({tmp_path / 'codec'})", 32, "cosine").add(x)
    scores, ids = index.search(x[:5], 500)
    wanted = codec.rotate_queries(x[:5]) @ codec.decode(codec.encode(x)).T
    np.testing.assert_allclose(scores, np.take_along_axis(wanted, ids, 1), atol=1e-4)


def test_positives_of_judgements() -> None:
    qrels = {"q1": {"b": 2, "a": 1, "c": 0, "elsewhere": 1}, "q3": {"a": 1}}
    found = positives_of(qrels, ["q1", "q2"], ["a", "b", "c"])
    assert [rows.tolist() for rows in found] == [[0, 1], []]
    with pytest.raises(errors.InputError, match="2 judged queries"):
        positives_of(qrels, ["x"], ["a"])


@pytest.mark.parametrize(
    ("options", "kind", "fault"),
    [
        ({"m": 5}, errors.UsageError, "dim 32 does not split into m=5"),
        ({"metric": "l2"}, errors.UsageError, "OPQ4,PQ4"),
        ({"positives": [[0]]}, errors.UsageError, "pass queries"),
        ({"queries": np.ones((3, 16))}, errors.DimensionError, "have dim 32, query embeddings have dim 16"),
        ({"queries": np.ones((3, 32)), "positives": [[0]]}, errors.DimensionError, "3 queries, .* 1"),
        (
            {"queries": np.ones((1, 32)), "positives": [[99]]},
            errors.DimensionError,
            "99, but rows are 0 to 39",
        ),
        ({"queries": np.ones((1, 32)), "positives": [[]]}, errors.EmptyInputError, "no query has a positive"),
        ({"queries": np.full((1, 32), np.nan)}, errors.NonFiniteError, "query embeddings"),
        ({"nbits": 8}, errors.TooFewRowsError, "256"),
        ({"settings": FrozenSettings(epochs=0)}, errors.UsageError, "epochs must be .* but is 0"),
        ({"settings": FrozenSettings(label_weight=2)}, errors.UsageError, "label_weight must be .* but is 2"),
    ],
)
def test_what_cannot_work(rng, options, kind, fault) -> None:
    with pytest.raises(kind, match=fault):
        train_frozen(topics(rng, 40), **{"m": 4, "nbits": 4, **options})
