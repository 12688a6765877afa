"""The only importer of the compiled modules. Says which instruction set and device run.

Arrays must have passed `cluscomp.arrays.as_rows`: kernels check dtypes and shapes as a last line of defence.
Kernels answer Ctrl-C as they go when the main thread calls them (cpp_ext/src/parallel.cpp), and callers pass
long inputs in blocks, between which they tell of progress.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from cluscomp import _core, checks
from cluscomp.errors import UsageError

PqCodebook = _core.PqCodebook
Rabitq = _core.Rabitq
Transport = _core.Transport
Candidates = _core.Candidates
DualAscent = _core.DualAscent
list_quota = _core.list_quota
place_in_order = _core.place_in_order
pair_scores = _core.pair_scores
accumulate = _core.accumulate
hash_texts = _core.hash_texts
hash_integers = _core.hash_integers
first_row_beyond = _core.first_row_beyond
Codes = _core.Codes
Lists = _core.Lists
Parts = _core.Parts
ListChooser = _core.ListChooser
Search = _core.Search
are_ready = _core.are_ready
IntegerIds = _core.IntegerIds
score_rows = _core.score_rows
score_pairs = _core.score_pairs
walk_lists = _core.walk_lists
build_prescreen = _core.build_prescreen
interleave_codes = _core.interleave_codes
take_interleaved = _core.take_interleaved
squared_distances = _core.squared_distances
MedoidSearch = _core.MedoidSearch
Postings = _core.Postings
ordered_terms = _core.ordered_terms
ForwardRows = _core.ForwardRows
TermBlocks = _core.TermBlocks
SparseAssigner = _core.SparseAssigner
row_distances = _core.row_distances
sparse_directions = _core.sparse_directions
ward_merges = _core.ward_merges
cut_merges = _core.cut_merges
linkage_matrix = _core.linkage_matrix
maxsim = _core.maxsim
Documents = _core.Documents
DocumentSet = _core.DocumentSet
SupportSample = _core.SupportSample
PackedMatrix = _core.PackedMatrix
row_norms = _core.row_norms
unit_rows = _core.unit_rows
unit_rows_f64 = _core.unit_rows_f64

_MAX_THREADS = 4096
BLOCK_ROWS = 16384
"""Rows of one kernel call in long loops: enough to keep all threads busy."""


# ---- what runs -------------------------------------------------------------------------------------


def simd_level() -> str:
    """Instruction set in use: "scalar", "avx2", "avx512" or "neon"."""
    return _core.simd_level()


def available_simd_levels() -> list[str]:
    """Instruction sets that this build and this machine have, slowest first."""
    return _core.available_simd_levels()


def set_simd_level(name: str) -> None:
    """Force an instruction set (also: environment variable CLUSCOMP_SIMD). Results do not depend on it."""
    levels = available_simd_levels()
    if name not in levels:
        raise UsageError(f"SIMD level {name!r} does not exist on this machine; it has: {', '.join(levels)}")
    _core.set_simd_level(name)


def get_num_threads() -> int:
    """Return the number of threads that the native core uses.

    Returns:
        Threads.
    """
    return _core.num_threads()


def set_num_threads(n: int) -> None:
    """Set the thread budget of the native core, as the variable CLUSCOMP_NUM_THREADS does.

    Results do not depend on it.

    Args:
        n: threads, from 1 to 4096.

    Raises:
        UsageError: n is no such number.
    """
    threads = checks.integer("num_threads", n, 1)
    if threads > _MAX_THREADS:
        raise UsageError(f"num_threads is {threads}, but at most {_MAX_THREADS} are possible")
    _core.set_num_threads(threads)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep kernels called inside the block on the calling thread: for callers with threads of their own."""
    _core.stay_on_this_thread(True)
    try:
        yield
    finally:
        _core.stay_on_this_thread(False)


@functools.cache
def cuda_reason() -> str:
    """Why CUDA kernels cannot run here; empty when they can."""
    try:
        from cluscomp import _cuda
    except ImportError as exc:
        return f"the CUDA module cannot be loaded: {exc}"
    return _cuda.unavailable_reason()


def cuda_available() -> bool:
    """Whether CUDA kernels were compiled and a device is there."""
    return cuda_reason() == ""


def cuda_kernels() -> Any:
    """The compiled CUDA functions (cpp_ext/cuda/cuda_api.h); `clustering/device.py` calls them.

    Raises UsageError where they cannot run.
    """
    if not cuda_available():
        raise UsageError(f"CUDA kernels cannot run here: {cuda_reason()}; pass tensors of the CPU")
    from cluscomp import _cuda

    return _cuda


# ---- assignment ------------------------------------------------------------------------------------


class Assigner:
    """Centroids packed for exact assignment; `assign` may be called for many blocks, from several threads.

    centroids: (k, d) float32. metric: "l2" or "ip". bias: (k,) float32 or None: l2 then minimises
    |x - c|^2 / 2 - bias, ip maximises <x, c> + bias. basis: (d, m) float32, nearly orthonormal directions in
    which rows vary most, m a multiple of 16: pairs are bounded by these first. It changes the time, never the
    result.

    Labels are those of float64 arithmetic, ties go to the lowest index: they depend on no block size, thread
    count or instruction set.
    """

    def __init__(
        self,
        centroids: np.ndarray,
        metric: str = "l2",
        bias: np.ndarray | None = None,
        basis: np.ndarray | None = None,
    ) -> None:
        self._native = _core.Assigner(centroids, metric, bias, basis)
        self.k, self.dim = centroids.shape
        self.pairs_decided = 0
        self._lock = threading.Lock()

    def assign(
        self, x: np.ndarray, hints: np.ndarray | None = None, *, with_scores: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Nearest centroid of every row.

        x: (n, d) float32, float16 or bfloat16 bits. hints: (n,) int32 labels to try first, or None; they
        change the time, never the result.
        Returns labels (n,) int32 and scores (n,) float32: squared distance (l2) or inner product (ip),
        without the bias; scores is empty without with_scores, which saves their computation.
        """
        labels, scores, decided = self._native.assign(x, hints, with_scores)
        with self._lock:
            self.pairs_decided += decided
        return labels, scores

    def list_chooser(self) -> ListChooser:
        """What chooses the nearest centroid as the list of a query."""
        return ListChooser.nearest(self._native)

    @property
    def filter(self) -> str:
        """Filter at the start: none, f32, i8, i6, i16 or prefix. Tests set it; labels do not depend on it."""
        return self._native.filter

    @filter.setter
    def filter(self, name: str) -> None:
        self._native.filter = name


def is_native(value: object) -> bool:
    """Whether `value` is an object of the kernels, which only repeats arrays that Python holds."""
    return type(value).__module__ in (__name__, _core.__name__)


# ---- search ----------------------------------------------------------------------------------------


def scan(
    codes: Codes,
    lists: Lists,
    queries: np.ndarray,
    probes: np.ndarray | None,
    k: int,
    metric: str,
    skip_bits: np.ndarray | None = None,
    *more: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """`Parts.scan` of one part. skip_bits: those of the part. more: its other arguments."""
    skipped = None if skip_bits is None else [skip_bits]
    found: tuple[np.ndarray, np.ndarray] = Parts([codes], [lists]).scan(
        queries, probes, k, metric, skipped, *more
    )
    return found


def rescore(
    codes: Codes, queries: np.ndarray, candidates: np.ndarray, k: int, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """`Parts.rescore` of one part."""
    found: tuple[np.ndarray, np.ndarray] = Parts([codes]).rescore(queries, candidates, k, metric)
    return found


# ---- products with a matrix ------------------------------------------------------------------------


def packed_matrix(matrix: np.ndarray) -> PackedMatrix:
    """Pack a matrix (d, columns) of real numbers, in float64, for products with rows.

    `multiply(x)` is x @ matrix of rows x (n, d) of kernel dtype: (n, columns) float32, rounded once.
    `multiply_f64(x)` takes float64 rows and does not round. Each sum is one chain of fused multiply-adds in
    float64, in the order of the columns of x, so its bits depend on neither machine, threads nor blocks.
    """
    return PackedMatrix(np.ascontiguousarray(matrix, dtype=np.float64))


# ---- product quantization --------------------------------------------------------------------------


def pq_encode(x: np.ndarray, codebooks: np.ndarray | PqCodebook, nbits: int) -> np.ndarray:
    """Codes (n, ceil(m * nbits / 8)) uint8 of the nearest codewords, packed as a little-endian bit string.

    x: (n, d) float32, float16 or bfloat16 bits. codebooks: (m, 2**nbits, d / m) float32, or a PqCodebook made
    once (it keeps the packed codewords).
    """
    return _codebook(codebooks, nbits).encode(x)


def pq_decode(codes: np.ndarray, codebooks: np.ndarray | PqCodebook, nbits: int) -> np.ndarray:
    """Rows (n, d) float32 of the codewords that `codes` name."""
    return _codebook(codebooks, nbits).decode(codes)


def _codebook(codebooks: np.ndarray | PqCodebook, nbits: int) -> PqCodebook:
    return codebooks if isinstance(codebooks, PqCodebook) else PqCodebook(codebooks, nbits)


def _check_environment() -> None:
    """Raise UsageError for variables that the compiled module would pass over."""
    threads, level = os.environ.get("CLUSCOMP_NUM_THREADS"), os.environ.get("CLUSCOMP_SIMD")
    if threads and not (threads.isascii() and threads.isdigit() and 1 <= int(threads) <= _MAX_THREADS):
        raise UsageError(
            f"CLUSCOMP_NUM_THREADS is {threads!r}, but a number from 1 to {_MAX_THREADS} is needed; unset it "
            "for all processors"
        )
    if level and level not in available_simd_levels():
        raise UsageError(
            f"CLUSCOMP_SIMD is {level!r}, but this machine has: {', '.join(available_simd_levels())}"
        )


_check_environment()
