"""Rows in GPU memory for the loop of lloyd.py: labels, scores, sums and centroids stay on the device.

Each step gives the bits of the CPU's step: labels and scores are decided in the same float64 sums, centroid
sums are exact, means divided and rounded alike. What torch computes of norms (cosine,
and under ip the order in which rows are taken for empty clusters) may differ in the last bit of float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.clustering.blocks import take_rows
from cluscomp.clustering.device import (
    assign_device_rows,
    device_norms,
    device_points,
    device_units,
    is_cuda_tensor,
    on_host,
    stream_of,
    take_device_rows,
)
from cluscomp.clustering.lloyd import WeightedRows, relocate_empty
from cluscomp.progress import Ticker
from cluscomp.vocabulary import Metric


class DeviceRows(WeightedRows):
    """Rows of a torch CUDA tensor (n, d) that has passed `as_device_rows`; results are tensors beside it.

    mass: (n,) float64 sample weights on the host, or None for all one. Norms and weights are on the host,
    too: starts and empty clusters need them there.
    """

    def __init__(self, x: Any, metric: Metric, mass: np.ndarray | None = None) -> None:
        super().__init__(x, metric, mass)
        self._device_norms = self._put(self.norms)
        self._device_pull = self._put(self.pull)

    def _put(self, values: np.ndarray | None) -> Any:
        import torch

        return None if values is None else torch.as_tensor(values, device=self.x.device)

    def _row_norms(self) -> np.ndarray:
        norms: np.ndarray = on_host(device_norms(self.x)).numpy()
        return norms

    def assign(self, centroids: Any, hints: Any, ticker: Ticker | None) -> tuple[Any, Any]:
        """Labels (n,) int32 and scores (n,) float32; hints are not used."""
        points = device_points(centroids, self.x)
        return assign_device_rows(self.x, points, self.metric, norms=self._device_norms, ticker=ticker)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Copy (m, d) float32 of the given rows on the host."""
        taken: np.ndarray = on_host(take_device_rows(self.x, rows).float()).numpy()
        return taken

    def same_labels(self, a: Any, b: Any) -> bool:
        """Whether two results of `assign` name the same clusters; waits for the device."""
        return bool((a == b).all())

    def _largest(self, block: slice) -> tuple[np.ndarray, np.ndarray]:
        rows = self.x[block].double().abs()
        pulled = rows if self._device_pull is None else rows * self._device_pull[block, None]
        return on_host(rows.amax(dim=0)).numpy(), on_host(pulled.amax(dim=0)).numpy()

    def objective(self, scores: Any, centroids: Any) -> float:
        """As on the CPU, of scores copied there: its bits decide when the loop ends."""
        points: np.ndarray = on_host(device_points(centroids, self.x)).numpy()
        return super().objective(on_host(scores).numpy(), points)

    def update(self, labels: Any, scores: Any, centroids: Any) -> Any:
        """Centroids (k, d) float32; only where clusters are empty do labels and scores go to the host."""
        import torch

        points = device_points(centroids, self.x)
        sums, counts = sum_by_label(self.x, labels, points.shape[0], self.rounders, self._device_pull)
        if bool((counts == 0).any()):
            host = [on_host(values).numpy() for values in (labels, scores, sums, counts)]
            relocate_empty(self, *host)
            sums, counts = self._put(host[2]), self._put(host[3])
        if self.metric == "cosine":
            means = device_units(sums)
            kept = ~means.any(dim=1)
        else:
            kept = counts == 0
            means = sums / counts.where(~kept, 1.0)[:, None]
        return torch.where(kept[:, None], points, means.to(torch.float32))


def rows_anywhere(
    x: Any, metric: Metric, mass: np.ndarray | None, picked: np.ndarray | None = None
) -> WeightedRows:
    """All rows of x, or the picked ones (m,), where x is; x has passed `as_rows_anywhere`."""
    kind, take = (DeviceRows, take_device_rows) if is_cuda_tensor(x) else (WeightedRows, take_rows)
    if picked is None:
        return kind(x, metric, mass)
    return kind(take(x, picked), metric, None if mass is None else mass[picked])


def sum_by_label(x: Any, labels: Any, k: int, rounders: np.ndarray, weights: Any = None) -> tuple[Any, Any]:
    """Weighted sums (k, d) float64 of the rows x (n, d) by label (n,), and the sums (k,) of their weights.

    rounders: (d + 1,) of `WeightedRows`. weights: (n,) float64, or None for all one. The bits are those of
    the CPU's `accumulate`.
    """
    import torch

    ranked, order = torch.sort(labels, stable=True)
    start = torch.searchsorted(ranked, torch.arange(k + 1, dtype=ranked.dtype, device=x.device))

    units = torch.as_tensor(rounders, device=x.device)

    def total(rows: Any, units: Any) -> Any:
        sums = torch.zeros((k, rows.shape[1]), dtype=torch.float64, device=x.device)
        with stream_of(x) as stream:
            native.cuda_kernels().sum_rows(rows, order, start, weights, units, sums, stream)
        return sums

    if weights is None:
        return total(x, units[:-1]), start.diff().to(torch.float64)
    ones = torch.ones((x.shape[0], 1), device=x.device)
    return total(x, units[:-1]), total(ones, units[-1:])[:, 0]
