"""Exact late-interaction scores of some queries with all documents, against torch and a loop in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from cluscomp.bench.harness import OURS, Case, Measured, Verdict, Work
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench, contenders
from cluscomp.multivector.maxsim import maxsim

BASELINES = ("torch", "numpy")
TOKENS = (240, 16)  # of a document: as encoded, and pooled
QUERY_TOKENS = 32
TORCH_BLOCK = 4096  # token vectors whose products with all query vectors are held at once
SCORE_TOLERANCE = 1e-4


def plans(settings: Settings) -> list[Plan]:
    """240 000 token vectors in documents of 240 and of 16, 10 queries and one."""
    n = settings.rows(240_000, 4_800)
    sizes = [(n // tokens, tokens, queries) for tokens in TOKENS for queries in (1, 10)]
    return [Plan(_name(*size), partial(_run, *size)) for size in sizes]


def _name(documents: int, tokens: int, queries: int) -> str:
    return f"{documents} documents of {tokens} vectors, {queries} queries of {QUERY_TOKENS}"


def _run(documents: int, tokens: int, queries: int, bench: Workbench) -> list[Measured]:
    rows, asked = bench.data.base_and_queries(documents * tokens, queries * QUERY_TOKENS)
    lengths, query_lengths = np.full(documents, tokens), np.full(queries, QUERY_TOKENS)
    case = Case(
        name=_name(documents, tokens, queries),
        data=rows.name,
        contenders=contenders(
            bench.settings,
            lambda: maxsim(asked, query_lengths, rows.x, lengths),
            {
                "torch": lambda m: torch_maxsim(m, asked, rows.x, tokens),
                "numpy": lambda _: partial(numpy_maxsim, asked, rows.x, tokens),
            },
        ),
        check=partial(check_scores, asked, rows.x, tokens),
        work=Work(flops=2.0 * rows.x.size * asked.shape[0], queries=queries),
    )
    return bench.measure(case)


def torch_maxsim(torch: ModuleType, queries: np.ndarray, x: np.ndarray, tokens: int) -> Callable[[], Any]:
    """Einsum over blocks of documents, all of one length, so that nothing is padded."""
    asked, documents = torch.from_numpy(queries), torch.from_numpy(x).view(-1, tokens, x.shape[1])

    def run() -> Any:
        parts = documents.split(max(1, TORCH_BLOCK // tokens))
        best = torch.cat([torch.einsum("qd,ntd->qnt", asked, part).amax(2) for part in parts], dim=1)
        return best.view(-1, QUERY_TOKENS, best.shape[1]).sum(1).numpy()

    return run


def numpy_maxsim(queries: np.ndarray, x: np.ndarray, tokens: int) -> np.ndarray:
    """One document after the other."""
    documents = x.reshape(-1, tokens, x.shape[1])
    best = np.stack([(queries @ document.T).max(axis=1) for document in documents], axis=1)
    scores: np.ndarray = best.reshape(-1, QUERY_TOKENS, best.shape[1]).sum(axis=1)
    return scores


def check_scores(queries: np.ndarray, x: np.ndarray, tokens: int, found: Mapping[str, Any]) -> Verdict:
    """Scores equal those of float64 on 64 documents, and those of every baseline."""
    ours = found[OURS]
    want = numpy_maxsim(queries.astype(np.float64), x[: 64 * tokens].astype(np.float64), tokens)
    apart = {"float64": float(np.abs(ours[:, : want.shape[1]] - want).max())}
    apart |= {name: float(np.abs(ours - scores).max()) for name, scores in found.items() if name != OURS}
    detail = ", ".join(f"{value:.1e} from {name}" for name, value in apart.items())
    passed = all(value <= SCORE_TOLERANCE for value in apart.values())
    return Verdict(passed, f"largest difference of a score {detail} (at most {SCORE_TOLERANCE:g})")
