"""to_cuvs: shapes as cuVS documents them, and scores computed from the arrays as cuVS describes its search."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.errors import UsageError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.cuvs_bridge import ForCuvs

KEYS = (
    "PQ4",
    "PQ4x4",
    "PQ4x6",
    "SQ4",
    "OPQ4,PQ4",
    "OPQ4_8,PQ4x4",
    "PCA12,OPQ4,PQ4x4",
    "MRL12,PQ4",
    "IVF8,SQ4",
    "IVF8,PQ4",
    "OPQ4,IVF8,PQ4x6",
    "PCA8,IVF8,PQ4",
    "L2norm,IVF8,PQ4,Refine(SQfp16)",
    "MRL8,OPQ4,IVF8,PQ4x4,RFlat",
)


def cuvs_shapes(params: dict, dim: int) -> dict[str, tuple[int, ...]]:
    """From the documentation of `build_precomputed`."""
    pq_len = (dim + params["pq_dim"] - 1) // params["pq_dim"]
    dim_ext = (dim + 1 + 7) // 8 * 8
    return {
        "pq_centers": (params["pq_dim"], pq_len, 1 << params["pq_bits"]),
        "centers": (params["n_lists"], dim_ext),
        "centers_rot": (params["n_lists"], params["pq_dim"] * pq_len),
        "rotation_matrix": (params["pq_dim"] * pq_len, dim),
    }


def cuvs_scores(copied: ForCuvs, lists: np.ndarray, rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(nq, n) float64: residuals R (x - center) are coded, and l2 of R q - centers_rot or products are looked up."""
    arrays, dim = {name: a.astype(np.float64) for name, a in copied.arrays.items()}, copied.dim
    residuals = (rows - arrays["centers"][lists, :dim]) @ arrays["rotation_matrix"].T
    parts = []
    for part, book in zip(
        np.split(residuals, len(arrays["pq_centers"]), axis=1), arrays["pq_centers"], strict=True
    ):
        parts.append(book.T[((part[:, :, None] - book) ** 2).sum(axis=1).argmin(axis=1)])
    stored = np.hstack(parts) + arrays["centers_rot"][lists]
    asked = queries @ arrays["rotation_matrix"].T
    if copied.index_params["metric"] == "inner_product":
        return asked @ stored.T
    return -((asked[:, None] - stored) ** 2).sum(axis=2)


def cuvs_lists(copied: ForCuvs, queries: np.ndarray) -> np.ndarray:
    """The first list of each query: the product with columns up to dim; for l2 with (-2 q, 1) up to dim + 1."""
    centers, dim = copied.arrays["centers"].astype(np.float64), copied.dim
    if copied.index_params["metric"] == "inner_product":
        return (queries @ centers[:, :dim].T).argmax(axis=1)
    return (centers[:, dim] - 2 * queries @ centers[:, :dim].T).argmin(axis=1)


@pytest.mark.parametrize("key", KEYS)
def test_arrays(trained, rows, queries, any_metric, key) -> None:
    index = trained(key, any_metric).add(rows)
    copied = index.to_cuvs()
    params, stored, asked = copied.index_params, copied.rows(rows), copied.queries(queries)
    assert stored.shape[1] == copied.dim
    assert {name: a.shape for name, a in copied.arrays.items()} == cuvs_shapes(params, copied.dim)
    assert all(a.dtype == np.float32 and a.flags.c_contiguous for a in copied.arrays.values())
    assert params["n_lists"] == index.spec.nlist and params["codebook_kind"] == "subspace"
    assert params["metric"] == ("sqeuclidean" if any_metric == "l2" else "inner_product")
    assert 4 <= params["pq_bits"] <= 8 and params["pq_bits"] * params["pq_dim"] % 8 == 0
    padding = copied.arrays["centers"][:, copied.dim + 1 :]
    assert not padding.any()
    lists = cuvs_lists(copied, stored)
    scores = cuvs_scores(copied, lists, stored, asked)
    ours = index.score(queries, np.arange(len(rows)), finer=False)
    for mine, theirs in zip(ours, scores, strict=True):
        assert np.corrcoef(mine, theirs)[0, 1] > 0.9  # codes for products are not the nearest
    if any_metric == "l2":
        # What the transforms drop of a row is part of no code, neither here nor there.
        np.testing.assert_allclose(scores, ours, rtol=1e-3, atol=1e-3)
    if index.pipeline.partition is not None:
        projected = index.pipeline.project_queries(index.pipeline.base_rows(queries))
        own = index.pipeline.partition.probe(projected, 1).lists[:, 0]
        np.testing.assert_array_equal(cuvs_lists(copied, asked), own)


@pytest.mark.parametrize(
    ("key", "metric", "remedy"),
    [
        ("Flat", "l2", "build the index with PQ"),
        ("IVF8,SQ8", "l2", "build the index with PQ"),
        ("BIVF8,PQ4", "l2", "build the index with IVF8"),
        ("RepCONC(learned)", "ip", "build the index with PQ"),
    ],
)
def test_what_cuvs_does_not_have(trained, key, metric, remedy) -> None:
    with pytest.raises(UsageError, match=remedy):
        trained(key, metric).to_cuvs()


@pytest.mark.parametrize(("key", "remedy"), [("PQ3x4", "with 4 groups"), ("PQ2x6", "with 4 groups")])
def test_codes_are_whole_bytes(key, remedy) -> None:
    index = index_factory(key, 12, "l2").train(np.random.default_rng(0).standard_normal((300, 12)))
    with pytest.raises(UsageError, match=remedy):
        index.to_cuvs()


def test_an_opened_index(trained, rows, tmp_path) -> None:
    """Without rows as well: what was learned is all that is needed."""
    index = trained("OPQ4,IVF8,PQ4", "l2")
    index.save(tmp_path / "index")
    copied, again = index.to_cuvs(), open_index(tmp_path / "index").to_cuvs()
    assert again.index_params == copied.index_params
    for name, array in copied.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)
