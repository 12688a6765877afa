"""Entropic transport with costs in GPU memory: what problem.py does on the host, for the same loop.

Costs are read once for the rows and once for the columns of an iteration, and no second n x k matrix is
made. Exponents, powers and sums are float64 in a fixed order: the same bits in every run. Only vectors of
the columns leave the device, once an iteration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.clustering.device import on_host, row_blocks, stream_of
from cluscomp.clustering.transport.problem import Problem, RowExponents

_LN2 = float(np.log(2.0))


@dataclass(frozen=True, eq=False)
class DeviceCosts:
    """Costs (n, k), a contiguous float32 tensor in GPU memory."""

    values: Any

    @property
    def n(self) -> int:
        """Rows."""
        return int(self.values.shape[0])

    @property
    def k(self) -> int:
        """Real columns."""
        return int(self.values.shape[1])

    def row_logs(self, shift: Any, scale: float) -> Any:
        """log2 sum_j 2^(shift_j - scale * cost_ij), (n,) float64; shift: (k,)."""
        logs = self.values.new_empty(self.n, dtype=shift.dtype)
        with stream_of(self.values) as stream:
            native.cuda_kernels().row_logs(self.values, shift, scale, logs, stream)
        return logs

    def column_logs(self, shift: Any, scale: float) -> Any:
        """log2 sum_i 2^(shift_i - scale * cost_ij), (k,) float64; shift: (n,)."""
        import torch

        kernels = native.cuda_kernels()
        logs = self.values.new_empty(self.k, dtype=shift.dtype)
        scratch = self.values.new_empty(kernels.column_scratch_bytes(self.n, self.k), dtype=torch.uint8)
        with stream_of(self.values) as stream:
            kernels.column_logs(self.values, shift, scale, scratch, logs, stream)
        return logs


@dataclass(frozen=True, eq=False)
class DeviceProblem(Problem):
    """costs: DeviceCosts. row_mass and row_offset, which is zero, are kept beside the costs."""

    def __post_init__(self) -> None:
        for name in ("row_mass", "row_offset"):
            object.__setattr__(self, name, self.place(getattr(self, name)))

    def rows(self) -> RowExponents:
        """Exponents of the rows, zero at first."""
        return _DeviceRows(self)

    def row_step(self, g: np.ndarray) -> Any:
        """Row exponents (n,) that give rows their masses, or pull them there, for column exponents g."""
        shift, k = self.place(g + self.lift), self.costs.k
        total = self.costs.row_logs(shift[:k], self.scale)
        if shift.shape[0] > k:  # the virtual column: costs of zero
            total = total.logaddexp2(shift[k])
        return self.row_power * (self.row_mass.log2() - total)

    def labels(self, g: np.ndarray) -> Any:
        """Real column (n,) int32 of the largest entry of each row, ties to the lowest."""
        import torch

        shift = self.place(g + self.lift)[: self.costs.k]
        labels = torch.empty(self.costs.n, dtype=torch.int32, device=shift.device)
        for block in row_blocks(self.costs.values):
            labels[block] = (shift - self.scale * self.costs.values[block].double()).argmax(1).int()
        return labels

    def counts(self, labels: Any) -> np.ndarray:
        """How often each real column occurs (k,) int64, over all processes."""
        return super().counts(on_host(labels).numpy())

    def place(self, values: np.ndarray) -> Any:
        """An array of the host as a tensor beside the costs."""
        import torch

        return torch.as_tensor(values, device=self.costs.values.device)

    def entries(self, g: np.ndarray) -> Any:
        """The plan (n, columns) float64, recomputed from column exponents."""
        shift, k = self.place(g + self.lift), self.costs.k
        entries = self.row_step(g)[:, None] + shift
        entries[:, :k].sub_(self.costs.values, alpha=self.scale)
        return entries.exp2_()


class _DeviceRows:
    """Row exponents (n,) float64 as they are: in the log domain nothing over- or underflows."""

    def __init__(self, problem: DeviceProblem) -> None:
        self._problem = problem
        self._exponents = -problem.row_offset

    def sweep(self, g: np.ndarray) -> np.ndarray:
        self._exponents = self._problem.row_step(g)
        return self.column_sums(-(g + self._problem.lift))

    def column_max(self) -> np.ndarray:
        return self._column_logs()

    def column_sums(self, most: np.ndarray) -> np.ndarray:
        sums: np.ndarray = np.exp2(self._column_logs() - most)
        return sums

    def exponents(self) -> Any:
        return self._exponents

    def _column_logs(self) -> np.ndarray:
        """log2 of the sum over rows of 2^(row_i - scale * cost_ij) for all columns."""
        import torch

        p = self._problem
        logs = p.costs.column_logs(self._exponents, p.scale)
        if p.lift.size > p.costs.k:
            logs = torch.cat([logs, (self._exponents * _LN2).logsumexp(0, keepdim=True) / _LN2])
        found: np.ndarray = on_host(logs).numpy()
        return found
