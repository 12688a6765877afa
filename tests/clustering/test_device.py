"""Assignment of CUDA tensors: against the CPU where there is a GPU, a typed error where there is none."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import cluscomp as cc
from cluscomp import native
from cluscomp.clustering.device import assign_on_device
from cluscomp.errors import UsageError


@pytest.mark.skipif(native.cuda_available(), reason="a CUDA device is here")
def test_without_a_device_the_error_says_why():
    tensor = SimpleNamespace(device="cuda:0", shape=(2, 3))
    with pytest.raises(UsageError, match=r"pass x\.cpu\(\)"):
        assign_on_device(tensor, np.zeros((1, 3)), "l2")


@pytest.mark.skipif(not native.cuda_available(), reason=f"no CUDA: {native.cuda_reason()}")
@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("n,k,d", [(1, 1, 1), (1000, 300, 77), (129, 65, 384)])
def test_equals_the_cpu(rng, metric, n, k, d):
    torch = pytest.importorskip("torch")
    x, c = rng.normal(size=(n, d)).astype("f4"), rng.normal(size=(k, d)).astype("f4")
    labels, scores = cc.assign(torch.from_numpy(x).cuda(), c, metric=metric, return_scores=True)
    want, want_scores = cc.assign(x, c, metric=metric, return_scores=True)
    assert (labels.cpu().numpy() == want).mean() > 0.999
    np.testing.assert_allclose(scores.cpu().numpy(), want_scores, rtol=1e-4, atol=1e-4)
