"""Groups and means of other implementations: those of their own code, and sentence-transformers itself."""

from __future__ import annotations

import numpy as np
import pytest
from ward_reference import partition

import cluscomp as cc

# Made by running, on `tokens()`, HierarchicalTokenPooler of colpali-engine 0.3.18 (pool_factor=3) and
# ColBERT.pool_embeddings_hierarchical of PyLate 1.6.0 (pool_factor=3, protected_tokens=1).
COLPALI = [
    [0, 5, 11, 16],
    [1, 6, 8, 13, 17],
    [2, 12, 18, 22],
    [3, 4, 21],
    [7, 14, 19],
    [9, 15],
    [10, 20],
    [23],
]
PYLATE = [[1, 6, 13, 15, 17], [2, 12, 18, 22], [3, 4, 5, 16, 21], [7, 8], [9, 11], [10, 20, 23], [14, 19]]


def tokens():
    """24 unit vectors of 6 dimensions."""
    x = np.round(np.random.default_rng(7).normal(size=(24, 6)), 2)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("f4")


def test_colpali_engine(level):
    pooled, kept, labels = cc.pool_tokens(
        tokens(), [24], factor=3, linkage_input="cosine_square", return_labels=True
    )
    assert partition(labels) == COLPALI and kept == [8]
    means = np.stack([tokens()[group].mean(0) for group in sorted(COLPALI)])
    np.testing.assert_allclose(pooled, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-6)


def test_pylate(level):
    pooled, kept, labels = cc.pool_tokens(
        tokens(),
        [24],
        factor=3,
        linkage_input="cosine_condensed",
        protected=1,
        renormalize=False,
        return_labels=True,
    )
    assert partition(labels) == [[0], *PYLATE] and kept == [8]
    np.testing.assert_allclose(
        pooled, np.stack([tokens()[group].mean(0) for group in [[0], *PYLATE]]), atol=1e-6
    )


@pytest.mark.parametrize(("factor", "protected"), [(2, 1), (3, 0), (1.5, 2), (50, 1)])
def test_sentence_transformers(rng, factor, protected):
    torch = pytest.importorskip("torch")
    modules = pytest.importorskip("sentence_transformers.multi_vector_encoder.modules")
    pytest.importorskip("scipy")
    rows = rng.normal(size=(90, 16)) + 0.5
    x = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("f4")
    lengths = [40, 3, 47]
    theirs = modules.HierarchicalTokenPooling(factor, num_protected_tokens=protected)
    want = theirs.pool([torch.from_numpy(part) for part in np.split(x, np.cumsum(lengths)[:-1])])
    pooled, kept = cc.pool_tokens(
        x, lengths, factor=factor, linkage_input="cosine_condensed", protected=protected
    )
    assert kept.tolist() == [len(part) for part in want]
    for ours, part in zip(np.split(pooled, np.cumsum(kept)[:-1]), want, strict=True):
        np.testing.assert_allclose(_sorted(ours), _sorted(part.numpy()), atol=1e-5)


def _sorted(rows):
    """Vectors in an order of their own: implementations number groups differently."""
    return rows[np.lexsort(np.round(rows[:, :2], 3).T)]
