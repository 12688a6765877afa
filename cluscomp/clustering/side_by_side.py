"""Trains many small k-means problems concurrently, one per thread: one is too small to occupy all threads.

Every training keeps its kernels on its own thread (native.one_thread); its result is that of a run by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from cluscomp import native
from cluscomp.progress import Ticker

_SECONDS = 0.2  # between reports of progress; Ctrl-C is answered as fast


class _Stopped(Exception):
    """Ends the trainings that still run after one has failed or the caller was interrupted."""


def side_by_side(train: Callable[[int, Ticker], None], count: int, ticker: Ticker | None) -> None:
    """Call train(j, ticker of j) for each j in range(count), as many at a time as the thread budget allows.

    train must tell its ticker about its rows at least once a second; they are passed on to `ticker` from the
    caller's thread. The first exception of a training is raised again, after the others have ended.
    """
    if native.get_num_threads() == 1 or count == 1:
        for j in range(count):
            train(j, ticker or Ticker(None, "train", 0))
        return
    counter = _Counter()
    with ThreadPoolExecutor(min(count, native.get_num_threads()), thread_name_prefix="train") as pool:
        try:
            _watch([pool.submit(_run, train, j, counter) for j in range(count)], counter, ticker)
        except BaseException:
            counter.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Counter(Ticker):
    """Rows finished by all trainings, counted under a lock; raises in them once they have to stop."""

    def __init__(self) -> None:
        super().__init__(None, "train", 0)
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self._rows = 0

    def advance(self, rows: int) -> None:
        if self.stop.is_set():
            raise _Stopped
        with self._lock:
            self._rows += rows

    def take(self) -> int:
        """Rows since the last call."""
        with self._lock:
            rows, self._rows = self._rows, 0
        return rows


def _run(train: Callable[[int, Ticker], None], j: int, counter: _Counter) -> None:
    with native.one_thread():
        train(j, counter)


def _watch(running: list[Future[None]], counter: _Counter, ticker: Ticker | None) -> None:
    left = set(running)
    while left:
        done, left = wait(left, timeout=_SECONDS, return_when=FIRST_EXCEPTION)
        rows = counter.take()
        if ticker is not None and rows:
            ticker.advance(rows)
        for future in done:
            future.result()
