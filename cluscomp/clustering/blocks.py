"""Row blocks: how long loops stay interruptible and report progress.

Progress is reported between calls of kernels. Native kernels check for Ctrl-C. NumPy only does between calls,
so its work is split into blocks, sized by work, not by rows. LAPACK never does, so it runs in a worker thread
(`answering_signals`). Results never depend on blocks: kernels add and compare in row order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import numpy as np

from cluscomp.arrays import iter_blocks

T = TypeVar("T")

_PRODUCTS_PER_BLOCK = 1 << 33  # multiply-adds of one call: about 0.1-0.3 s on two cores
_VALUES_PER_BLOCK = 1 << 23  # of rows: 32 MB each time NumPy makes a float32 copy of a block
_MIN_ROWS, _MAX_ROWS = 512, 65_536


def block_rows(dim: int, n_clusters: int) -> int:
    """Rows of one kernel call that compares each row of length `dim` with `n_clusters` centroids."""
    most = min(_MAX_ROWS, _VALUES_PER_BLOCK // dim)
    return max(_MIN_ROWS, min(most, _PRODUCTS_PER_BLOCK // (dim * n_clusters)))


def take_rows(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Copy of the given rows of x in its own dtype; ascending `rows` read a memory map front to back."""
    taken = np.empty((rows.shape[0], x.shape[1]), dtype=x.dtype)
    for block in iter_blocks(rows.shape[0], block_rows(x.shape[1], 1)):
        taken[block] = x[rows[block]]
    return taken


def subtracted(x: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Float32 rows (n, d) less one float64 row (d,), each rounded once to float32."""
    shifted = np.empty_like(x)
    for block in iter_blocks(x.shape[0], block_rows(x.shape[1], 1)):
        shifted[block] = x[block] - row
    return shifted


def answering_signals(compute: Callable[[], T]) -> T:
    """compute(), on a thread of its own while this one answers Ctrl-C: for LAPACK, which nothing stops.

    After KeyboardInterrupt the thread goes on until LAPACK returns, and what it found is dropped; it keeps no
    process from ending.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(compute())
        except BaseException as exc:  # noqa: BLE001 - raised again where the result is awaited
            done.set_exception(exc)

    thread = threading.Thread(target=run, name="lapack", daemon=True)
    thread.start()
    return done.result()
