"""The two steps of Sinkhorn's algorithm in the log domain, on torch CUDA tensors.

    row step     f[i] = epsilon * (log a[i] - logsumexp_j (g[j] - cost[i, j]) / epsilon)
    column step  g[j] = epsilon * (log b[j] - logsumexp_i (f[i] - cost[i, j]) / epsilon)

The plan exp((f[i] + g[j] - cost[i, j]) / epsilon) has row sums a after a row step, column sums b after a
column step. Costs are read once a step and no second n x k matrix is made; float64 sums in a fixed order
give the same bits in every run. Source: Peyre and Cuturi, "Computational optimal transport" (2019), section
4.4.
"""

from __future__ import annotations

from typing import Any

from cluscomp import native
from cluscomp.clustering.device import stream_of
from cluscomp.errors import DimensionError, DTypeError, UsageError


def row_step(cost: Any, col_potential: Any, row_mass: Any, epsilon: float) -> Any:
    """Row potentials (n,) float64.

    cost: (n, k) contiguous float32 tensor. col_potential: (k,) float64. row_mass: (n,) float64, not negative;
    a row of mass 0 gets -inf and takes no part. epsilon > 0, in units of the cost.
    Raises UsageError, DimensionError, DTypeError.
    """
    import torch

    _check(cost, col_potential, row_mass, 1, epsilon)
    f = torch.empty(cost.shape[0], dtype=torch.float64, device=cost.device)
    with stream_of(cost) as stream:
        native.cuda_kernels().row_step(cost, col_potential, row_mass.log(), epsilon, f, stream)
    return f


def column_step(cost: Any, row_potential: Any, col_mass: Any, epsilon: float) -> Any:
    """Column potentials (k,) float64 from row potentials (n,); otherwise as `row_step`."""
    import torch

    _check(cost, row_potential, col_mass, 0, epsilon)
    kernels = native.cuda_kernels()
    g = torch.empty(cost.shape[1], dtype=torch.float64, device=cost.device)
    size = kernels.column_scratch_bytes(*cost.shape)
    scratch = torch.empty(size, dtype=torch.uint8, device=cost.device)
    with stream_of(cost) as stream:
        kernels.column_step(cost, row_potential, col_mass.log(), epsilon, scratch, g, stream)
    return g


def _check(cost: Any, potential: Any, mass: Any, axis: int, epsilon: float) -> None:
    import torch

    if not epsilon > 0:
        raise UsageError(f"epsilon must be above 0, but is {epsilon!r}")
    if cost.ndim != 2 or cost.dtype != torch.float32:
        raise DTypeError(f"cost has shape {tuple(cost.shape)} and dtype {cost.dtype}; pass (n, k) float32")
    shapes = (tuple(potential.shape), tuple(mass.shape))
    wanted = ((cost.shape[axis],), (cost.shape[1 - axis],))
    if shapes != wanted:
        raise DimensionError(
            f"potential and mass have shapes {shapes}, but {wanted} are needed for this cost"
        )
