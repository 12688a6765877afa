"""OPQ: monotone alternation, error against faiss and against the plain quantizer, projection, progress."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cluscomp import errors, native
from cluscomp.quantization import LinearTransform, ProductQuantizer, random_rotation, train_opq, train_pca
from cluscomp.quantization.codebooks import train_codebooks
from cluscomp.quantization.rotation import opq_step


def correlated(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Rows whose dimensions are strongly correlated and far from the origin: a plain quantizer does badly."""
    mixing = rng.normal(size=(d, d)) * np.exp(-np.arange(d) / (d / 6))[:, None]
    return (rng.normal(size=(n, d)) @ mixing + 3).astype("f")


def error(transform: LinearTransform, codebooks: np.ndarray, nbits: int, x: np.ndarray) -> float:
    codes = native.pq_encode(transform.apply(x), codebooks, nbits)
    decoded = transform.inverse(native.pq_decode(codes, codebooks, nbits))
    return float(((decoded - x) ** 2).sum(axis=1).mean())


def faiss_error(x: np.ndarray, m: int, nbits: int, n_iter: int, d_out: int | None = None) -> float:
    """Error of faiss's OPQMatrix followed by its ProductQuantizer, at the same number of alternations."""
    faiss = pytest.importorskip("faiss")
    faiss.omp_set_num_threads(1)
    d_out = x.shape[1] if d_out is None else d_out
    matrix = faiss.OPQMatrix(x.shape[1], m, d_out)
    matrix.niter = n_iter
    matrix.pq = faiss.ProductQuantizer(d_out, m, nbits)
    matrix.train(x)
    y = matrix.apply(x)
    quantizer = faiss.ProductQuantizer(d_out, m, nbits)
    quantizer.cp.niter = n_iter
    quantizer.train(y)
    decoded = matrix.reverse_transform(quantizer.decode(quantizer.compute_codes(y)))
    return float(((decoded - x) ** 2).sum(axis=1).mean())


def test_error_never_rises_from_step_to_step(rng: np.random.Generator) -> None:
    x = correlated(rng, 800, 12)
    x -= x.mean(axis=0)
    matrix = random_rotation(12, 12, seed=1).matrix.astype(np.float64)
    codebooks = train_codebooks(x @ matrix.T.astype("f"), 3, 4, n_iter=1, seed=0)
    history = []
    for _ in range(25):
        matrix, codebooks, step_error = opq_step(x, matrix, codebooks)
        history.append(step_error)
    assert (np.diff(history) <= 1e-5 * history[0]).all()
    assert history[-1] < 0.9 * history[0]
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(12), atol=1e-10)


def test_error_is_far_below_the_plain_quantizer(rng: np.random.Generator) -> None:
    x = correlated(rng, 2000, 16)
    plain = ProductQuantizer(16, 4, 6).train(x)
    learned = ProductQuantizer(16, 4, 6, rotation="opq").train(x)
    errors_ = [float(((q.decode(q.encode(x)) - x) ** 2).sum()) for q in (plain, learned)]
    assert errors_[1] < 0.8 * errors_[0]


@pytest.mark.parametrize(("m", "nbits"), [(4, 4), (4, 6), (8, 4)])
def test_error_is_not_above_faiss(m: int, nbits: int, rng: np.random.Generator) -> None:
    x = correlated(rng, 3000, 16)
    assert error(*train_opq(x, m, nbits, n_iter=20), nbits, x) <= faiss_error(x, m, nbits, 20)


def test_projection_is_not_above_pca_before_a_quantizer(rng: np.random.Generator) -> None:
    x = correlated(rng, 2000, 20)
    transform, codebooks = train_opq(x, 4, 6, d_out=12, n_iter=15)
    assert transform.matrix.shape == (12, 20) and codebooks.shape == (4, 64, 3)
    pca = train_pca(x, 12)
    plain = ProductQuantizer(12, 4, 6, n_iter=15).train(pca.apply(x))
    assert error(transform, codebooks, 6, x) < 0.95 * error(pca, plain.centroids, 6, x)


@pytest.mark.parametrize("d_out", [384, 96])
def test_real_vectors_err_less_than_with_faiss(d_out: int, shared_data: Path) -> None:
    x = np.load(shared_data / "scifact" / "minilm" / "docs.npy")[:1200].astype("f")
    ours = error(*train_opq(x, 24, 4, d_out=d_out, n_iter=5), 4, x)
    assert ours < 0.97 * faiss_error(x, 24, 4, 5, d_out=d_out)


def test_codebooks_are_means_of_uncentred_rows(rng: np.random.Generator) -> None:
    x = correlated(rng, 1500, 8)
    transform, codebooks = train_opq(x, 2, 4, n_iter=40)
    np.testing.assert_allclose(transform.matrix @ transform.matrix.T, np.eye(8), atol=1e-5)
    decoded = transform.inverse(
        native.pq_decode(native.pq_encode(transform.apply(x), codebooks, 4), codebooks, 4)
    )
    np.testing.assert_allclose(decoded.mean(axis=0), x.mean(axis=0), atol=0.02 * float(x.std()))


@pytest.mark.parametrize("fault", ["constant", "one direction", "equal rows"])
def test_degenerate_rows_are_harmless(fault: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(64, 8)).astype("f")
    if fault == "constant":
        x[:, 2:6] = 1.0
    elif fault == "one direction":
        x = x[:, :1] * np.ones((1, 8), np.float32)
    else:
        x[:] = 2.0
    transform, codebooks = train_opq(x, 4, 4, n_iter=5)
    assert np.isfinite(transform.matrix).all() and np.isfinite(codebooks).all()
    assert error(transform, codebooks, 4, x) <= float(x.var(axis=0).sum()) + 1e-6


def test_progress_ends_at_its_total(rng: np.random.Generator) -> None:
    seen: list[tuple[int, int]] = []
    train_opq(
        rng.normal(size=(100, 4)), 2, 4, n_iter=3, progress=lambda _, done, total: seen.append((done, total))
    )
    assert seen[-1][0] == seen[-1][1] == 100 * 2 * 2 * 3
    parts: list[float] = []
    ProductQuantizer(4, 2, 4, n_iter=3).train(
        rng.normal(size=(100, 4)), progress=lambda _, done, total: parts.append(done / total)
    )
    assert parts[-1] == 1.0 and parts == sorted(parts)


def test_errors(rng: np.random.Generator) -> None:
    x = rng.normal(size=(100, 8)).astype("f")
    with pytest.raises(errors.UsageError, match="8 to 9"):
        train_opq(x, 3, 4, d_out=9)
    with pytest.raises(errors.UsageError, match="dim 6.*m=4"):
        train_opq(x, 4, 4, d_out=6)
    with pytest.raises(errors.UsageError, match="n_iter"):
        train_opq(x, 4, 4, n_iter=0)
    with pytest.raises(errors.TooFewRowsError, match="256 rows.*100"):
        train_opq(x, 4, 8)
