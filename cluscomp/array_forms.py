"""The forms in which callers hand over arrays: NumPy, torch, pandas, Arrow, lists of any of them.

`as_numpy` turns each into one NumPy array of its own dtype. NumPy has no bfloat16, so such numbers travel as
their bits under the dtype `BFLOAT16`, which no other array has.
"""

from __future__ import annotations

import numbers
import os
import sys
from typing import Any

import numpy as np

from cluscomp.errors import DimensionError, DTypeError, InputError

BFLOAT16 = np.dtype([("bfloat16_bits", np.uint16)])


def as_numpy(x: Any, name: str) -> np.ndarray:
    """X as a NumPy array of its own dtype, without a copy where there is one already.

    x: NumPy array, memory map, torch CPU tensor (also one with a graph, a conjugate or negative view, or of a
    subclass), pandas or Arrow column, a list of numbers, or a list or object array of any of these.
    bfloat16 comes back as `BFLOAT16`. name: as it reads in messages.

    Raises DTypeError (a form or an element type without a NumPy counterpart), DimensionError (rows of
    different lengths), InputError (masked values).
    """
    if type(x) is np.ndarray and x.dtype.kind in "fiu":  # as of a search, whose other steps take microseconds
        return x
    if is_tensor(x):
        return _from_tensor(x, name)
    if isinstance(x, np.ma.MaskedArray):
        return _without_mask(x, name)
    if isinstance(x, (list, tuple)):
        return _from_list(x, name)
    _refuse_others(x, name)
    array = _plain(x, name)
    return _from_objects(array, name) if array.dtype == object else array


def is_tensor(x: Any) -> bool:
    """True for a torch tensor or one of a subclass; does not import torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def id_values(ids: Any) -> np.ndarray | list[Any]:
    """Ids in any form as an array of numbers (n,), or as a list.

    ids: sequence or generator of ids, NumPy array (also of StringDType), torch tensor, pandas or polars
    column, Arrow array (also of dictionaries or string views). Which values are ids is not checked.
    Raises DTypeError for a single id, a path and other things that are no sequence; DimensionError,
    InputError (masked values).
    """
    if isinstance(ids, os.PathLike):
        raise DTypeError(f"ids is the path {os.fspath(ids)!r}; pass what the file holds")
    if ids is None or isinstance(ids, (str, bytes, numbers.Number, dict)) or getattr(ids, "ndim", 1) == 0:
        raise DTypeError(f"ids must be a sequence of ids, but is the single value {ids!r}; pass [{ids!r}]")
    if hasattr(ids, "to_pylist"):  # Arrow
        return list(ids.to_pylist())
    if not hasattr(ids, "dtype"):
        return [_plain_id(value) for value in _iterated(ids)]
    array = as_numpy(ids, "ids") if is_tensor(ids) or isinstance(ids, np.ma.MaskedArray) else np.asarray(ids)
    if array.ndim != 1:
        raise DimensionError(f"ids must be one-dimensional, but have shape {array.shape}")
    return array.tolist() if array.dtype.kind in "OUST" else array


def _iterated(ids: Any) -> Any:
    try:
        return iter(ids)
    except TypeError as exc:
        raise DTypeError(f"ids must be a sequence of ids, but is of type {type(ids).__name__}") from exc


def _plain_id(value: Any) -> Any:
    """The number in a tensor or array without dimensions; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _plain(x: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(x)
    except (ValueError, OverflowError) as exc:
        raise DimensionError(f"{name} is not a rectangular array of numbers: {exc}") from exc
    except (TypeError, RuntimeError) as exc:
        raise DTypeError(f"{name} cannot be read as an array: {exc}") from exc
    if array.dtype.name == "bfloat16":  # ml_dtypes, as JAX and safetensors use it
        return array.view(np.uint16).view(BFLOAT16)
    return array


def _from_tensor(tensor: Any, name: str) -> np.ndarray:
    import torch

    if tensor.device.type != "cpu":
        raise DTypeError(
            f"{name} is a torch tensor on {tensor.device}, and this function runs on the CPU; "
            f"pass {name}.cpu()"
        )
    if tensor.layout != torch.strided:
        raise DTypeError(f"{name} is a sparse tensor ({tensor.layout}); pass {name}.to_dense()")
    tensor = tensor.detach().resolve_conj().resolve_neg()
    try:
        if tensor.dtype == torch.bfloat16:
            return np.asarray(tensor.contiguous().view(torch.uint16).numpy()).view(BFLOAT16)
        return np.asarray(tensor.numpy())
    except (TypeError, RuntimeError) as exc:
        raise DTypeError(
            f"{name} is a tensor of {tensor.dtype}, which NumPy cannot read; pass {name}.float()"
        ) from exc


def _without_mask(x: Any, name: str) -> np.ndarray:
    masked = int(np.ma.getmaskarray(x).sum())
    if masked:
        raise InputError(
            f"{name} is a masked array with {masked} masked values, which have no numbers; fill them with "
            f"{name}.filled(value), or drop their rows"
        )
    return np.ma.getdata(x)


def _from_list(x: Any, name: str) -> np.ndarray:
    if any(is_tensor(part) or isinstance(part, np.ndarray) for part in x) or _first_leaf_is_tensor(x):
        return _stacked([as_numpy(part, f"{name}[{i}]") for i, part in enumerate(x)], name)
    array = _plain(x, name)
    return _from_objects(array, name) if array.dtype == object else array


def _first_leaf_is_tensor(x: Any) -> bool:
    while isinstance(x, (list, tuple)) and x:
        x = x[0]
    return is_tensor(x)


def _stacked(parts: list[np.ndarray], name: str) -> np.ndarray:
    shapes = {part.shape for part in parts}
    if len(shapes) > 1:
        odd = next(i for i, part in enumerate(parts) if part.shape != parts[0].shape)
        raise DimensionError(
            f"{name} is not a rectangular array: {name}[0] has shape {parts[0].shape}, {name}[{odd}] has "
            f"shape {parts[odd].shape}"
        )
    if len({part.dtype for part in parts}) > 1:
        parts = [widened(part) for part in parts]
    return np.stack(parts)


def _from_objects(array: np.ndarray, name: str) -> np.ndarray:
    """Numbers, or arrays of one shape, that stand in an array of objects (a column of a data frame)."""
    if array.ndim == 0:
        raise DTypeError(f"{name} is of type {type(array.item()).__name__}; an array or a list is needed")
    nothing = [i for i, value in enumerate(array.flat) if value is None]
    if nothing:
        raise InputError(f"{name}: value {nothing[0]} is None; drop it, or put a number there")
    if array.ndim == 1 and all(_is_row(value) for value in array):
        return _stacked([as_numpy(value, f"{name}[{i}]") for i, value in enumerate(array)], name)
    found = _plain(array.tolist(), name)
    if found.dtype != object:
        return found
    kinds = sorted({type(value).__name__ for value in array.flat})
    raise DTypeError(f"{name} holds values of type {', '.join(kinds)}; numbers are needed")


def _is_row(value: Any) -> bool:
    return is_tensor(value) or isinstance(value, (np.ndarray, list, tuple))


def _refuse_others(x: Any, name: str) -> None:
    if type(x).__module__.startswith("scipy.sparse"):
        raise DTypeError(f"{name} is a sparse matrix of scipy; pass {name}.toarray()")
    if isinstance(x, (str, bytes)):
        raise DTypeError(f"{name} is the text {x!r}, but numbers are needed")
    if x is None or isinstance(x, (dict, set, frozenset)) or hasattr(x, "__next__"):
        raise DTypeError(f"{name} is of type {type(x).__name__}; pass an array or a list, such as list(...)")


def form_of(rows: np.ndarray) -> np.ndarray:
    """Rows that have passed the gate, where uint16 means bfloat16 bits, as an array that passes it again."""
    return rows.view(BFLOAT16) if rows.dtype == np.uint16 else rows


def widened(array: np.ndarray) -> np.ndarray:
    """bfloat16 as float32; anything else as it is."""
    return float32_of_bits(array.view(np.uint16)) if array.dtype == BFLOAT16 else array


def float32_of_bits(bits: np.ndarray) -> np.ndarray:
    """bfloat16 numbers, given as their bits in uint16, as float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
