"""CUDA kernels against the CPU's, bit for bit: on a GPU where there is one, and emulated on the host in any case."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import cluscomp as cc
from cluscomp import native
from cluscomp.clustering import device
from cluscomp.clustering.assign import assign_rows
from cluscomp.errors import DimensionError, DTypeError, EmptyInputError, NonFiniteError, UsageError

torch = pytest.importorskip("torch")

SHAPES = [
    (1, 1, 1),
    (3, 2, 17),
    (200, 300, 77),
    (129, 128, 64),
    (128, 129, 130),
    (130, 5, 384),
    (40, 700, 65),
]


def equals_the_cpu(put, x, c, metric="l2"):
    """Below the gates of both, so that values may be larger than these allow."""
    rows = put(x)
    labels, scores = device.assign_device_rows(rows, device.device_points(c, rows), metric)
    host = x.float().numpy() if hasattr(x, "numpy") else x
    want, want_scores = assign_rows(host, c, metric)
    np.testing.assert_array_equal(labels.cpu().numpy(), want)
    if metric == "cosine":
        np.testing.assert_allclose(scores.cpu().numpy(), want_scores, rtol=1e-6, atol=1e-7)
    else:
        np.testing.assert_array_equal(scores.cpu().numpy(), want_scores)


@pytest.mark.skipif(native.cuda_available(), reason="a CUDA device is here")
def test_without_a_device_the_error_says_why():
    tensor = SimpleNamespace(device="cuda:0", shape=(2, 3))
    with pytest.raises(UsageError, match=r"cuda:0, but CUDA kernels cannot run here: .*: x\.cpu\(\)"):
        device.assign_on_device(tensor, np.zeros((1, 3)), "l2")


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize(("n", "k", "d"), SHAPES)
def test_labels_and_scores_are_the_cpus(put, rng, metric, n, k, d):
    equals_the_cpu(put, rng.normal(size=(n, d)).astype("f4"), rng.normal(size=(k, d)).astype("f4"), metric)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_rows(put, rng, dtype):
    x = torch.from_numpy(rng.normal(size=(70, 33)).astype("f4")).to(getattr(torch, dtype))
    x[:3] *= 1e-6  # subnormal in float16
    equals_the_cpu(put, x, rng.normal(size=(40, 33)).astype("f4"))


def hostile(rng, case):
    x, c = rng.normal(size=(140, 50)), rng.normal(size=(200, 50))
    match case:
        case "offset":
            x, c = x + 1e4, c + 1e4
        case "outlier dimension":
            x[:, 3] *= 100
            c[:, 3] *= 100
        case "outlier centroid":
            c[7] *= 1e6
        case "duplicates":
            c[100:] = c[:100]
            x[:50] = c[50:100]
        case "all equal":
            c[:] = c[0]
        case "zeros":
            x[:70], c[5:9] = 0, 0
        case "constant rows":
            x[:] = np.arange(140)[:, None]
        case "subnormal":
            x, c = x * 1e-39, c * 1e-39
        case "huge":
            x, c = x * 1e30, c * 1e30
        case "near the largest float":
            x, c = np.sign(x) * 3e38, np.sign(c) * 3e38
    return x.astype("f4"), c.astype("f4")


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize(
    "case",
    ["offset", "outlier dimension", "outlier centroid", "duplicates", "all equal", "zeros", "constant rows",
     "subnormal", "huge", "near the largest float"],
)  # fmt: skip
def test_hostile_values(put, rng, metric, case):
    equals_the_cpu(put, *hostile(rng, case), metric)


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("k", [1, 5])
def test_centred_rows_that_overflow(put, rng, metric, k):
    """Padding must not become a label where bounds are infinite or NaN."""
    signs = np.sign(rng.normal(size=(40, 50)))
    x, c = np.where(signs > 0, 3e38, 1.0), np.full((k, 50), -3e38)
    equals_the_cpu(put, x.astype("f4"), c.astype("f4"), metric)


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_inner_products_below_the_rounding_of_the_mean(put, rng, scale):
    """Rows orthogonal to the mean, or zero: all that differs are roundings of <c, mean>; the CPU's ties hold."""
    c = np.repeat(rng.normal(size=(1, 96)) * 1e6, 300, axis=0).astype("f4")
    c[:, 0] = rng.choice([0, 1e-3, 2e-3], size=300) * scale
    x = np.zeros((60, 96), "f4")
    x[10:, 1], x[10:, 2] = c[0, 2], -c[0, 1]
    x[30:, 0] = rng.normal(size=30) * 1e-3
    equals_the_cpu(put, x, c, "ip")


def test_squares_that_vanish_in_float32(put, rng):
    x, c = (rng.normal(size=(n, 50)).astype("f4") * np.float32(1e-22) for n in (140, 200))
    labels, _ = device.assign_on_device(put(x), c, "l2")
    truth = ((x[:, None].astype("f8") - c[None]) ** 2).sum(-1).argmin(1)
    np.testing.assert_array_equal(labels.cpu().numpy(), truth)


def test_blocks_of_rows_change_nothing(put, rng, monkeypatch):
    monkeypatch.setattr(device, "_SCRATCH_BYTES", 1 << 14)
    equals_the_cpu(put, rng.normal(size=(301, 20)).astype("f4"), rng.normal(size=(9, 20)).astype("f4"))


def test_the_filter_leaves_few_pairs_open(emulated, rng):
    """Bounds too loose would be right and slow: the rest must lie below the best on nearly all rows."""
    n, k, d = 128, 512, 96
    x, c = (torch.from_numpy(rng.normal(size=s).astype("f4")) for s in ((n, d), (k, d)))
    mean, prepared = c.mean(0, keepdim=True), torch.empty(emulated.prepared_bytes(k, d, 1), dtype=torch.uint8)
    scratch = torch.zeros(emulated.scratch_bytes(n, k, d, 1), dtype=torch.uint8)
    labels, scores = torch.empty((n, 1), dtype=torch.int32), torch.empty((n, 1))
    emulated.prepare(c[None], mean, True, prepared, 0)
    emulated.assign(x, c[None], mean, True, prepared, scratch, labels, scores, 0)
    at = n * (d * 2 + 8)
    bounds = scratch[at : at + n * 20].view(torch.float32).reshape(n, 5)
    best = ((x - mean) ** 2).sum(1) / 2 - scores[:, 0] / 2
    assert (bounds[:, 0] >= best - 1e-4).all(), "a bound below what it bounds"
    assert (bounds[:, 4] < best).float().mean() > 0.9


@pytest.mark.parametrize(("nbits", "m", "width"), [(8, 6, 8), (4, 5, 4), (6, 5, 3), (6, 4, 17)])
def test_codes_are_the_cpus(put, rng, nbits, m, width):
    x, books = (
        rng.normal(size=(150, m * width)).astype("f4"),
        rng.normal(size=(m, 1 << nbits, width)).astype("f4"),
    )
    codes = device.encode_on_device(put(x), books, nbits)
    np.testing.assert_array_equal(codes.cpu().numpy(), native.pq_encode(x, books, nbits))


def test_codes_behind_a_rotation(put, rng):
    x = rng.normal(size=(600, 16)).astype("f4")
    quantizer = cc.ProductQuantizer(16, 4, 4, rotation="random", n_iter=2).train(x)
    codes = device.encode_on_device(put(x), quantizer.centroids, 4, quantizer.rotation_.matrix)
    assert (codes.cpu().numpy() == quantizer.encode(x)).mean() > 0.999


@pytest.mark.parametrize(
    ("x", "c", "error"),
    [
        (np.zeros((3, 2), "f4"), np.zeros((1, 3), "f4"), DimensionError),
        (np.zeros((3, 2), "f8"), np.zeros((1, 2), "f4"), DTypeError),
        (np.zeros((3, 2), "f4"), np.zeros((0, 2), "f4"), EmptyInputError),
        (np.array([[0, 1], [np.nan, 0]], "f4"), np.zeros((1, 2), "f4"), NonFiniteError),
        (np.zeros((3, 2), "f4"), np.array([[0, np.inf]], "f4"), NonFiniteError),
    ],
)
def test_bad_input(put, x, c, error):
    with pytest.raises(error):
        device.assign_on_device(put(x), c, "l2")


def test_no_rows(put):
    labels, scores = device.assign_on_device(put(np.zeros((0, 4), "f4")), np.ones((2, 4), "f4"), "l2")
    assert labels.shape == scores.shape == (0,)
