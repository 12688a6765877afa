"""Embeddings as other packages hand them over: lists and arrays, torch tensors on any device."""

from __future__ import annotations

from typing import Any

import numpy as np


def on_cpu(embeddings: Any) -> Any:
    """The same embeddings without gradient and outside accelerators; lists of tensors, too."""
    if isinstance(embeddings, (list, tuple)):
        return [on_cpu(part) for part in embeddings]
    return embeddings.detach().cpu() if _is_elsewhere(embeddings) else embeddings


def _is_elsewhere(embeddings: Any) -> bool:
    return hasattr(embeddings, "detach") and embeddings.device.type not in ("cpu", "meta")


def token_matrices(embeddings: Any) -> Any:
    """Token vectors of texts as `MultiVectorIndex` takes them: an array (n, t, d), one (t, d) of a single
    text, or a list of arrays or tensors (t_i, d); matrices in nested lists become float32 arrays.
    """
    found = on_cpu(embeddings)
    if not isinstance(found, list):
        return found
    if found and not hasattr(found[0], "ndim") and _is_matrix(found):
        return np.asarray(found, dtype=np.float32)
    return [part if hasattr(part, "ndim") else np.asarray(part, dtype=np.float32) for part in found]


def _is_matrix(rows: list[Any]) -> bool:
    """Whether nested lists are the vectors of one text, not of several."""
    return not hasattr(rows[0][0], "__len__")
