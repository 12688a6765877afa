"""What a codec is: how rows are stored, and how stored rows are scored."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from types import ModuleType
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.errors import UsageError
from cluscomp.indexes.keys.specs import CodecSpec
from cluscomp.indexes.stages.hits import Hits, merged_hits
from cluscomp.indexes.stages.ivf import Ivf, Probes
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.prescreen import Prescreen
from cluscomp.indexes.stages.stage import Stage
from cluscomp.progress import Progress

CODES = "codes"
"""Name of the array of codes that every codec has."""
Codes = Mapping[str, np.ndarray]
"""Codes of n rows: arrays (n, width) by the names of `Codec.arrays`."""


@dataclass(frozen=True)
class RowArray:
    """One array of codes. dtype: one of `parameters.DTYPES`. width: elements of a row."""

    dtype: str
    width: int

    @property
    def nbytes(self) -> int:
        """Bytes of a row."""
        return self.width * np.dtype(self.dtype).itemsize

    def spec(self, n: int) -> ArraySpec:
        """Dtype and shape for n rows."""
        return ArraySpec(self.dtype, (n, self.width))


def rerank_name(name: str) -> str:
    """Under which name an array of finer codes is stored beside the others: "refine" for CODES."""
    return "refine" if name == CODES else f"refine_{name}"


@dataclass(frozen=True)
class ListView:
    """Stored rows of one segment as a scan reads them.

    codes: in storage order. offsets: (nlist + 1,) int64 first stored row of each list. positions: (n,) int32
    or int64 position of each stored row, None where storage order is position order. coarse: (nlist, d)
    float32 centroids of residual codes, or None. prescreen: of float rows in one list, or None. across_lists:
    groups of interleaved codes do not end with a list (code_layout.py).
    """

    codes: Codes
    offsets: np.ndarray
    positions: np.ndarray | None
    coarse: np.ndarray | None
    prescreen: Prescreen | None = None
    across_lists: bool = False

    def lists(self) -> native.Lists:
        """The lists as kernels read them."""
        return native.Lists(self.offsets, self.positions, self.coarse)


@dataclass(frozen=True)
class StoredLists:
    """Stored rows of all segments as scans read them; positions count through all of them.

    views: of neighbouring rows. skip_bits: of each view, (ceil(n / 8),) uint8, where position p is left out
    if bit p % 8 of byte p // 8 is 1, or None; None where nothing is left out. kernels: what kernels read of
    them, made when first used.
    """

    views: tuple[ListView, ...]
    skip_bits: list[np.ndarray | None] | None = None
    kernels: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


class Codec(Stage):
    """One form of storage for rows of dim `dim`; a subclass is made of (spec, dim).

    arrays: of the codes of a row, CODES and any others, by name; each is a file of a segment. by_residual:
    codes of a partitioned index are residuals. interleaved: codes are stored in the order that code_layout.py
    describes. across_lists: scans also read such codes in groups that go across lists. exact: rows come back
    as they were. groups: sub-spaces whose codes are chosen apart. codewords:
    how many training learns for each from the rows, 0 for none. overfit: how much better these rows are coded
    than others (health/drift.py). layout_version: format of index folders since which codes are stored as
    they are now. joint_groups: sub-spaces of a product quantizer that takes the codebooks of an OPQ rotation
    in front (joint_training.py); None for other codecs. has_bars: scans know how far a score may be off.
    scan_rate: bytes of codes that a core of the reference machine scores in a second (build/core_rates.py).
    """

    spec: CodecSpec
    dim: int
    arrays: Mapping[str, RowArray]
    by_residual = False
    interleaved = False
    across_lists = False
    exact = False
    groups = 1
    codewords = 0
    overfit = 4.5
    layout_version = 1
    joint_groups: int | None = None
    has_bars = False
    scan_rate = 14e9

    @property
    def can_drift(self) -> bool:
        """Whether the errors of codes depend on the rows that something was learned from."""
        return self.needs_training or self.groups > 1

    @property
    def row_bytes(self) -> int:
        """Bytes of the codes of one row."""
        return sum(array.nbytes for array in self.arrays.values())

    @property
    def shared_codebooks(self) -> np.ndarray | None:
        """Codebooks (m, 2**nbits, dim / m) float32 by which rows are coded and scored; None for others."""
        return None

    @abstractmethod
    def encode(self, x: np.ndarray) -> Codes:
        """Codes of float32 rows (n, dim)."""

    @abstractmethod
    def decode(self, codes: Codes) -> np.ndarray:
        """Rows (n, dim) float32 that plain codes stand for."""

    def prepare(self, queries: np.ndarray, metric: str) -> Any:
        """What `scan` gets of float32 queries (nq, dim); made once for the scans of all segments."""
        return queries

    def scan(
        self,
        queries: Any,
        lists: StoredLists,
        probes: Probes,
        k: int,
        metric: str,
        rough: bool = False,
        bars: float = 0.0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Best k of the probed lists of all views: scores (nq, k) float32, positions (nq, k) int64;
        missing -inf, -1. Without kernels, what `scan_view` finds in each is merged.

        rough: scores only choose the candidates of a rerank, so a codec may round them. bars: so many error
        bars are added to every score, where the codec `has_bars`.
        """
        skip_bits = lists.skip_bits or [None] * len(lists.views)
        found = [
            Hits(*self.scan_view(queries, view, probes, k, metric, bits))
            for view, bits in zip(lists.views, skip_bits, strict=True)
        ]
        firsts = accumulate((int(view.offsets[-1]) for view in lists.views[:-1]), initial=0)
        merged = merged_hits(found, list(firsts), k)
        return merged.scores, merged.positions

    def scan_view(
        self,
        queries: Any,
        view: ListView,
        probes: Probes,
        k: int,
        metric: str,
        skip_bits: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """`scan` of one view, with positions there; what a codec without kernels defines."""
        raise NotImplementedError

    def score_rows(self, queries: np.ndarray, view: ListView, rows: np.ndarray, metric: str) -> np.ndarray:
        """Scores (nq, c) float32 of chosen rows, in their order, those that `scan` gives them; -inf where a
        row is negative.

        queries: (nq, dim) float32, behind the transforms. view: plain codes. rows: (nq or 1, c) int64 stored
        rows of the view.
        """
        n, nlist = int(view.offsets[-1]), len(view.offsets) - 1
        every = Probes(np.tile(np.arange(nlist, dtype=np.int32), (len(queries), 1)))
        by_row = np.full((len(queries), n + 1), -np.inf, dtype=np.float32)  # the last column: negative rows
        if n:
            lists = StoredLists((replace(view, positions=None),))
            scores, found = self.scan(self.prepare(queries, metric), lists, every, n, metric)
            np.put_along_axis(by_row, found, scores, axis=1)
        return np.take_along_axis(by_row, np.broadcast_to(rows, (len(queries), rows.shape[1])), axis=1)

    def to_faiss(self, faiss: ModuleType, metric: str) -> Any:
        """An empty faiss index without lists that reads plain codes of this codec; UsageError without one."""
        raise self._no_faiss()

    def to_faiss_lists(self, faiss: ModuleType, partition: Ivf, metric: str) -> Any:
        """`to_faiss` with the lists of a partition."""
        raise self._no_faiss()

    def _no_faiss(self) -> UsageError:
        return UsageError(
            f"faiss has no codes like those of {self.spec}, so the index cannot be copied; build one with "
            "Flat, SQfp16, SQ8, SQ4 or PQ"
        )


class Refiner(Codec):
    """A codec that can score single rows, for the rerank of candidates."""

    @abstractmethod
    def rescore(
        self, queries: np.ndarray, codes: Codes, candidates: np.ndarray, k: int, metric: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Best k of candidate rows (nq, c) int64, of which -1 is none, as `scan` returns them."""

    def parts(self, codes: Sequence[Codes]) -> native.Parts | None:
        """Codes of all segments as kernels score them; None for a codec without kernels."""
        return None

    def largest_error(self, codes: Codes) -> float | None:
        """A length that no row is away from what its code stands for; None where that is not known."""
        return 0.0 if self.exact else None

    def score_error(self, queries: np.ndarray, largest: float, metric: str) -> np.ndarray:
        """(nq,) float32 by how much scores of rows at most `largest` away from their codes may be off."""
        return np.zeros(len(queries), dtype=np.float32)


class CentredCodec(Codec):
    """A codec that stores of a row what depends on its centre and on the metric of the scores."""

    @abstractmethod
    def encode_centred(self, x: np.ndarray, whole: np.ndarray, metric: str) -> Codes:
        """Codes of rows x for scores "ip" or "l2". whole: what x are residuals of, or x itself."""


class ScoreKeeper(Codec):
    """A codec that can keep inner products with queries better than rows (quantization/score_aware.py)."""

    @abstractmethod
    def refine_for_scores(self, x: np.ndarray, whole: np.ndarray, progress: Progress | None = None) -> None:
        """Change what was trained, so that codes of rows x keep the inner products of the rows `whole`."""

    @abstractmethod
    def encode_for_scores(self, x: np.ndarray, whole: np.ndarray) -> Codes:
        """Codes of rows x that keep the inner products of the rows `whole`."""
