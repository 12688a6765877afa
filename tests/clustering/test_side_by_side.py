"""Trainings on threads of their own: the same results, progress from the caller's thread, errors passed on."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from cluscomp import native
from cluscomp.clustering.side_by_side import side_by_side
from cluscomp.progress import Ticker
from cluscomp.quantization.codebooks import refine_codebooks, train_codebooks
from cluscomp.quantization.rotation import opq_step


@pytest.mark.parametrize("budget", [1, 2, 5])
def test_every_training_runs_once_and_all_rows_are_counted(threads, budget):
    native.set_num_threads(budget)
    seen, reports, caller = [], [], set()

    def train(j, ticker):
        for _ in range(3):
            ticker.advance(10)
        seen.append(j)

    def progress(_, done, total):
        reports.append((done, total))
        caller.add(threading.get_ident())

    side_by_side(train, 7, Ticker(progress, "train", 210))
    assert sorted(seen) == list(range(7))
    assert reports[-1] == (210, 210) and reports == sorted(reports)
    assert caller == {threading.get_ident()}


def test_an_error_is_raised_and_ends_the_others(threads):
    native.set_num_threads(2)
    started, finished = threading.Event(), []

    def train(j, ticker):
        if j == 0:
            started.wait(10)
            raise ValueError("training 0")
        started.set()
        for _ in range(10_000):
            time.sleep(0.001)
            ticker.advance(1)
        finished.append(j)

    with pytest.raises(ValueError, match="training 0"):
        side_by_side(train, 6, None)
    assert not finished


def test_an_interrupt_in_the_callback_ends_the_trainings(threads):
    native.set_num_threads(2)
    finished = []

    def train(j, ticker):
        for _ in range(10_000):
            time.sleep(0.001)
            ticker.advance(1)
        finished.append(j)

    def progress(_, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side(train, 4, Ticker(progress, "train", 40_000))
    assert not finished


def test_codebooks_and_rotations_have_the_same_bits_for_any_budget(threads, rng):
    x = (rng.normal(size=(900, 24)) * np.linspace(0.5, 2, 24)).astype("f4")
    matrix = np.linalg.qr(rng.normal(size=(24, 24)))[0]
    results = []
    for budget in (1, 2, 4):
        native.set_num_threads(budget)
        books = train_codebooks(x, 3, 4, n_iter=6, seed=1)
        step = opq_step(x, matrix, books)
        results.append([books, refine_codebooks(x, books[:, ::-1].copy(), n_iter=2), *step])
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(ours, theirs)
