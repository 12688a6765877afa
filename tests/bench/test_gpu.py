"""Cases on a GPU: on one where there is one, and with emulated kernels in any case. Times are not looked at."""

from __future__ import annotations

import pytest
from cuda_emulation import EmulatedKernels, compile_emulation

from cluscomp import native
from cluscomp.bench import gpu
from cluscomp.bench.run import run_benchmarks
from cluscomp.bench.settings import Settings
from cluscomp.clustering import device
from cluscomp.errors import UsageError

torch = pytest.importorskip("torch")


@pytest.fixture(params=["emulated", "gpu"])
def kernels(request, monkeypatch, tmp_path):
    monkeypatch.setenv("CLUSCOMP_SHARED_DATA", str(tmp_path))
    if request.param == "gpu":
        if not native.cuda_available():
            pytest.skip(f"no CUDA: {native.cuda_reason()}")
        return
    emulated = EmulatedKernels(compile_emulation(tmp_path))
    monkeypatch.setattr(native, "cuda_kernels", lambda: emulated)
    monkeypatch.setattr(device, "_DEVICE", "cpu")
    monkeypatch.setattr(gpu, "DEVICE", "cpu")


@pytest.mark.parametrize("case", ["k=37 d=128", "kmeans", "pq-encode", "sinkhorn"])
def test_case(kernels, case):
    report = run_benchmarks(["gpu"], Settings(("torch",), threads=1, repeat=1, quick=True, n=300, only=case))
    assert report.passed, report.checks()
    ours, theirs = report.rows
    assert (ours.contender, theirs.contender) == ("cluscomp", "torch") and theirs.ratio > 0
    assert (ours.peak_share is None) == (case == "sinkhorn") and "bfloat16" in ours.note


@pytest.mark.skipif(native.cuda_available(), reason="a CUDA device is here")
def test_without_a_gpu_the_error_says_why():
    with pytest.raises(UsageError, match=r"CUDA kernels cannot run here: .*"):
        run_benchmarks(["gpu"], Settings())
