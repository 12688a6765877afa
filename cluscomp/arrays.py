"""The gate for arrays: NumPy, torch, memory maps and nested lists become checked, contiguous row blocks.

Kernels read float32, float16 and bfloat16 rows as they are; nothing is converted as a whole. NumPy has no
bfloat16, so such rows travel as their bits in uint16 (`is_bfloat16_bits` says so by dtype alone: no other
uint16 array passes the gate).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cluscomp.errors import DimensionError, DTypeError, EmptyInputError, NonFiniteError

if TYPE_CHECKING:
    import torch

Array: TypeAlias = "np.ndarray | torch.Tensor"
"""What functions return that run where their rows are: NumPy's array, or a tensor on the GPU of the rows."""

_KERNEL_DTYPES = (np.dtype(np.float32), np.dtype(np.float16))
NORMALIZE_VALUES = 1 << 20
"""float64 values that `normalize_rows` holds at a time, in two arrays of 8 MB."""


def as_rows(
    x: Any,
    *,
    name: str = "x",
    dim: int | None = None,
    min_rows: int = 1,
    check_finite: bool = True,
    ids: Sequence[Any] | np.ndarray | None = None,
) -> np.ndarray:
    """Check a matrix of row vectors and return it in a form that the kernels read.

    x: (n, d) NumPy array, memory map, torch CPU tensor (any layout of rows), or nested list; float16,
    float32 and bfloat16 stay as they are without a copy when C-contiguous, float64 and integers are
    converted to float32.
    dim: required d. min_rows: required n. ids: names for the rows in a NaN message.

    Returns (n, d) C-contiguous ndarray of float32, float16, or uint16 (bfloat16 bits).
    Raises DTypeError, DimensionError, EmptyInputError, NonFiniteError.
    """
    rows = _to_numpy(x, name)
    if rows.ndim != 2:
        raise DimensionError(
            f"{name} must be a matrix (rows, dim), but has shape {rows.shape}; pass one vector as x[None, :]"
        )
    if rows.shape[1] == 0:
        raise DimensionError(f"{name} has 0 dimensions, at least 1 is needed")
    if dim is not None and rows.shape[1] != dim:
        raise DimensionError(f"{name} has dim {rows.shape[1]}, but dim {dim} is needed")
    if rows.shape[0] < min_rows:
        raise EmptyInputError(f"{name} has {rows.shape[0]} rows, at least {min_rows} needed")
    rows = np.ascontiguousarray(rows)
    if check_finite:
        require_finite(rows, name=name, ids=ids)
    return rows


def require_finite(rows: np.ndarray, *, name: str = "x", ids: Any = None, first_row: int = 0) -> None:
    """Raise NonFiniteError that names the first row of `rows` (kernel dtype) holding NaN or infinity."""
    from cluscomp import native

    bad = native.first_nonfinite_row(rows)
    if bad < 0:
        return
    label = f"row {first_row + bad}" if ids is None else f"row {first_row + bad} (id {ids[bad]!r})"
    raise NonFiniteError(
        f"{name}: {label} holds NaN or infinity; drop or repair it before clustering or indexing"
    )


def to_float32(block: np.ndarray) -> np.ndarray:
    """Convert a block of kernel dtype (float32, float16, bfloat16 bits) to float32; float32 is not copied."""
    if block.dtype == np.uint16:
        return (block.astype(np.uint32) << 16).view(np.float32)
    return block.astype(np.float32, copy=False)


def iter_blocks(n: int, rows: int) -> Iterator[slice]:
    """Slices of at most `rows` rows that cover range(n) in order."""
    for start in range(0, n, rows):
        yield slice(start, min(start + rows, n))


def normalize_rows(x: np.ndarray) -> np.ndarray:
    """L2-normalise rows of kernel dtype into a new float32 array; a zero row stays zero.

    Norms are taken in float64, so that neither overflow nor underflow of squares can occur.
    """
    unit = np.empty(x.shape, dtype=np.float32)
    for block in iter_blocks(x.shape[0], max(1, NORMALIZE_VALUES // x.shape[1])):
        rows = to_float32(x[block]).astype(np.float64)
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        norms[norms == 0] = 1.0
        unit[block] = rows / norms[:, None]
    return unit


def _to_numpy(x: Any, name: str) -> np.ndarray:
    if type(x).__module__.startswith("torch"):
        return _torch_to_numpy(x, name)
    try:
        array = np.asarray(x)
    except ValueError as exc:
        raise DimensionError(f"{name} is not a rectangular matrix: {exc}") from exc
    if array.dtype in _KERNEL_DTYPES:  # native byte order only; first, because one query a call is usual
        return array
    if array.dtype.name == "bfloat16":  # ml_dtypes, as JAX and safetensors use it
        return array.view(np.uint16)
    if array.dtype.kind in "fiub" and array.dtype != np.longdouble:
        return array.astype(np.float32)
    raise DTypeError(
        f"{name} has dtype {array.dtype}, but float32, float16, bfloat16, float64 or integers are needed; "
        "convert it with x.astype('float32')"
    )


def _torch_to_numpy(tensor: Any, name: str) -> np.ndarray:
    if tensor.device.type != "cpu":
        raise DTypeError(
            f"{name} is a torch tensor on {tensor.device}, and this function runs on the CPU; "
            f"pass {name}.cpu()"
        )
    tensor = tensor.detach()
    if str(tensor.dtype) == "torch.bfloat16":
        import torch

        return np.asarray(tensor.contiguous().view(torch.uint16).numpy())
    return _to_numpy(tensor.numpy(), name)
