"""The CUDA kernels without a GPU: cpp_ext/tests/cuda_emulated.cpp compiled for the host and called on CPU tensors.

block.h runs the threads of every phase as loops, forwards or backwards, with shared memory full of NaN: index
arithmetic, phases and bounds are really run. What only a GPU can show is left out: its scheduling, its tensor
cores' rounding, its speed.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "cpp_ext"


def compile_emulation(folder: Path) -> ctypes.CDLL:
    source = SOURCES / "tests" / "cuda_emulated.cpp"
    if not source.is_file():
        pytest.skip("the C++ sources are not beside these tests")
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler (c++, g++ or $CXX) for the emulated CUDA kernels")
    library = folder / "cuda_emulated.so"
    flags = ["-std=c++20", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]
    flags += shlex.split(os.environ.get("CXXFLAGS", ""))  # sanitizers: see CONTRIBUTING.md
    subprocess.run([compiler, *flags, f"-I{SOURCES}/include", "-x", "c++", source, "-o", library], check=True)
    return ctypes.CDLL(str(library))


class EmulatedKernels:
    """The functions of the module `_cuda`, for CPU tensors; the stream is ignored."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def run_backwards(self, yes: bool) -> None:
        self._library.run_backwards(int(yes))

    def prepared_bytes(self, *shape: int) -> int:
        return self._size("prepared_bytes", shape)

    def scratch_bytes(self, *shape: int) -> int:
        return self._size("scratch_bytes", shape)

    def column_scratch_bytes(self, *shape: int) -> int:
        return self._size("column_scratch_bytes", shape)

    def prepare(self, centroids: Any, mean: Any, l2: bool, prepared: Any, stream: int) -> None:
        n_groups, k, d = centroids.shape
        self._call("prepare", centroids, mean, k, d, n_groups, l2, prepared)

    def assign(
        self,
        x: Any,
        centroids: Any,
        mean: Any,
        l2: bool,
        prepared: Any,
        scratch: Any,
        labels: Any,
        scores: Any,
        stream: int,
    ) -> None:
        n_groups, k, d = centroids.shape
        shape = (x.shape[0], k, d, n_groups)
        assert scratch.numel() == self.scratch_bytes(*shape) and x.shape[1] == n_groups * d
        self._call("assign", x, _type(x), centroids, mean, *shape, l2, prepared, scratch, labels, scores)

    def pack_codes(self, labels: Any, nbits: int, codes: Any, stream: int) -> None:
        self._call("pack_codes", labels, *labels.shape, nbits, codes)

    def sum_rows(
        self, x: Any, order: Any, start: Any, weights: Any, rounders: Any, sums: Any, stream: int
    ) -> None:
        self._call("sum_rows", x, _type(x), x.shape[1], order, start, sums.shape[0], weights, rounders, sums)

    def row_logs(self, cost: Any, shift: Any, scale: float, logs: Any, stream: int) -> None:
        self._call("row_logs", cost, *cost.shape, shift, scale, logs)

    def column_logs(self, cost: Any, shift: Any, scale: float, scratch: Any, logs: Any, stream: int) -> None:
        self._call("column_logs", cost, *cost.shape, shift, scale, scratch, logs)

    def _size(self, name: str, shape: tuple[int, ...]) -> int:
        function = self._library[f"emulated_{name}"]
        function.restype = ctypes.c_int64
        return int(function(*map(ctypes.c_int64, shape)))

    def _call(self, name: str, *arguments: Any) -> None:
        function = self._library[f"emulated_{name}"]
        function.restype = None
        function(*map(_argument, arguments))


def _argument(value: Any) -> Any:
    if value is None:
        return ctypes.c_void_p(None)
    if isinstance(value, float):
        return ctypes.c_double(value)
    if isinstance(value, int):
        return ctypes.c_int64(value)
    assert value.is_contiguous() and value.device.type == "cpu"
    return ctypes.c_void_p(value.data_ptr())


def _type(x: Any) -> int:
    return ["torch.float32", "torch.float16", "torch.bfloat16"].index(str(x.dtype))
