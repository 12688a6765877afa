"""Assignment: the nearest centroid of each row."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np

from cluscomp import checks, native
from cluscomp.arrays import Array, as_rows, iter_blocks, normalize_rows, row_norms, to_float32
from cluscomp.clustering.blocks import block_rows
from cluscomp.clustering.device import assign_on_device, is_cuda_tensor
from cluscomp.clustering.metrics import kernel_metric
from cluscomp.progress import Progress, Ticker
from cluscomp.vocabulary import Metric


@overload
def assign(
    x: np.ndarray,
    centroids: Any,
    *,
    metric: str = "l2",
    return_scores: Literal[False] = False,
    progress: Progress | None = None,
) -> np.ndarray: ...
@overload
def assign(
    x: np.ndarray,
    centroids: Any,
    *,
    metric: str = "l2",
    return_scores: Literal[True],
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]: ...
@overload
def assign(
    x: Any,
    centroids: Any,
    *,
    metric: str = "l2",
    return_scores: Literal[False] = False,
    progress: Progress | None = None,
) -> Array: ...
@overload
def assign(
    x: Any,
    centroids: Any,
    *,
    metric: str = "l2",
    return_scores: Literal[True],
    progress: Progress | None = None,
) -> tuple[Array, Array]: ...
def assign(
    x: Any,
    centroids: Any,
    *,
    metric: str = "l2",
    return_scores: bool = False,
    progress: Progress | None = None,
) -> Array | tuple[Array, Array]:
    """Find the nearest centroid of each row.

    Labels are those of float64 arithmetic up to exact ties, for any thread count and block size.

    Args:
        x: rows (n, d), NumPy array, memory map or torch tensor. float32, float16 and bfloat16 are read in
            blocks without a converted copy; other number types become float32. A CUDA tensor is assigned on
            its GPU, and the results stay there.
        centroids: (k, d), at least one.
        metric: "l2" (smallest squared distance), "ip" (largest inner product) or "cosine" (largest cosine; a
            zero row has cosine 0 with everything). Ties go to the lowest centroid index.
        return_scores: return scores, too.
        progress: called as progress(stage, done, total) in rows after each block.

    Returns:
        Labels (n,) int32; with return_scores also scores (n,) float32: squared distance, inner product or
        cosine of each row with its centroid.

    Raises:
        UnknownKeyError: the metric is unknown.
        DimensionError: x and centroids differ in width, or are no matrices.
        DTypeError, NonFiniteError: a value is no finite number.
        EmptyInputError: there is no centroid.
    """
    checked = checks.metric(metric)
    if is_cuda_tensor(x):
        found = assign_on_device(x, centroids, checked)
        return found if return_scores else found[0]
    centroids = to_float32(as_rows(centroids, name="centroids"))
    x = as_rows(x, dim=centroids.shape[1], min_rows=0)
    ticker = Ticker(progress, "assign", x.shape[0])
    labels, scores = assign_rows(x, centroids, checked, ticker=ticker, with_scores=return_scores)
    ticker.finish()
    return (labels, scores) if return_scores else labels


def run_assigner(
    assigner: native.Assigner,
    x: np.ndarray,
    *,
    hints: np.ndarray | None = None,
    ticker: Ticker | None = None,
    with_scores: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """`Assigner.assign` in blocks, between which Ctrl-C and progress are answered."""
    n = x.shape[0]
    labels = np.empty(n, dtype=np.int32)
    scores = np.empty(n if with_scores else 0, dtype=np.float32)
    for block in iter_blocks(n, block_rows(assigner.dim, assigner.k)):
        likely = None if hints is None else hints[block]
        labels[block], scores[block] = assigner.assign(x[block], likely, with_scores=with_scores)
        if ticker is not None:
            ticker.advance(block.stop - block.start)
    return labels, scores


def assign_rows(
    x: np.ndarray,
    centroids: np.ndarray,
    metric: Metric,
    *,
    norms: np.ndarray | None = None,
    hints: np.ndarray | None = None,
    basis: np.ndarray | None = None,
    ticker: Ticker | None = None,
    with_scores: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Assign checked rows: x (n, d) of kernel dtype, centroids (k, d) float32.

    norms: (n,) row norms for the metric cosine where the caller has them; computed here otherwise.
    hints: (n,) int32 likely labels, such as those of the last step; they save time and change nothing.
    basis: directions in which centroids vary most, as `native.Assigner` takes them; they do as well.
    Returns labels (n,) int32 and scores (n,) float32 as `assign` does; without with_scores none (0,).
    """
    if metric == "cosine":
        # Scaling a row does not change which centroid wins, so rows are not normalised, only their scores.
        centroids = normalize_rows(centroids)
        norms = row_norms(x) if norms is None and with_scores else norms
    assigner = native.Assigner(np.ascontiguousarray(centroids), kernel_metric(metric), basis=basis)
    labels, scores = run_assigner(assigner, x, hints=hints, ticker=ticker, with_scores=with_scores)
    if metric == "cosine" and norms is not None and with_scores:
        np.divide(scores, norms, out=scores, where=norms > 0, casting="same_kind")
    return labels, scores
