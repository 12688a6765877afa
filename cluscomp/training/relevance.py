"""Which documents of a batch answer which of its queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def positive_mask(positives: Sequence[Sequence[int]], rows: np.ndarray) -> np.ndarray:
    """(q, n) bool: whether document rows[j] is a known positive of query i."""
    mask: np.ndarray = np.stack([np.isin(rows, known) for known in positives])
    return mask


def repeated(rows: np.ndarray) -> np.ndarray:
    """(n,) bool: whether a document stands at an earlier position already."""
    again = np.ones(rows.size, dtype=bool)
    again[np.unique(rows, return_index=True)[1]] = False
    return again


def on_device(mask: np.ndarray, like: Tensor) -> Tensor:
    """The mask as a tensor where `like` is."""
    import torch

    return torch.from_numpy(mask).to(like.device)
