"""Assignment of torch tensors that live in GPU memory; results stay there."""

from __future__ import annotations

from typing import Any

from cluscomp import native
from cluscomp.clustering.metrics import Metric
from cluscomp.errors import DimensionError, NonFiniteError, UsageError

_BLOCK_VALUES = 1 << 28  # float32 values of one converted block: 1 GiB of GPU memory


def is_cuda_tensor(x: Any) -> bool:
    """True for a torch tensor in GPU memory; does not import torch."""
    return type(x).__module__.startswith("torch") and x.device.type == "cuda"


def assign_on_device(x: Any, centroids: Any, metric: Metric) -> tuple[Any, Any]:
    """Nearest centroid of each row of a torch CUDA tensor, on torch's current stream.

    x: (n, d) float32, float16 or bfloat16. centroids: (k, d), on any device.
    Returns labels (n,) int32 and scores (n,) float32 on the device of x, as `cluscomp.assign` defines them;
    computed in float32, so labels equal the CPU's up to pairs whose float32 scores tie.
    Raises UsageError where CUDA kernels cannot run, DimensionError, NonFiniteError.
    """
    if not native.cuda_available():
        raise UsageError(
            f"x is a torch tensor on {x.device}, but CUDA kernels cannot run here: {native.cuda_reason()}; "
            "pass x.cpu()"
        )
    import torch

    points = torch.as_tensor(centroids, device=x.device, dtype=torch.float32).contiguous()
    _check(x, points)
    if metric == "cosine":
        points = torch.nn.functional.normalize(points, dim=1)
    labels = torch.empty(x.shape[0], dtype=torch.int32, device=x.device)
    scores = torch.empty(x.shape[0], dtype=torch.float32, device=x.device)
    step = max(1, _BLOCK_VALUES // x.shape[1])
    for start in range(0, x.shape[0], step):
        block = x[start : start + step].to(torch.float32).contiguous()
        _require_finite("x", block, start)
        found = native.cuda_assign(block, points, "l2" if metric == "l2" else "ip")
        labels[start : start + step], scores[start : start + step] = found
        if metric == "cosine":
            norms = torch.linalg.vector_norm(block, dim=1)
            scores[start : start + step] /= torch.where(norms > 0, norms, 1.0)
    return labels, scores


def _check(x: Any, points: Any) -> None:
    if x.ndim != 2 or points.ndim != 2 or x.shape[1] != points.shape[1]:
        raise DimensionError(
            f"x has shape {tuple(x.shape)} and centroids have shape {tuple(points.shape)}; "
            "both must be matrices of one dim"
        )
    _require_finite("centroids", points, 0)


def _require_finite(name: str, rows: Any, first_row: int) -> None:
    bad = (~rows.isfinite().all(dim=1)).nonzero()
    if len(bad):
        row = first_row + int(bad[0])
        raise NonFiniteError(f"{name}: row {row} holds NaN or infinity; drop or repair it")
