"""Where the CUDA kernels run in tests: emulated on the host, and on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cuda_emulation import EmulatedKernels, compile_emulation

from cluscomp import native
from cluscomp.clustering import device


@pytest.fixture(scope="session")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> EmulatedKernels:
    return EmulatedKernels(compile_emulation(tmp_path_factory.mktemp("emulation")))


@pytest.fixture(params=["forwards", "backwards", "gpu"])
def put(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    """Moves an array to the device under test: a GPU, or the host with the threads of each phase in either order.

    With emulated kernels every torch tensor counts as one on the device; what is for the CPU must be NumPy's.
    """
    torch = pytest.importorskip("torch")
    if request.param == "gpu":
        if not native.cuda_available():
            pytest.skip(f"no CUDA: {native.cuda_reason()}")
        return lambda a: torch.as_tensor(a).cuda()
    kernels = request.getfixturevalue("emulated")
    kernels.run_backwards(request.param == "backwards")
    monkeypatch.setattr(native, "cuda_kernels", lambda: kernels)
    monkeypatch.setattr(device, "_DEVICE", "cpu")
    return lambda a: torch.as_tensor(a).clone()
