"""ProductQuantizer: codes by hand and against faiss, training, state, errors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import cluscomp.quantization.codebooks as codebooks_module
from cluscomp import errors, native
from cluscomp.clustering import assign, train_kmeans
from cluscomp.clustering import blocks as blocks_module
from cluscomp.quantization import (
    LinearTransform,
    ProductQuantizer,
    code_usage_entropy,
    random_rotation,
    unpack_codes,
)


def anisotropic(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """A mixture with unequal variances and a mean far from zero, as embeddings have."""
    scales = np.exp(-np.arange(d) / (d / 4))
    basis = np.linalg.qr(rng.normal(size=(d, d)))[0]
    centres = 2 * rng.normal(size=(20, d)) * scales
    x = centres[rng.integers(20, size=n)] + rng.normal(size=(n, d)) * scales
    return (x @ basis + 0.5).astype("f")


def error(quantizer: ProductQuantizer, x: np.ndarray) -> float:
    return float(((quantizer.decode(quantizer.encode(x)) - x) ** 2).sum(axis=1).mean())


def padded(*codewords: list[float]) -> np.ndarray:
    """A group of 16 codewords whose first ones are given; the others are far away from everything."""
    rest = [[1e3 + i] * len(codewords[0]) for i in range(16 - len(codewords))]
    return np.array([*codewords, *rest], dtype=np.float32)


def test_codes_and_asymmetric_scores_by_hand() -> None:
    # c_1 = {(1,0), (0,1)}, c_2 = {(2,0), (0,-1)}: code (1, 0) decodes to (0, 1, 2, 0) and <q, .> = 2 + 6 = 8.
    quantizer = ProductQuantizer.from_centroids([padded([1, 0], [0, 1]), padded([2, 0], [0, -1])])
    codes = quantizer.encode([[0.1, 0.9, 1.8, 0.3]])
    assert codes.tolist() == [[0x01]]  # first code in the low half of the byte
    assert quantizer.decode(codes).tolist() == [[0, 1, 2, 0]]
    query = np.array([1.0, 2, 3, 4])
    tables = [quantizer.centroids[0] @ query[:2], quantizer.centroids[1] @ query[2:]]
    assert [t[:2].tolist() for t in tables] == [[1, 2], [6, -4]]
    assert tables[0][1] + tables[1][0] == 8 == query @ quantizer.decode(codes)[0]


@pytest.mark.parametrize("nbits", [4, 6, 8])
@pytest.mark.parametrize("m", [1, 3, 8])
def test_equals_faiss_given_the_same_centroids(nbits: int, m: int, rng: np.random.Generator) -> None:
    faiss = pytest.importorskip("faiss")
    centroids = rng.normal(size=(m, 1 << nbits, 5)).astype("f")
    x = rng.normal(size=(300, 5 * m)).astype("f")
    reference = faiss.ProductQuantizer(5 * m, m, nbits)
    faiss.copy_array_to_vector(centroids.ravel(), reference.centroids)
    quantizer = ProductQuantizer.from_centroids(centroids)
    assert (quantizer.nbits, quantizer.m, quantizer.dim) == (nbits, m, 5 * m)
    assert quantizer.code_size == reference.code_size
    codes = quantizer.encode(x)
    np.testing.assert_array_equal(codes, reference.compute_codes(x))
    np.testing.assert_array_equal(quantizer.decode(codes), reference.decode(codes))
    numbers = unpack_codes(codes, m, nbits)
    np.testing.assert_array_equal(quantizer.decode(codes)[:, -5:], centroids[-1][numbers[:, -1]])


@pytest.mark.parametrize("nbits", [4, 6])
def test_training_is_kmeans_in_each_group(nbits: int, rng: np.random.Generator) -> None:
    x = rng.normal(size=(500, 6)).astype("f")
    quantizer = ProductQuantizer(6, 2, nbits, n_iter=8, seed=3).train(x)
    assert quantizer.is_trained and quantizer.centroids.shape == (2, 1 << nbits, 3)
    numbers = unpack_codes(quantizer.encode(x), 2, nbits)
    for j in range(2):
        part = np.ascontiguousarray(x[:, 3 * j : 3 * j + 3])
        direct = train_kmeans(part, 1 << nbits, n_iter=8, seed=(3, j))
        np.testing.assert_array_equal(quantizer.centroids[j], direct.centroids)
        np.testing.assert_array_equal(numbers[:, j], assign(part, direct.centroids))


def test_more_bytes_lower_the_error(rng: np.random.Generator) -> None:
    x = anisotropic(rng, 1500, 16)
    by_m = [error(ProductQuantizer(16, m, 6).train(x), x) for m in (1, 2, 4, 8, 16)]
    assert by_m == sorted(by_m, reverse=True) and by_m[-1] < 0.1 * by_m[0]
    by_bits = [error(ProductQuantizer(16, 4, nbits).train(x), x) for nbits in (4, 6, 8)]
    assert by_bits == sorted(by_bits, reverse=True)


@pytest.mark.parametrize("rotation", [None, "random"])
def test_error_is_not_above_faiss(rotation: str | None, rng: np.random.Generator) -> None:
    faiss = pytest.importorskip("faiss")
    x = anisotropic(rng, 4000, 16)
    y = x if rotation is None else random_rotation(16, 16, seed=0).apply(x)
    reference = faiss.ProductQuantizer(16, 4, 6)
    reference.train(y)
    wanted = float(((reference.decode(reference.compute_codes(y)) - y) ** 2).sum(axis=1).mean())
    assert error(ProductQuantizer(16, 4, 6, rotation=rotation).train(x), x) <= 1.02 * wanted


@pytest.mark.parametrize("rotation", ["random", "opq"])
def test_rotation_keeps_scores(rotation: str, rng: np.random.Generator) -> None:
    x, queries = anisotropic(rng, 600, 12), rng.normal(size=(5, 12)).astype("f")
    quantizer = ProductQuantizer(12, 3, 4, rotation=rotation, n_iter=5).train(x)
    assert quantizer.rotation_ is not None
    codes = quantizer.encode(x)
    inside = native.pq_decode(codes, quantizer.centroids, 4)
    scores = quantizer.rotation_.apply(queries) @ inside.T
    np.testing.assert_allclose(scores, queries @ quantizer.decode(codes).T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rotation", [None, "random", "opq"])
def test_threads_and_blocks_change_no_bit(
    rotation: str | None, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, threads: None
) -> None:
    x = anisotropic(rng, 700, 12)
    native.set_num_threads(1)
    one = ProductQuantizer(12, 4, 4, rotation=rotation, n_iter=6).train(x)
    native.set_num_threads(4)
    many = ProductQuantizer(12, 4, 4, rotation=rotation, n_iter=6).train(x)
    np.testing.assert_array_equal(one.centroids, many.centroids)
    codes = one.encode(x)
    np.testing.assert_array_equal(codes, many.encode(x))
    monkeypatch.setattr(blocks_module, "_MIN_ROWS", 1)
    monkeypatch.setattr(blocks_module, "_MAX_ROWS", 13)
    np.testing.assert_array_equal(codes, one.encode(x))
    np.testing.assert_array_equal(codes[:9], np.concatenate([one.encode(x[i : i + 1]) for i in range(9)]))


def test_half_precision_equals_its_float32_values(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    x = anisotropic(rng, 400, 8)
    for rotation in (None, "random", "opq"):
        half = torch.from_numpy(x).bfloat16()
        quantizer = ProductQuantizer(8, 2, 4, rotation=rotation).train(half)
        again = ProductQuantizer(8, 2, 4, rotation=rotation).train(half.float())
        np.testing.assert_array_equal(quantizer.centroids, again.centroids)
        np.testing.assert_array_equal(quantizer.encode(half), quantizer.encode(half.float().numpy()))
        np.testing.assert_array_equal(
            quantizer.encode(x.astype(np.float16)), quantizer.encode(x.astype(np.float16).astype("f"))
        )


def test_subsampling_says_so(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codebooks_module, "MAX_TRAIN_ROWS", 100)
    x = rng.normal(size=(150, 4)).astype("f")
    for rotation in (None, "opq"):
        with pytest.warns(errors.SubsampleWarning, match="100 of 150 rows") as caught:
            ProductQuantizer(4, 2, 4, rotation=rotation, n_iter=2).train(x)
        assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ProductQuantizer(4, 2, 4).train(x[:100])


@pytest.mark.parametrize("rotation", [None, "random", "opq"])
def test_centroids_and_rotation_are_all_that_was_trained(
    rotation: str | None, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(100, 6)).astype("f")
    quantizer = ProductQuantizer(6, 3, 4, rotation=rotation, n_iter=3, seed=5).train(x)
    again = ProductQuantizer.from_centroids(quantizer.centroids, rotation=quantizer.rotation_)
    np.testing.assert_array_equal(again.encode(x), quantizer.encode(x))
    np.testing.assert_array_equal(again.decode(again.encode(x)), quantizer.decode(quantizer.encode(x)))


def test_a_given_projection_stays(rng: np.random.Generator) -> None:
    x = rng.normal(size=(80, 6)).astype("f")
    first_four = LinearTransform(np.eye(6)[:4])
    quantizer = ProductQuantizer(6, 2, 4, rotation=first_four).train(x)
    decoded = quantizer.decode(quantizer.encode(x))
    assert decoded.shape == (80, 6) and not decoded[:, 4:].any()
    assert quantizer.rotation_ is first_four and quantizer.centroids.shape == (2, 16, 2)
    again = ProductQuantizer.from_centroids(quantizer.centroids, rotation=first_four)
    np.testing.assert_array_equal(again.encode(x), quantizer.encode(x))


def test_from_centroids_copies(rng: np.random.Generator) -> None:
    centroids = rng.normal(size=(2, 16, 3)).astype("f")
    quantizer = ProductQuantizer.from_centroids(centroids)
    centroids[:] = 0
    assert quantizer.centroids.any()


def test_usage_entropy_by_hand() -> None:
    codes = np.array([[0x10], [0x11], [0x12], [0x13]], dtype=np.uint8)  # first codes 0..3, second always 1
    assert code_usage_entropy(codes, 2, 4).tolist() == [2.0, 0.0]
    assert code_usage_entropy(codes[:0], 2, 4).tolist() == [0.0, 0.0]


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"m": 7}, errors.UsageError, "dim 24.*m=7.*6, 8"),
    ({"m": 0}, errors.UsageError, "m.*0"),
    ({"m": 2.0}, errors.UsageError, "m.*2.0"),
    ({"m": 25}, errors.UsageError, "m=25.*24"),
    ({"nbits": 5}, errors.UsageError, "4, 6, 8.*5"),
    ({"rotation": "pca"}, errors.UsageError, "'pca'.*opq"),
    ({"balance": "even"}, errors.UsageError, "'even'.*none, uniform"),
    ({"n_iter": 0}, errors.UsageError, "n_iter.*0"),
    ({"rotation": LinearTransform(np.eye(8))}, errors.DimensionError, "8.*24"),
]


@pytest.mark.parametrize(("change", "fault", "message"), BAD)
def test_bad_parameters(change: dict[str, Any], fault: type[Exception], message: str) -> None:
    with pytest.raises(fault, match=message):
        ProductQuantizer(**{"dim": 24, "m": 4, **change})


def test_bad_calls(rng: np.random.Generator) -> None:
    quantizer = ProductQuantizer(8, 2)
    x = rng.normal(size=(255, 8)).astype("f")
    for call in (quantizer.encode, quantizer.decode):
        with pytest.raises(errors.NotTrainedError, match="train"):
            call(np.zeros((1, 2), np.uint8) if call == quantizer.decode else x)
    with pytest.raises(errors.TooFewRowsError, match="at least 256 rows.*there are 255"):
        quantizer.train(x)
    with pytest.raises(errors.DimensionError, match="dim 7.*8"):
        quantizer.train(x[:, :7])
    with pytest.raises(errors.UsageError, match="32 centroids.*16, 64 or 256"):
        ProductQuantizer.from_centroids(np.zeros((2, 32, 3)))
    with pytest.raises(errors.DimensionError, match=r"\(2, 16\)"):
        ProductQuantizer.from_centroids(np.zeros((2, 16)))
    with pytest.raises(errors.DimensionError, match="5.*6"):
        ProductQuantizer.from_centroids(np.zeros((2, 16, 3)), rotation=LinearTransform(np.eye(5)))
    small = ProductQuantizer.from_centroids(rng.normal(size=(2, 16, 4)))
    with pytest.raises(errors.DimensionError, match=r"\(3, 2\).*\(n, 1\)"):
        small.decode(np.zeros((3, 2), np.uint8))
    assert small.encode(np.empty((0, 8), np.float32)).shape == (0, 1)


@pytest.mark.parametrize("rotation", [None, "opq"])
def test_uniform_balance_evens_out_the_codes(rotation: str | None, rng: np.random.Generator) -> None:
    x = anisotropic(rng, 3000, 8)
    plain = ProductQuantizer(8, 2, 4, rotation=rotation, n_iter=8).train(x)
    even = ProductQuantizer(8, 2, 4, rotation=rotation, balance="uniform", n_iter=8).train(x)
    usage = [code_usage_entropy(q.encode(x), 2, 4).mean() for q in (plain, even)]
    assert usage[1] > usage[0] + 0.02 and usage[1] > 3.8
    assert error(even, x) < 1.25 * error(plain, x)
    again = ProductQuantizer(8, 2, 4, rotation=rotation, balance="uniform", n_iter=8).train(x)
    np.testing.assert_array_equal(even.centroids, again.centroids)
