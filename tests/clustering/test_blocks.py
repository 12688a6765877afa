"""Blocks bounded by work and by values; LAPACK beside the caller's thread."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from cluscomp.clustering.blocks import answering_signals, block_rows, subtracted, take_rows
from cluscomp.progress import Ticker


def test_a_block_is_bounded_by_its_products_and_by_its_values() -> None:
    assert block_rows(8, 1) == 65_536
    assert block_rows(4096, 1) * 4096 <= 1 << 23
    assert block_rows(384, 65_536) == 512
    assert block_rows(1 << 30, 1) == 512


def test_rows_and_differences_equal_numpy(rng: np.random.Generator) -> None:
    x = rng.normal(size=(5000, 7)).astype(np.float32)
    order, row = rng.permutation(5000), rng.normal(size=7)
    np.testing.assert_array_equal(take_rows(x, order), x[order])
    np.testing.assert_array_equal(subtracted(x, row), (x - row).astype(np.float32))


def test_a_part_of_the_work_tells_the_ticker_of_the_whole() -> None:
    seen: list[tuple[str, int, int]] = []
    ticker = Ticker(lambda stage, done, total: seen.append((stage, done, total)), "rows", 10)
    for _ in range(2):
        part = ticker.as_progress()
        part("inner", 1, 4)
        part("inner", 4, 4)
    assert seen == [("rows", 1, 10), ("rows", 4, 10), ("rows", 5, 10), ("rows", 8, 10)]


def test_what_runs_beside_hands_over_its_result_or_its_error() -> None:
    assert answering_signals(threading.current_thread) is not threading.current_thread()
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        answering_signals(lambda: np.linalg.inv(np.zeros((2, 2))))
