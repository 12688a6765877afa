"""Codes of a product quantizer with given codebooks, against faiss ProductQuantizer.compute_codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from cluscomp.bench.assign import TORCH_BLOCK
from cluscomp.bench.checks import nearest
from cluscomp.bench.harness import OURS, Case, Measured, Verdict, Work
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench, contenders
from cluscomp.quantization import ProductQuantizer

BASELINES = ("faiss", "torch")
M, NBITS = 48, 8
NEAR_TIE = 1e-6
"""Two codewords whose squared distances to a part of a unit vector differ by less count as equally near."""

_SAMPLE = 64


def plans(settings: Settings) -> list[Plan]:
    """100 000 rows, 48 codes of 8 bits."""
    n = settings.rows(100_000, 4_000)
    return [Plan(_name(n), partial(_run, n))]


def _name(n: int) -> str:
    return f"n={n} d=384 m={M} {NBITS}-bit"


def _run(n: int, bench: Workbench) -> list[Measured]:
    rows = bench.data.embeddings(n)
    x = rows.x
    steps = bench.settings.pick(8, 2)
    quantizer = ProductQuantizer(x.shape[1], M, NBITS, n_iter=steps, seed=bench.settings.seed)
    quantizer.train(x[: bench.settings.pick(65_536, 2_048)])
    codebooks = quantizer.centroids
    case = Case(
        name=_name(n),
        data=rows.name,
        contenders=contenders(
            bench.settings,
            lambda: quantizer.encode(x),
            {
                "faiss": lambda m: faiss_encode(m, x, codebooks),
                "torch": lambda m: torch_encode(m, x, codebooks),
            },
        ),
        check=partial(check_codes, x, codebooks),
        work=Work(flops=2.0 * x.size * (1 << NBITS)),
        notes=(f"codebooks: {steps} k-means steps, the same for all",),
    )
    return bench.measure(case)


def check_codes(x: np.ndarray, codebooks: np.ndarray, codes: Mapping[str, np.ndarray]) -> Verdict:
    """Our codewords are the nearest in float64, on a sample of rows and wherever a baseline chose another."""
    ours = codes[OURS]
    sample = np.linspace(0, x.shape[0] - 1, min(_SAMPLE, x.shape[0])).astype(np.int64)
    parts = np.split(x[sample], codebooks.shape[0], axis=1)
    true = np.stack([nearest(part, words) for part, words in zip(parts, codebooks, strict=True)], axis=1)
    wrong = _farther(x[sample], codebooks, ours[sample], true)[1]
    details = [f"{wrong} of {true.size} sampled codes not nearest"]
    for name, theirs in codes.items():
        if name != OURS:
            differ, farther = _farther(x, codebooks, ours, theirs)
            details.append(f"{differ} of {ours.size} codes differ from {name}'s, {farther} of them farther")
            wrong += farther
    return Verdict(wrong == 0, f"{'; '.join(details)} (tie: within {NEAR_TIE:g})")


def _farther(x: np.ndarray, codebooks: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> tuple[int, int]:
    """Number of codes that differ, and of those for which our codeword is farther."""
    row, group = np.nonzero(ours != theirs)
    excess = _distances(x, codebooks, row, group, ours) - _distances(x, codebooks, row, group, theirs)
    return row.size, int(np.count_nonzero(excess > NEAR_TIE))


def _distances(
    x: np.ndarray, codebooks: np.ndarray, row: np.ndarray, group: np.ndarray, codes: np.ndarray
) -> np.ndarray:
    """Squared distance in float64 of the sub-vectors (row, group) to the codewords that `codes` names."""
    parts = x.reshape(x.shape[0], codebooks.shape[0], -1)[row, group].astype(np.float64)
    difference = parts - codebooks[group, codes[row, group]]
    return np.einsum("ij,ij->i", difference, difference)


def faiss_encode(faiss: ModuleType, x: np.ndarray, codebooks: np.ndarray) -> Callable[[], np.ndarray]:
    """ProductQuantizer.compute_codes with our codebooks."""
    quantizer = faiss_quantizer(faiss, codebooks)
    return lambda: np.asarray(quantizer.compute_codes(x))


def faiss_quantizer(faiss: ModuleType, codebooks: np.ndarray) -> Any:
    """A faiss ProductQuantizer that holds codebooks (m, 2**nbits, width)."""
    m, size, width = codebooks.shape
    quantizer = faiss.ProductQuantizer(m * width, m, size.bit_length() - 1)
    faiss.copy_array_to_vector(np.ascontiguousarray(codebooks).ravel(), quantizer.centroids)
    return quantizer


def torch_encode(torch: ModuleType, x: Any, codebooks: np.ndarray) -> Callable[[], Any]:
    """One batched matrix product a block of rows, and the largest."""
    m, _, width = codebooks.shape
    rows = torch.as_tensor(x)
    words = torch.as_tensor(codebooks, device=rows.device)
    half = (-(words * words).sum(2) / 2)[:, None, :]
    blocks = rows.view(-1, m, width).split(TORCH_BLOCK)

    def run() -> Any:
        found = [torch.baddbmm(half, b.transpose(0, 1), words.transpose(1, 2)).argmax(2).T for b in blocks]
        return torch.cat(found).to(torch.uint8)

    return run
