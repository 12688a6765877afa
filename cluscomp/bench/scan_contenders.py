"""Who takes part in a search in codes alone of so many bytes a vector: keys of ours and of faiss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from cluscomp.baselines import library
from cluscomp.bench.harness import OURS
from cluscomp.bench.settings import Settings
from cluscomp.bench.token_vectors import DIM
from cluscomp.errors import UsageError
from cluscomp.indexes.factory import index_factory

OUR_KEYS = (
    *(f"RR,IVF{{}},RaBitQ{bits}" for bits in ("", 2, 4, 6, 8)),
    "IVF{},PQ96x4", "IVF{},PQ192x4", "IVF{},SQ4", "IVF{},SQ8", "IVF{},PQ96x4,Refine(RaBitQ7)",
)  # fmt: skip
FAISS_KEYS = (
    *(f"IVF{{}},RaBitQ{fast}{bits}" for bits in ("", 2, 4, 8) for fast in ("fs", "")),
    "IVF{},PQ96x4fs", "IVF{},PQ192x4fs", "IVF{},SQ4", "IVF{},SQ6", "IVF{},SQ8",
    "IVF{},PQ96x4fs,Refine(RaBitQ3)", "IVF{},RaBitQfs,Refine(RaBitQ6)", "IVF{},RaBitQfs,Refine(SQ6)",
)  # fmt: skip
"""{} stands for the number of lists. Ours are those of `_with_saq`, too."""

TRAINING_ROWS = 131_072
"""Evenly spaced rows that lists and codes are trained on, at most."""

LEAST_SAQ, MOST_SAQ = 12, 394
"""Bytes of SAQ at 384 dimensions."""

FACTORS: tuple[int | str, ...] = (2, 4, 8, 16)
"""Candidates a hit, where there is a rerank; ours with error bars have "bound", too."""

LEAST_SHARE, SLACK = 0.6, 1.06
"""Codes of fewer bytes than that share of those allowed are left out; those of faiss, whose RaBitQ has more
factors, may have so many times as many.
"""

Searcher = Callable[..., np.ndarray]
"""search(queries (nq, d), nprobe=, refine_factor=) -> ids (nq, k); refine_factor where there is a rerank."""


@dataclass(frozen=True)
class Contender:
    """made: the search over rows x (n, d), trained on them. factors: of the rerank; () without one."""

    library: str
    key: str
    code_bytes: int
    n_lists: int
    factors: Sequence[int | str]
    made: Callable[[np.ndarray], Searcher]

    @property
    def name(self) -> str:
        """Library, key and bytes."""
        return f"{self.library} {self.key} ({self.code_bytes} bytes)"

    def settings(self, probes: Sequence[int]) -> list[list[Mapping[str, Any]]]:
        """Arguments of the search: a sequence of rising numbers of lists for each factor of a rerank."""
        lists = [n for n in probes if n < self.n_lists] or [self.n_lists]
        reranks: Sequence[Mapping[str, Any]] = [{"refine_factor": factor} for factor in self.factors] or [{}]
        return [[{"nprobe": n, **rerank} for n in lists] for rerank in reranks]


def contenders(settings: Settings, code_bytes: int, n_lists: int, k: int) -> list[Contender]:
    """Ours of at most `code_bytes`, and those of faiss where the settings ask for it.

    Raises UsageError where none of ours has so few bytes, or nearly so many.
    """
    every = _ours(code_bytes, settings.seed, n_lists, k)
    chosen = [one for one in every if _fits(one, code_bytes, 1.0)]
    if not chosen:
        sizes = sorted(one.code_bytes for one in every)
        raise UsageError(
            f"--bytes {code_bytes}: no code has between {LEAST_SHARE * code_bytes:g} and {code_bytes} bytes; "
            f"those of {DIM} dimensions have {min(LEAST_SAQ, sizes[0])} to {sizes[-1]}"
        )
    if "faiss" in settings.baselines:
        chosen += [one for one in _faiss(n_lists, k) if _fits(one, code_bytes, SLACK)]
    return chosen


def _fits(one: Contender, code_bytes: int, slack: float) -> bool:
    return LEAST_SHARE * code_bytes < one.code_bytes <= slack * code_bytes


def _with_saq(code_bytes: int) -> list[str]:
    sizes = {min(code_bytes, MOST_SAQ), code_bytes * 3 // 4}
    keys = [f"IVF{{}},SAQ{m}" for m in sorted(sizes) if LEAST_SAQ <= m <= MOST_SAQ]
    for first, of_first in (("PQ96x4", 48), ("PQ192x4", 96)):
        if of_first < code_bytes - of_first <= MOST_SAQ:
            keys.append(f"IVF{{}},{first},Refine(SAQ{code_bytes - of_first})")
    return keys


def _ours(code_bytes: int, seed: int, n_lists: int, k: int) -> list[Contender]:
    made = []
    for form in (*OUR_KEYS, *_with_saq(code_bytes)):
        key = form.format(n_lists)
        index: Any = index_factory(key, DIM, "ip", seed=seed)
        codec, refine = index.pipeline.codec, index.pipeline.refine
        code_bytes = codec.row_bytes + (0 if refine is None else refine.row_bytes)
        factors = () if refine is None else (*FACTORS, "bound") if codec.has_bars else FACTORS
        made.append(Contender(OURS, key, code_bytes, n_lists, factors, partial(_our_search, index, k)))
    return made


def _our_search(index: Any, k: int, x: np.ndarray) -> Searcher:
    index.train(_sample(x)).add(x)
    return lambda queries, **setting: index.search(queries, k, **setting)[1]


def _sample(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x[:: -(-len(x) // TRAINING_ROWS)])


def _faiss(n_lists: int, k: int) -> list[Contender]:
    faiss: Any = library("faiss")
    lists = _Lists(n_lists)
    made = []
    for form in FAISS_KEYS:
        key = form.format(n_lists)
        index = faiss.index_factory(DIM, key, faiss.METRIC_INNER_PRODUCT)
        base = faiss.extract_index_ivf(index)
        has_rerank = "Refine" in key
        code_bytes = base.code_size
        if has_rerank:
            code_bytes += faiss.downcast_index(index.refine_index).code_size
        search = partial(_faiss_search, index, lists, k)
        made.append(Contender("faiss", key, code_bytes, n_lists, FACTORS if has_rerank else (), search))
    return made


class _Lists:
    """Centroids that the first index of faiss learned, which the others get, too."""

    def __init__(self, n_lists: int) -> None:
        self._n_lists = n_lists
        self._centroids: np.ndarray | None = None

    def give(self, ivf: Any) -> None:
        """Before the training of the index."""
        ivf.cp.min_points_per_centroid = 1  # only silences its warning about few rows
        if self._centroids is not None:
            ivf.quantizer.add(self._centroids)

    def take(self, ivf: Any) -> None:
        """After the training of the index."""
        self._centroids = ivf.quantizer.reconstruct_n(0, self._n_lists)


def _faiss_search(index: Any, lists: _Lists, k: int, x: np.ndarray) -> Searcher:
    ivf = library("faiss").extract_index_ivf(index)
    if hasattr(ivf, "pq"):
        ivf.pq.cp.min_points_per_centroid = 1
    lists.give(ivf)
    index.train(_sample(x))
    lists.take(ivf)
    index.add(x)

    def search(queries: np.ndarray, nprobe: int, refine_factor: int = 1) -> np.ndarray:
        ivf.nprobe = nprobe
        if index is not ivf and hasattr(index, "k_factor"):
            index.k_factor = refine_factor
        return np.asarray(index.search(queries, k)[1])

    return search
