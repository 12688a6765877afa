"""What rows cost: distances to their centroids and errors of their codes, of a sample of each add.

A segment keeps the figures of its rows, the trained state those of the rows that it learned from, so that
`health` can tell later whether rows still are what was trained for. The sample depends on the numbers of
the rows alone, so that blocks and threads do not matter; figures are kept with six digits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cluscomp.indexes.stages.codec import Codec, Codes
from cluscomp.indexes.stages.ivf import Ivf

MOST_ROWS = 4096
"""Rows of an add whose figures are kept, at most."""
FEWEST_ROWS = 256  # of an add of more than so many
_SHARE = 64  # one of so many rows, between the two: decoding more would be felt in the time of the add
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: multiples of it are spread evenly
QUANTILES = (0.5, 0.9, 0.99)


class Coding(Protocol):
    """What is read of a pipeline."""

    partition: Ivf | None
    codec: Codec

    @property
    def uses_residuals(self) -> bool: ...


@dataclass(frozen=True)
class Figures:
    """Of n rows behind the transforms. squares: (n,) squared lengths. costs: (n,) squared distances to the
    centroids of their lists, None without lists. errors: (n, groups) squared errors of their codes in each
    sub-space of the codec, None for codes whose errors do not depend on what was learned.
    """

    squares: np.ndarray
    costs: np.ndarray | None
    errors: np.ndarray | None


def figures_of(pipeline: Coding, projected: np.ndarray, labels: np.ndarray | None, codes: Codes) -> Figures:
    """Figures of rows behind the transforms, in their lists (n,), with these plain codes."""
    rows, costs, errors = projected, None, None
    if labels is not None and pipeline.partition is not None:
        residuals = pipeline.partition.residuals(projected, labels)
        costs = _squares(residuals)
        rows = residuals if pipeline.uses_residuals else projected
    if pipeline.codec.can_drift:
        lost = (rows - pipeline.codec.decode(codes)).reshape(len(rows), pipeline.codec.groups, -1)
        errors = np.einsum("ngd,ngd->ng", lost, lost)
    return Figures(_squares(projected), costs, errors)


class Tally:
    """Figures of a sample of rows that come in order, block by block."""

    def __init__(self, pipeline: Coding) -> None:
        self._pipeline, self._n = pipeline, 0
        self._keys: list[np.ndarray] = []
        self._figures: list[Figures] = []

    def take(self, projected: np.ndarray, labels: np.ndarray | None, codes: Codes) -> None:
        """Look at the next rows, as they were encoded."""
        if labels is None and not self._pipeline.codec.can_drift:
            return  # nothing was learned that they could cost more by
        keys = np.arange(self._n, self._n + len(projected), dtype=np.uint64) * _GOLDEN
        self._n += len(projected)
        rows = np.flatnonzero(_is_picked(keys, self._n))
        if rows.size:
            picked = {name: np.ascontiguousarray(array[rows]) for name, array in codes.items()}
            lists = None if labels is None else labels[rows]
            self._keys.append(keys[rows])
            self._figures.append(figures_of(self._pipeline, projected[rows], lists, picked))

    def statistics(self) -> dict[str, Any]:
        """JSON values about all rows so far; empty where there were none."""
        if not self._keys:
            return {}
        # Rows were looked at while more of them were wanted than of all rows now.
        chosen = _is_picked(np.concatenate(self._keys), self._n)
        return {"rows": self._n, **summary(_chosen(self._figures, chosen))}


def summary(figures: Figures) -> dict[str, Any]:
    """JSON values: "sampled" rows, mean "square", "cost" (mean and quantiles), "error", and "errors" by
    sub-space.
    """
    found: dict[str, Any] = {"sampled": len(figures.squares), "square": _mean_of(figures.squares)}
    if figures.costs is not None:
        at = zip(QUANTILES, np.quantile(figures.costs, QUANTILES), strict=True)
        found["cost"] = {"mean": _mean_of(figures.costs)} | {f"p{100 * q:g}": _short(cost) for q, cost in at}
    if figures.errors is not None:
        errors = figures.errors.mean(axis=0, dtype=np.float64)
        found["error"] = _short(errors.sum())
        if len(errors) > 1:
            found["errors"] = [_short(value) for value in errors]
    return found


def combined(statistics: Sequence[Mapping[str, Any]], left: Sequence[int] | None = None) -> dict[str, Any]:
    """Figures of the rows of several segments together, by their means; quantiles cannot be combined.

    left: vectors that each segment still has, None for all. Segments without figures do not count; empty
    where none has any.
    """
    rows_left = [one.get("rows", 0) for one in statistics] if left is None else left
    known = [
        {**one, "rows": n} for one, n in zip(statistics, rows_left, strict=True) if one.get("rows") and n
    ]
    if len(known) == 1:
        return dict(known[0])
    if not known:
        return {}
    rows = np.array([one["rows"] for one in known], dtype=np.float64)
    found: dict[str, Any] = {name: int(sum(one[name] for one in known)) for name in ("rows", "sampled")}
    found["square"] = _short(_mean(rows, [one["square"] for one in known]))
    if all("cost" in one for one in known):
        found["cost"] = {"mean": _short(_mean(rows, [one["cost"]["mean"] for one in known]))}
    if all("error" in one for one in known):
        found["error"] = _short(_mean(rows, [one["error"] for one in known]))
    if len({len(one.get("errors", ())) for one in known}) == 1 and "errors" in known[0]:
        columns = zip(*(one["errors"] for one in known), strict=True)
        found["errors"] = [_short(_mean(rows, column)) for column in columns]
    return found


def are_figures(value: Mapping[str, Any]) -> bool:
    """Whether JSON values of a file are such as this module makes, as far as anybody calculates with them."""
    numbers = [value.get(name, 0.0) for name in ("square", "error")]
    cost, errors, lists = value.get("cost", {"mean": 0.0}), value.get("errors", []), value.get("lists", {})
    if not (isinstance(cost, dict) and isinstance(errors, list) and isinstance(lists, dict)):
        return False
    groups = lists.get("groups", [])
    counts = [value.get(name, 1) for name in ("rows", "sampled", "trained_on")] + [lists.get("rows", 1)]
    numbers += [cost.get("mean"), *errors, lists.get("cv", 0.0)]
    return (
        all(_is_number(number) for number in numbers)
        and all(type(count) is int and 0 < count < 2**62 for count in counts)
        and isinstance(groups, list)
        and all(type(count) is int and 0 <= count < 2**62 for count in groups)
        and ("rows" not in value or {"sampled", "square"} <= value.keys())
        and (not lists or {"rows", "groups", "cv"} <= lists.keys())
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


def _is_picked(keys: np.ndarray, n: int) -> np.ndarray:
    """Which rows with these keys belong to the sample of the first n; that of more rows is never denser."""
    if n <= FEWEST_ROWS:
        return np.ones(len(keys), dtype=bool)
    limit = min(max((FEWEST_ROWS << 64) // n, (1 << 64) // _SHARE), (MOST_ROWS << 64) // n)
    return keys < np.uint64(limit)


def _chosen(parts: Sequence[Figures], chosen: np.ndarray) -> Figures:
    costs = [part.costs for part in parts if part.costs is not None]
    errors = [part.errors for part in parts if part.errors is not None]
    return Figures(
        np.concatenate([part.squares for part in parts])[chosen],
        np.concatenate(costs)[chosen] if costs else None,
        np.concatenate(errors)[chosen] if errors else None,
    )


def _squares(rows: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", rows, rows)


def _mean_of(values: np.ndarray) -> float:
    return _short(values.mean(dtype=np.float64))


def _mean(weights: np.ndarray, values: Any) -> float:
    return float(np.average(np.array(list(values), dtype=np.float64), weights=weights))


def _short(value: Any) -> float:
    """Six digits: sums of another processor differ behind them."""
    return float(f"{float(value):.6g}")
