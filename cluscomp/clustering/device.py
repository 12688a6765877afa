"""Torch tensors in GPU memory: assignment, product-quantizer codes and the k-means step; results stay there.

Kernels run on torch's current stream and get their memory from torch. A filter on the tensor cores leaves few
pairs open, and float64 in the CPU's order of sums decides them (cpp_ext/cuda/assign_kernels.h): labels,
scores and codes are those of the CPU, bit for bit, unless a step named below rounds differently.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cluscomp import native
from cluscomp.clustering.metrics import Metric
from cluscomp.errors import DimensionError, DTypeError, EmptyInputError, NonFiniteError, UsageError

_SCRATCH_BYTES = 1 << 30  # GPU memory of one block of rows


def is_cuda_tensor(x: Any) -> bool:
    """True for a torch tensor in GPU memory; does not import torch."""
    return type(x).__module__.startswith("torch") and x.device.type == "cuda"


class DeviceAssigner:
    """Centroids (groups, k, d) of one or more sub-spaces, prepared on their device; `assign` as often as
    wanted.

    centroids: contiguous float32 tensor. metric: "l2" or "ip".
    """

    def __init__(self, centroids: Any, metric: str) -> None:
        import torch

        self._kernels = native.cuda_kernels()
        self._centroids, self._l2 = centroids, metric == "l2"
        self._mean = centroids.mean(dim=1, dtype=torch.float64).to(torch.float32)
        n_groups, k, d = centroids.shape
        self._prepared = _bytes(self._kernels.prepared_bytes(k, d, n_groups), centroids)
        with stream_of(centroids) as stream:
            self._kernels.prepare(centroids, self._mean, self._l2, self._prepared, stream)

    def assign(self, x: Any) -> tuple[Any, Any]:
        """Labels int32, scores float32, both (n, groups), of checked rows x (n, groups * d)."""
        import torch

        n_groups, k, d = self._centroids.shape
        labels = torch.empty((x.shape[0], n_groups), dtype=torch.int32, device=x.device)
        scores = torch.empty((x.shape[0], n_groups), dtype=torch.float32, device=x.device)
        scratch = _bytes(self._kernels.scratch_bytes(x.shape[0], k, d, n_groups), x)
        with stream_of(x) as stream:
            self._kernels.assign(
                x, self._centroids, self._mean, self._l2, self._prepared, scratch, labels, scores, stream
            )
        return labels, scores

    def blocks(self, x: Any) -> Iterator[tuple[slice, Any]]:
        """Contiguous, finite blocks of rows of x that fit the scratch memory; NonFiniteError names a row."""
        n_groups, k, d = self._centroids.shape
        bytes_a_row = self._kernels.scratch_bytes(1 << 20, k, d, n_groups) >> 20
        rows = max(1, _SCRATCH_BYTES // bytes_a_row)
        for start in range(0, x.shape[0], rows):
            part = slice(start, min(start + rows, x.shape[0]))
            block = x[part].contiguous()
            _require_finite("x", block, start)
            yield part, block


def assign_on_device(x: Any, centroids: Any, metric: Metric) -> tuple[Any, Any]:
    """Nearest centroid of each row of a torch CUDA tensor.

    x: (n, d) float32, float16 or bfloat16. centroids: (k, d), on any device.
    Returns labels (n,) int32 and scores (n,) float32 on the device of x, equal to those of `cluscomp.assign`
    on the CPU bit for bit; under cosine up to the last bit of norms.
    Raises UsageError where CUDA kernels cannot run, DimensionError, DTypeError, EmptyInputError,
    NonFiniteError.
    """
    import torch

    _require_device(x)
    points = _points(x, centroids)
    if metric == "cosine":
        points = _unit(points.to(torch.float64)).to(torch.float32)
    assigner = DeviceAssigner(points[None], "l2" if metric == "l2" else "ip")
    labels = torch.empty(x.shape[0], dtype=torch.int32, device=x.device)
    scores = torch.empty(x.shape[0], dtype=torch.float32, device=x.device)
    for part, block in assigner.blocks(x):
        found = assigner.assign(block)
        labels[part], scores[part] = found[0][:, 0], found[1][:, 0]
        if metric == "cosine":
            norms = torch.linalg.vector_norm(block, dim=1, dtype=torch.float64)
            scores[part] = (scores[part] / torch.where(norms > 0, norms, 1.0)).to(torch.float32)
    return labels, scores


def encode_on_device(x: Any, codebooks: Any, nbits: int, matrix: Any = None) -> Any:
    """Product-quantizer codes (n, ceil(m * nbits / 8)) uint8 of a torch CUDA tensor, on its device.

    x: (n, dim) float32, float16 or bfloat16. codebooks: (m, 2**nbits, d/m) float32. matrix: (d, dim) float32
    rotation in front, or None; it is applied in float64 and rounded once, so that codes equal the CPU's up to
    sums that differ in the last bit of float64.
    """
    import torch

    _require_device(x)
    assigner = DeviceAssigner(torch.as_tensor(codebooks, device=x.device).contiguous(), "l2")
    m, _, width = codebooks.shape
    dim = m * width if matrix is None else matrix.shape[1]
    _check_rows(x, dim)
    turn = None if matrix is None else torch.as_tensor(matrix, device=x.device, dtype=torch.float64).T
    codes = torch.empty((x.shape[0], (m * nbits + 7) // 8), dtype=torch.uint8, device=x.device)
    for part, block in assigner.blocks(x):
        rows = block if turn is None else (block.to(torch.float64) @ turn).to(torch.float32)
        labels, _ = assigner.assign(rows)
        with stream_of(x) as stream:
            native.cuda_kernels().pack_codes(labels, nbits, codes[part], stream)
    return codes


def kmeans_step(x: Any, centroids: Any, metric: Metric = "l2") -> tuple[Any, Any, Any]:
    """One step of Lloyd's algorithm on a torch CUDA tensor: assign, then move each centroid to its members'
    mean.

    x, centroids: as `assign_on_device` takes them. Returns new centroids (k, d) float32, and labels (n,) and
    scores (n,) with respect to the old ones. A centroid without members, or under cosine without a mean
    direction, stays where it was. Sums are taken in float64 in row order by one writer each: the bits are
    those of the CPU's step for l2 and ip, and the same in every run for all.
    """
    import torch

    labels, scores = assign_on_device(x, centroids, metric)
    points = _points(x, centroids)
    weights = None
    if metric == "cosine":
        norms = torch.linalg.vector_norm(x, dim=1, dtype=torch.float64)
        weights = torch.where(norms > 0, 1.0 / torch.where(norms > 0, norms, 1.0), 0.0)
    sums, counts = sum_by_label(x, labels, points.shape[0], weights)
    if metric == "cosine":
        means = _unit(sums)
        empty = ~means.any(dim=1)
    else:
        empty = counts == 0
        means = sums / torch.where(empty, 1, counts)[:, None]
    return torch.where(empty[:, None], points, means.to(torch.float32)), labels, scores


def sum_by_label(x: Any, labels: Any, k: int, weights: Any = None) -> tuple[Any, Any]:
    """Sums (k, d) float64 of the rows x (n, d) by label (n,), times weights (n,) float64, and counts (k,)
    int64.

    Rows are added in ascending order by one writer a sum: the same bits in every run.
    """
    import torch

    ranked, order = torch.sort(labels, stable=True)
    start = torch.searchsorted(ranked, torch.arange(k + 1, dtype=ranked.dtype, device=x.device))
    sums = torch.zeros((k, x.shape[1]), dtype=torch.float64, device=x.device)
    with stream_of(x) as stream:
        native.cuda_kernels().sum_rows(x.contiguous(), order, start, weights, sums, stream)
    return sums, start.diff()


@contextmanager
def stream_of(x: Any) -> Iterator[int]:
    """Make the device of x current and give torch's current stream there, as the kernels take it."""
    import torch

    if x.device.type != "cuda":  # the kernels' emulation in tests
        yield 0
        return
    with torch.cuda.device(x.device):
        yield torch.cuda.current_stream().cuda_stream


def _bytes(count: int, like: Any) -> Any:
    import torch

    return torch.empty(count, dtype=torch.uint8, device=like.device)


def _unit(rows: Any) -> Any:
    """Rows of a float64 tensor scaled to length one; a zero row stays zero."""
    import torch

    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows / torch.where(norms > 0, norms, 1.0)


def _require_device(x: Any) -> None:
    try:
        native.cuda_kernels()
    except UsageError as exc:
        raise UsageError(f"x is a torch tensor on {x.device}, but {exc}: x.cpu()") from exc


def _points(x: Any, centroids: Any) -> Any:
    import torch

    points = torch.as_tensor(centroids, device=x.device, dtype=torch.float32).contiguous()
    if x.ndim != 2 or points.ndim != 2 or x.shape[1] != points.shape[1] or x.shape[1] == 0:
        raise DimensionError(
            f"x has shape {tuple(x.shape)} and centroids have shape {tuple(points.shape)}; "
            "both must be matrices of one dim"
        )
    if points.shape[0] == 0:
        raise EmptyInputError("centroids has 0 rows, at least 1 needed")
    _require_finite("centroids", points, 0)
    _check_rows(x, points.shape[1])
    return points


def _check_rows(x: Any, dim: int) -> None:
    import torch

    if x.ndim != 2 or x.shape[1] != dim:
        raise DimensionError(f"x has shape {tuple(x.shape)}, but rows of dim {dim} are needed")
    if x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise DTypeError(
            f"x has dtype {x.dtype}, but float32, float16 or bfloat16 is needed on a GPU; pass x.float()"
        )


def _require_finite(name: str, rows: Any, first_row: int) -> None:
    if bool(rows.isfinite().all()):
        return
    row = first_row + int((~rows.isfinite().all(dim=1)).nonzero()[0])
    raise NonFiniteError(f"{name}: row {row} holds NaN or infinity; drop or repair it")
