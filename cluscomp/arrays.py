"""The gate for arrays: NumPy, torch, memory maps and nested lists become checked, contiguous row blocks.

Kernels read float32, float16 and bfloat16 rows as they are; nothing is converted as a whole. NumPy has no
bfloat16, so such rows travel as their bits in uint16: no other uint16 array passes the gate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cluscomp.array_forms import BFLOAT16, as_numpy, float32_of_bits, widened
from cluscomp.errors import DimensionError, DTypeError, EmptyInputError, NonFiniteError, TooLargeError

if TYPE_CHECKING:
    import torch

Array: TypeAlias = "np.ndarray | torch.Tensor"
"""What functions return that run where their rows are: NumPy's array, or a tensor on the GPU of the rows."""

FLOAT32_MAX = float(np.finfo(np.float32).max)
TOKEN_TERMS = 1 << 40
"""Products that one score of token vectors may add up, those of fixed-dimensional encodings included."""
_ROOM = 16  # sums of d squares stay this factor below the largest float32: differences take 4 of it
_KERNEL_DTYPES = (np.dtype(np.float32), np.dtype(np.float16))


def largest_safe(dim: int, metric: str = "l2", *, terms: int = 1) -> float:
    """Largest magnitude of a component with which no score leaves float32.

    It is sqrt(float32 max / (16 dim terms)): a squared distance is at most 4 dim times its square, and the
    rest is room for what codes stand for. terms: products that one score adds up, such as those of all
    vectors of a query. "cosine": rows are normalised in float64 first, so any float32 will do.
    """
    return FLOAT32_MAX if metric == "cosine" else math.sqrt(FLOAT32_MAX / (_ROOM * dim * terms))


def as_rows(
    x: Any,
    *,
    name: str = "x",
    dim: int | None = None,
    min_rows: int = 1,
    check_finite: bool = True,
    ids: Sequence[Any] | np.ndarray | None = None,
    largest: float | None = None,
    first_row: int = 0,
) -> np.ndarray:
    """Check a matrix of row vectors and return it in a form that the kernels read.

    x: (n, d) in any form of `array_forms.as_numpy`; float16, float32 and bfloat16 stay as they are without a
    copy when C-contiguous, float64 and integers are converted to float32.
    dim: required d. min_rows: required n. ids: names for the rows in a message about values, and first_row
    the number of the first one. largest: magnitude that no value may exceed, `largest_safe(d)` unless given.

    Returns (n, d) C-contiguous ndarray of float32, float16, or uint16 (bfloat16 bits).
    Raises DTypeError, DimensionError, EmptyInputError, NonFiniteError, TooLargeError.
    """
    rows = as_numpy(x, name)
    if rows.dtype != BFLOAT16 and (rows.dtype.kind not in "fiub" or rows.dtype == np.longdouble):
        raise DTypeError(
            f"{name} has dtype {rows.dtype}, but float32, float16, bfloat16, float64 or integers are needed; "
            "convert it with x.astype('float32')"
        )
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
    rows = np.ascontiguousarray(_of_kernel_dtype(rows, name, ids, first_row))
    if check_finite:
        require_finite(rows, name=name, ids=ids, first_row=first_row, largest=largest)
    return rows


def as_numbers(x: Any, *, name: str, ndim: int | None = None) -> np.ndarray:
    """X as an array of real numbers in its own dtype; bfloat16 becomes float32.

    x: any form of `array_forms.as_numpy`. ndim: required number of dimensions.
    Raises DTypeError, DimensionError, InputError. NaN and infinity pass.
    """
    array = widened(as_numpy(x, name))
    if array.dtype.kind not in "fiub":
        raise DTypeError(f"{name} has dtype {array.dtype}, but numbers are needed")
    if ndim is not None and array.ndim != ndim:
        raise DimensionError(f"{name} has shape {array.shape}, but {ndim} dimension(s) are needed")
    return array


def require_finite(
    rows: np.ndarray, *, name: str = "x", ids: Any = None, first_row: int = 0, largest: float | None = None
) -> None:
    """Raise NonFiniteError or TooLargeError that names the first row with a value that cannot be scored.

    rows: (n, d) of kernel dtype. largest: magnitude that no value may exceed, `largest_safe(d)` unless given.
    """
    from cluscomp import native

    most = largest_safe(rows.shape[1]) if largest is None else largest
    bad = native.first_row_beyond(rows, most) if rows.shape[0] else -1
    if bad < 0:
        return
    label = _row_label(bad, first_row, ids)
    values = to_float32(rows[bad])
    if not np.isfinite(values).all():
        raise NonFiniteError(
            f"{name}: {label} holds NaN or infinity; drop or repair it before clustering or indexing"
        )
    raise _too_large(name, label, float(values[np.abs(values).argmax()]), most, rows.shape[1])


def _row_label(row: int, first_row: int, ids: Any) -> str:
    return f"row {first_row + row}" + ("" if ids is None else f" (id {ids[row]!r})")


def _too_large(name: str, label: str, value: float, largest: float, dim: int) -> TooLargeError:
    if largest >= FLOAT32_MAX:
        return TooLargeError(
            f"{name}: {label} holds {value:.6g}, but the largest float32 is {FLOAT32_MAX:.6g}; divide all "
            "vectors by one number, or normalise them"
        )
    return TooLargeError(
        f"{name}: {label} holds {value:.6g}, whose products overflow float32; with dim {dim} no value may "
        f"exceed {largest:.4g}. Divide all vectors by one number, which keeps every order, or normalise them"
    )


def _of_kernel_dtype(array: np.ndarray, name: str, ids: Any, first_row: int) -> np.ndarray:
    """float32, float16 or bfloat16 bits; values that are finite stay finite."""
    if array.dtype in _KERNEL_DTYPES:  # native byte order only
        return array
    if array.dtype == BFLOAT16:
        return array.view(np.uint16)
    return narrowed(array, name=name, ids=ids, first_row=first_row)


def narrowed(array: np.ndarray, *, name: str, ids: Any = None, first_row: int = 0) -> np.ndarray:
    """Rows (n, d) of numbers as contiguous float32.

    ids, first_row: as in `require_finite`. Raises TooLargeError for a finite value beyond float32.
    """
    try:
        with np.errstate(over="raise"):
            return np.ascontiguousarray(array, dtype=np.float32)
    except FloatingPointError:
        beyond = np.isfinite(array) & (np.abs(array) > FLOAT32_MAX)
        row = int(np.flatnonzero(beyond.any(axis=1))[0])
        value = float(array[row][beyond[row]][0])
        label = _row_label(row, first_row, ids)
        raise _too_large(name, label, value, FLOAT32_MAX, array.shape[1]) from None


def to_float32(block: np.ndarray) -> np.ndarray:
    """Convert a block of kernel dtype (float32, float16, bfloat16 bits) to float32; float32 is not copied."""
    if block.dtype == np.uint16:
        return float32_of_bits(block)
    return block.astype(np.float32, copy=False)


def iter_blocks(n: int, rows: int) -> Iterator[slice]:
    """Slices of at most `rows` rows that cover range(n) in order."""
    for start in range(0, n, rows):
        yield slice(start, min(start + rows, n))


def normalize_rows(x: np.ndarray) -> np.ndarray:
    """L2-normalise rows (n, d) of kernel dtype or float64 into a new float32 array; a zero row stays zero.

    Squares are summed in float64, so that they neither overflow nor vanish, and in one order: bits depend on
    neither machine, threads nor blocks (cpp_ext/include/cluscomp/unit_rows.h).
    """
    from cluscomp import native

    if x.dtype == np.float64:
        unit: np.ndarray = native.unit_rows_f64(np.ascontiguousarray(x))
    else:
        unit = native.unit_rows(_spaced(x))
    return unit


def row_norms(x: np.ndarray) -> np.ndarray:
    """Euclidean norms (n,) float64 of rows (n, d) of kernel dtype, summed as `normalize_rows` does."""
    from cluscomp import native

    norms: np.ndarray = native.row_norms(_spaced(x))
    return norms


def _spaced(x: np.ndarray) -> np.ndarray:
    """Rows whose elements lie beside each other, at any distance from one row to the next."""
    row_bytes = x.shape[1] * x.itemsize
    return x if x.strides[1] == x.itemsize and x.strides[0] >= row_bytes else np.ascontiguousarray(x)
