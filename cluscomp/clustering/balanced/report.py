"""How even clusters are."""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.arrays import as_numbers
from cluscomp.errors import InputError


def balance_report(labels: Any, n_clusters: int, *, probes: Any = None) -> dict[str, float | int]:
    """Say how even clusters are.

    Args:
        labels: (n,) integers in [0, n_clusters).
        n_clusters: number of clusters, empty ones included.
        probes: (queries, clusters) that queries visit, all rows of each being read; None leaves them out.

    Returns:
        JSON values: n, n_clusters, mean, min, max; cv (standard deviation over mean), max_over_mean, empty
        (clusters without rows), above_4x_mean (clusters of more than 4 times the mean), p1, p50, p90, p99
        (percentiles of the sizes), and expected_scan (rows of the cluster of a random row, over the mean: 1
        for equal clusters). Ratios are 0 without rows. With probes also scanned_mean, scanned_p50 and
        scanned_p99, rows a query.

    Raises:
        UsageError: n_clusters is no positive integer.
        InputError: labels or probes are no clusters.
    """
    n_clusters = checks.integer("n_clusters", n_clusters, 1)
    numbers = as_numbers(labels, name="labels")
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise InputError(
            f"labels must be one integer a row, but have shape {numbers.shape} and dtype {numbers.dtype}"
        )
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < n_clusters):
        raise InputError(f"labels lie between {numbers.min()} and {numbers.max()}, outside [0, {n_clusters})")
    sizes = np.bincount(numbers.astype(np.int64), minlength=n_clusters)
    return size_report(sizes) | (
        {} if probes is None else _scan_report(sizes, as_numbers(probes, name="probes"))
    )


def scanned_rows(sizes: np.ndarray, probes: np.ndarray) -> np.ndarray:
    """Rows (queries,) read by queries that visit the clusters `probes` (queries, visits)."""
    rows: np.ndarray = sizes[probes].sum(axis=1)
    return rows


def _scan_report(sizes: np.ndarray, probes: np.ndarray) -> dict[str, float | int]:
    if probes.ndim != 2 or probes.dtype.kind not in "iu" or not probes.size:
        raise InputError(
            f"probes must be the clusters of one query a row, but have shape {probes.shape} and dtype "
            f"{probes.dtype}"
        )
    if probes.min() < 0 or probes.max() >= sizes.size:
        raise InputError(f"probes lie between {probes.min()} and {probes.max()}, outside [0, {sizes.size})")
    rows = scanned_rows(sizes, probes)
    return {
        "scanned_mean": float(rows.mean()),
        "scanned_p50": float(np.percentile(rows, 50)),
        "scanned_p99": float(np.percentile(rows, 99)),
    }


def size_report(sizes: np.ndarray) -> dict[str, float | int]:
    """`balance_report` from the sizes (k,) themselves."""
    n, mean = int(sizes.sum()), float(sizes.mean())
    divisor = mean or 1.0
    report: dict[str, float | int] = {
        "n": n,
        "n_clusters": int(sizes.size),
        "mean": mean,
        "min": int(sizes.min()),
        "max": int(sizes.max()),
        "cv": float(sizes.std() / divisor),
        "max_over_mean": float(sizes.max() / divisor),
        "empty": int((sizes == 0).sum()),
        "above_4x_mean": int((sizes > 4 * mean).sum()),
        "expected_scan": float((sizes.astype(np.float64) ** 2).sum() / (n or 1) / divisor),
    }
    for share in (1, 50, 90, 99):
        report[f"p{share}"] = float(np.percentile(sizes, share))
    return report
