"""Thread budget, forks, instruction-set choice, CUDA's absence."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from cluscomp import native
from cluscomp.errors import UsageError


def test_thread_budget(threads):
    native.set_num_threads(3)
    assert native.get_num_threads() == 3
    with pytest.raises(UsageError, match="at least 1"):
        native.set_num_threads(0)


def test_an_unknown_level_names_the_known_ones():
    with pytest.raises(UsageError, match="scalar"):
        native.set_simd_level("sse9")


@pytest.mark.parametrize("level_name", native.available_simd_levels())
def test_environment_forces_a_level(level_name):
    code = "from cluscomp import native; print(native.simd_level(), native.get_num_threads())"
    env = {**os.environ, "CLUSCOMP_SIMD": level_name, "CLUSCOMP_NUM_THREADS": "3"}
    out = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    ).stdout
    assert out.split() == [level_name, "3"]


def test_kernels_run_from_many_python_threads_at_once(rng):
    x, c = rng.normal(size=(5000, 32)).astype("f4"), rng.normal(size=(64, 32)).astype("f4")
    assigner = native.Assigner(c)
    want = assigner.assign(x)[0]
    results: list[np.ndarray] = []
    workers = [threading.Thread(target=lambda: results.append(assigner.assign(x)[0])) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 8
    for labels in results:
        np.testing.assert_array_equal(labels, want)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kernels_run_in_a_forked_child(rng):
    """The child has none of the parent's workers; it must start its own instead of waiting for ever."""
    x, c = rng.normal(size=(5000, 32)).astype("f4"), rng.normal(size=(64, 32)).astype("f4")
    want = native.Assigner(c).assign(x)[0]
    pid = os.fork()
    if pid == 0:
        os._exit(0 if np.array_equal(native.Assigner(c).assign(x)[0], want) else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_cuda_says_why_not():
    assert native.cuda_available() == (native.cuda_reason() == "")
