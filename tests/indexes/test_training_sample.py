"""Training on a sample says so."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from cluscomp.errors import SubsampleWarning
from cluscomp.indexes import index_factory


def test_training_on_a_sample_says_so() -> None:
    x = np.random.default_rng(0).normal(size=(65_600, 4)).astype("f4")
    index = index_factory("PQ2x4", 4)
    with pytest.warns(SubsampleWarning, match="65536 of 65600 rows"):
        index.train(x)
    assert index.settings["training_rows"] == 65_536


def test_a_key_that_learns_nothing_has_no_sample_to_speak_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", SubsampleWarning)
        index_factory("Flat", 2).train(np.ones((65_600, 2), "f4"))
