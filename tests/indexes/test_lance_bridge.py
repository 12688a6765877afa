"""to_lance: the arrays that Lance gets, and what it would answer by them."""

from __future__ import annotations

import numpy as np
import pytest
from lance_reference import CASES, lance_distances

from cluscomp.errors import NotTrainedError, UsageError
from cluscomp.indexes import Index, index_factory
from cluscomp.quantization import LearnedCodec


@pytest.mark.parametrize(("key", "metric", "name"), CASES)
def test_arguments(trained, rows, queries, key, metric, name) -> None:
    """Shapes, and scores of the arrays near to those of the index: codes for products are not the nearest."""
    index = trained(key, metric).add(rows)
    copied = index.to_lance()
    arguments, d = copied.arguments, copied.rows(rows).shape[1]
    assert arguments["metric"] == name and d == index.pipeline.codec.dim
    nlist = index.spec.nlist
    assert arguments["num_partitions"] == nlist and arguments["ivf_centroids"].shape == (nlist, d)
    if arguments["index_type"] == "IVF_PQ":
        m, bits = arguments["num_sub_vectors"], arguments["num_bits"]
        assert arguments["pq_codebook"].shape == (m, 1 << bits, d // m)
    assert all(
        a.dtype == np.float32 and a.flags.c_contiguous
        for a in arguments.values()
        if isinstance(a, np.ndarray)
    )
    distances = lance_distances(arguments, copied.rows(rows), copied.queries(queries))
    ours = index.score(queries, np.arange(len(rows)), finer=False)
    for mine, theirs in zip(ours, -distances, strict=True):
        assert np.corrcoef(mine, theirs)[0, 1] > 0.9
    if metric == "l2":  # the nearest codewords, as ours are
        np.testing.assert_allclose(-distances, ours, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("key", "metric", "remedy"),
    [
        ("Flat", "l2", "build the index with IVF or PQ"),
        ("SQ8", "l2", "build the index with PQ"),
        ("IVF8,SQfp16", "l2", "build the index with PQ"),
        ("PQ4x6", "l2", "PQ4x4, PQ4x8"),
        ("BIVF8,PQ4", "l2", "build the index with IVF8"),
        ("IVF8,PQ4", "ip", "unit_rows=True"),
        ("PCA8,IVF8,PQ4", "cosine", "the metric l2, or without lists"),
        ("RepCONC(learned)", "ip", "build the index with PQ"),
    ],
)
def test_what_lance_does_not_have(trained, key, metric, remedy) -> None:
    with pytest.raises(UsageError, match=remedy):
        trained(key, metric).to_lance()


def test_untrained() -> None:
    with pytest.raises(NotTrainedError):
        index_factory("PQ4", 16).to_lance()


def test_unit_rows(trained, rows) -> None:
    """A caller who knows that rows have length one gets cosine for ip; a projection to fewer dimensions shortens."""
    assert trained("OPQ4,IVF8,PQ4", "ip").to_lance(unit_rows=True).arguments["metric"] == "cosine"
    with pytest.raises(UsageError, match="the metric l2, or without lists"):
        trained("PCA8,IVF8,PQ4", "ip").to_lance(unit_rows=True)


def learned(learned_codec, folder, key: str) -> Index:
    """An index of a codec that scores by the centroids that it codes by."""
    codec = learned_codec("ip")
    adapter = {"adapter_weight": codec.adapter_weight, "adapter_bias": codec.adapter_bias}
    LearnedCodec(codec.rotation, codec.document_centroids, metric="ip", **adapter).save(folder / "codec")
    return index_factory(key.replace("folder", str(folder / "codec")), codec.dim, "ip", seed=3)


@pytest.mark.parametrize("key", ["RepCONC(folder)", "IVF8,RepCONC(folder)"])
def test_a_learned_codec_of_one_set(learned_codec, rows, queries, tmp_path, key) -> None:
    """Whole rows are coded also behind lists, as Lance does for products; queries pass the adapter."""
    index = learned(learned_codec, tmp_path, key).train(rows).add(rows)
    copied = index.to_lance()
    assert copied.arguments["metric"] == "dot"
    distances = lance_distances(copied.arguments, copied.rows(rows), copied.queries(queries))
    np.testing.assert_allclose(
        1 - distances, index.score(queries, np.arange(len(rows))), rtol=1e-3, atol=1e-3
    )
