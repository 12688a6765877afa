"""Rows rotated, projected and scaled to length one by kernels with one order of sums, against NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.arrays import normalize_rows
from cluscomp.bench.harness import OURS, Case, Measured, Verdict, Work
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench, contenders

BASELINES = ("numpy",)
DIMS = (384, 96)  # a rotation, and a projection
N_QUERIES = 1000
TOLERANCE = 1e-6
"""By which values of unit vectors may differ: some units in the last place of float32."""


def plans(settings: Settings) -> list[Plan]:
    """100 000 rows to 384 and to 96 dimensions, 1000 rows one at a time, and 100 000 rows normalised."""
    n = settings.rows(100_000, 4_000)
    sizes = [(n, d_out, n) for d_out in DIMS] + [(N_QUERIES, d_out, 1) for d_out in DIMS]
    lengths = f"n={n} d=384, to length one"
    return [
        *(Plan(_name(*size), partial(_rotate, *size)) for size in sizes),
        Plan(lengths, partial(_normalize, n, lengths)),
    ]


def _name(n: int, d_out: int, at_once: int) -> str:
    return f"n={n} d=384 to {d_out}, " + ("at once" if at_once == n else f"{at_once} at a time")


def _rotate(n: int, d_out: int, at_once: int, bench: Workbench) -> list[Measured]:
    rows = bench.data.embeddings(n)
    x = rows.x
    random = np.random.default_rng(bench.settings.seed).standard_normal((x.shape[1], d_out))
    matrix = np.linalg.qr(random)[0]
    packed = native.packed_matrix(matrix)
    wide, made = x.astype(np.float64), np.empty((n, d_out))
    case = Case(
        name=_name(n, d_out, at_once),
        data=rows.name,
        contenders=contenders(
            bench.settings,
            lambda: in_steps(packed.multiply, x, np.empty((n, d_out), dtype=np.float32), at_once),
            {"numpy": lambda _: lambda: in_steps(lambda part: part @ matrix, wide, made, at_once)},
        ),
        check=lambda found: check_rows(found, x[:64].astype(np.float64) @ matrix),
        work=Work(flops=2.0 * x.size * d_out),
        notes=("numpy: rows that are float64 already, and stay so",),
    )
    return bench.measure(case)


def _normalize(n: int, name: str, bench: Workbench) -> list[Measured]:
    rows = bench.data.embeddings(n)
    x = rows.x * np.float32(3)
    case = Case(
        name=name,
        data=rows.name,
        contenders=contenders(
            bench.settings, lambda: normalize_rows(x), {"numpy": lambda _: partial(numpy_unit_rows, x)}
        ),
        check=lambda found: check_rows(found, numpy_unit_rows(x[:64])),
        work=Work(bytes=2.0 * x.nbytes),
    )
    return bench.measure(case)


def in_steps(
    multiply: Callable[[np.ndarray], np.ndarray], x: np.ndarray, out: np.ndarray, at_once: int
) -> np.ndarray:
    """The products of all rows, of `at_once` a call."""
    for start in range(0, len(x), at_once):
        out[start : start + at_once] = multiply(x[start : start + at_once])
    return out


def numpy_unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows over their lengths in float64, as float32."""
    wide = x.astype(np.float64)
    unit: np.ndarray = (wide / np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]).astype(np.float32)
    return unit


def check_rows(found: Mapping[str, Any], want: np.ndarray) -> Verdict:
    """The first rows are those of float64, and all are those of every baseline."""
    ours = found[OURS]
    apart = {"float64": float(np.abs(ours[: len(want)] - want).max())}
    apart |= {name: float(np.abs(ours - rows).max()) for name, rows in found.items() if name != OURS}
    detail = ", ".join(f"{value:.1e} from {name}" for name, value in apart.items())
    passed = all(value <= TOLERANCE for value in apart.values())
    return Verdict(passed, f"largest difference {detail} (at most {TOLERANCE:g})")
