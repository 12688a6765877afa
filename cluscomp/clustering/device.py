"""Torch tensors in GPU memory: the gate, assignment and product-quantizer codes; results stay there.

Kernels run on torch's current stream and get their memory from torch. A filter on the tensor cores leaves few
pairs open, and float64 in the CPU's order of sums decides them (cpp_ext/cuda/assign_decide.h): labels,
scores and codes are those of the CPU, bit for bit, unless a step named below rounds differently.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.array_forms import is_tensor
from cluscomp.arrays import as_rows, iter_blocks, largest_safe, require_finite
from cluscomp.errors import DimensionError, DTypeError, EmptyInputError, UsageError
from cluscomp.progress import Ticker
from cluscomp.vocabulary import Metric

_SCRATCH_BYTES = 1 << 30  # GPU memory of one block of rows
_DEVICE = "cuda"  # tests that emulate the kernels let it be "cpu"


def is_cuda_tensor(x: Any) -> bool:
    """True for a torch tensor in GPU memory; does not import torch."""
    return is_tensor(x) and x.device.type == _DEVICE


def on_host(values: Any) -> Any:
    """A torch CUDA tensor copied to the host, without its graph; anything else as it is."""
    return values.detach().cpu() if is_cuda_tensor(values) else values


def as_rows_anywhere(x: Any) -> Any:
    """The gate for functions that run where the rows are: `as_device_rows` or `as_rows`."""
    return as_device_rows(x) if is_cuda_tensor(x) else as_rows(x)


def as_device_rows(
    x: Any,
    *,
    name: str = "x",
    dim: int | None = None,
    min_rows: int = 1,
    largest: float | None = None,
) -> Any:
    """Check a matrix of row vectors in GPU memory, as `arrays.as_rows` does on the host.

    x: (n, d) torch CUDA tensor of float32, float16 or bfloat16. Returns it contiguous, without its graph.
    Raises UsageError where CUDA kernels cannot run, DTypeError, DimensionError, EmptyInputError,
    NonFiniteError, TooLargeError.
    """
    import torch

    _require_device(x, name)
    if x.ndim != 2 or x.shape[1] == 0:
        raise DimensionError(f"{name} must be a matrix (rows, dim), but has shape {tuple(x.shape)}")
    if dim is not None and x.shape[1] != dim:
        raise DimensionError(f"{name} has dim {x.shape[1]}, but dim {dim} is needed")
    if x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise DTypeError(
            f"{name} has dtype {x.dtype}, but float32, float16 or bfloat16 is needed on a GPU; "
            f"pass {name}.float()"
        )
    if x.shape[0] < min_rows:
        raise EmptyInputError(f"{name} has {x.shape[0]} rows, at least {min_rows} needed")
    x = x.detach().contiguous()
    for block in row_blocks(x):
        _require_finite(name, x[block], block.start, largest or largest_safe(x.shape[1]))
    return x


def row_blocks(x: Any) -> Iterator[slice]:
    """Blocks of rows for operations of torch that need memory of the size of their input."""
    return iter_blocks(x.shape[0], max(1, _SCRATCH_BYTES // (8 * x.shape[1])))


def take_device_rows(x: Any, rows: np.ndarray) -> Any:
    """Copy of the given rows (m,) of x, on its device."""
    import torch

    return x[torch.as_tensor(rows, device=x.device)]


def device_norms(x: Any) -> Any:
    """Euclidean norms (n,) float64 of the rows of x, on its device; squares are summed in float64."""
    import torch

    norms = torch.empty(x.shape[0], dtype=torch.float64, device=x.device)
    for block in row_blocks(x):
        norms[block] = torch.linalg.vector_norm(x[block], dim=1, dtype=torch.float64)
    return norms


def device_units(rows: Any) -> Any:
    """Rows of a float64 tensor scaled to length one; a zero row stays zero."""
    norms = device_norms(rows)[:, None]
    return rows / norms.where(norms > 0, 1.0)


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

    def blocks(self, n: int) -> Iterator[slice]:
        """Blocks of n rows that fit the scratch memory."""
        n_groups, k, d = self._centroids.shape
        bytes_a_row = self._kernels.scratch_bytes(1 << 20, k, d, n_groups) >> 20
        return iter_blocks(n, max(1, _SCRATCH_BYTES // bytes_a_row))


def assign_on_device(x: Any, centroids: Any, metric: Metric) -> tuple[Any, Any]:
    """Nearest centroid of each row of a torch CUDA tensor.

    x: (n, d) float32, float16 or bfloat16. centroids: (k, d), on any device.
    Returns labels (n,) int32 and scores (n,) float32 on the device of x, equal to those of `cluscomp.assign`
    on the CPU bit for bit; under cosine up to the last bit of norms.
    Raises the errors of `as_device_rows`.
    """
    x = as_device_rows(x, min_rows=0)
    points = as_device_rows(device_points(centroids, x), name="centroids", dim=x.shape[1])
    return assign_device_rows(x, points, metric)


def device_points(centroids: Any, like: Any) -> Any:
    """Centroids as a float32 tensor on the device of `like`."""
    import torch

    return torch.as_tensor(centroids, device=like.device, dtype=torch.float32)


def assign_device_rows(
    x: Any, points: Any, metric: Metric, *, norms: Any = None, ticker: Ticker | None = None
) -> tuple[Any, Any]:
    """`assign_on_device` for checked rows and centroids; norms: those of x where the caller has them."""
    import torch

    if metric == "cosine":
        points = device_units(points.to(torch.float64)).to(torch.float32)
        norms = device_norms(x) if norms is None else norms
    assigner = DeviceAssigner(points[None], "l2" if metric == "l2" else "ip")
    labels = torch.empty(x.shape[0], dtype=torch.int32, device=x.device)
    scores = torch.empty(x.shape[0], dtype=torch.float32, device=x.device)
    for block in assigner.blocks(x.shape[0]):
        found = assigner.assign(x[block])
        labels[block], scores[block] = found[0][:, 0], found[1][:, 0]
        if ticker is not None:
            ticker.advance(block.stop - block.start)
    if metric == "cosine":
        scores = (scores / norms.where(norms > 0, 1.0)).to(torch.float32)
    return labels, scores


def encode_on_device(x: Any, codebooks: Any, nbits: int, matrix: Any = None) -> Any:
    """Product-quantizer codes (n, ceil(m * nbits / 8)) uint8 of a torch CUDA tensor, on its device.

    x: (n, dim) float32, float16 or bfloat16. codebooks: (m, 2**nbits, d/m) float32. matrix: (d, dim) float32
    rotation in front, or None; it is applied in float64 and rounded once, so that codes equal the CPU's up to
    sums that differ in the last bit of float64.
    """
    import torch

    m, _, width = codebooks.shape
    x = as_device_rows(x, dim=m * width if matrix is None else matrix.shape[1], min_rows=0)
    assigner = DeviceAssigner(device_points(codebooks, x).contiguous(), "l2")
    turn = None if matrix is None else torch.as_tensor(matrix, device=x.device, dtype=torch.float64).T
    codes = torch.empty((x.shape[0], (m * nbits + 7) // 8), dtype=torch.uint8, device=x.device)
    for block in assigner.blocks(x.shape[0]):
        rows = x[block] if turn is None else (x[block].to(torch.float64) @ turn).to(torch.float32)
        labels, _ = assigner.assign(rows)
        with stream_of(x) as stream:
            native.cuda_kernels().pack_codes(labels, nbits, codes[block], stream)
    return codes


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


def _require_device(x: Any, name: str) -> None:
    try:
        native.cuda_kernels()
    except UsageError as exc:
        raise UsageError(f"{name} is a torch tensor on {x.device}, but {exc}: {name}.cpu()") from exc


def _require_finite(name: str, rows: Any, first_row: int, largest: float) -> None:
    if bool((rows.abs() <= largest).all()):
        return
    row = int((~(rows.abs() <= largest).all(dim=1)).nonzero()[0])
    require_finite(
        on_host(rows[row : row + 1]).float().numpy(), name=name, first_row=first_row + row, largest=largest
    )
