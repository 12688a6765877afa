"""ScalarQuantizer8: by hand, against faiss, bounds and errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluscomp import errors
from cluscomp.quantization import ScalarQuantizer8


def test_by_hand() -> None:
    quantizer = ScalarQuantizer8(2).train([[0.0, 5.0], [255.0, 5.0]])
    assert quantizer.vmin.tolist() == [0, 5] and quantizer.vdiff.tolist() == [255, 0]
    codes = quantizer.encode([[0.0, 5.0], [1.0, 5.0], [1.9, 4.0], [255.0, 5.0], [-3.0, 9.0], [999.0, 0.0]])
    assert codes.tolist() == [[0, 0], [1, 0], [1, 0], [255, 0], [0, 0], [255, 0]]
    assert quantizer.decode(codes)[:2].tolist() == [[0.5, 5.0], [1.5, 5.0]]


def test_equals_faiss(rng: np.random.Generator) -> None:
    faiss = pytest.importorskip("faiss")
    x = rng.normal(size=(400, 13)).astype("f")
    x[:, 4] = 2.5
    reference = faiss.ScalarQuantizer(13, faiss.ScalarQuantizer.QT_8bit)
    reference.train(x)
    quantizer = ScalarQuantizer8(13).train(x)
    wanted = reference.compute_codes(x)
    codes = quantizer.encode(x)
    assert (codes != wanted).mean() < 1e-3  # the last bit of a division may differ
    np.testing.assert_allclose(quantizer.decode(wanted), reference.decode(wanted), rtol=1e-6, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 30),
    d=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
    offset=st.sampled_from([0, 100]),
)
def test_error_is_at_most_one_step(n: int, d: int, seed: int, offset: int) -> None:
    x = (np.random.default_rng(seed).normal(size=(n, d)) + offset).astype("f")
    quantizer = ScalarQuantizer8(d).train(x)
    error = np.abs(quantizer.decode(quantizer.encode(x)) - x)
    assert (error <= quantizer.vdiff / 255 * 1.001 + 1e-5 * (1 + offset)).all()


def test_from_ranges(rng: np.random.Generator) -> None:
    x = rng.normal(size=(20, 3)).astype("f")
    quantizer = ScalarQuantizer8(3).train(x)
    again = ScalarQuantizer8.from_ranges(quantizer.vmin, quantizer.vdiff)
    np.testing.assert_array_equal(again.encode(x), quantizer.encode(x))
    with pytest.raises(errors.DimensionError, match=r"\(2,\) and \(3,\)"):
        ScalarQuantizer8.from_ranges(quantizer.vmin[:2], quantizer.vdiff)


def test_errors(rng: np.random.Generator) -> None:
    with pytest.raises(errors.UsageError, match="0"):
        ScalarQuantizer8(0)
    quantizer = ScalarQuantizer8(3)
    assert not quantizer.is_trained
    with pytest.raises(errors.NotTrainedError, match="train"):
        quantizer.encode(np.zeros((1, 3)))
    quantizer.train(rng.normal(size=(4, 3)))
    with pytest.raises(errors.DimensionError, match="dim 2.*3"):
        quantizer.encode(np.zeros((1, 2)))
    with pytest.raises(errors.DTypeError, match="int64"):
        quantizer.decode(np.zeros((1, 3), np.int64))
    with pytest.raises(errors.DimensionError, match=r"\(1, 4\)"):
        quantizer.decode(np.zeros((1, 4), np.uint8))
    assert quantizer.encode(np.empty((0, 3), np.float32)).shape == (0, 3)
