"""Rows of a mixture of Gaussians, and small indexes over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cluscomp.indexes import Index, index_factory
from cluscomp.quantization import LearnedCodec, ProductQuantizer

DIM = 16

# One key for each form of the grammar and each pair of partition and codec.
ALL_KEYS = (
    "Flat",
    "SQfp16",
    "SQ8",
    "SQ4",
    "PQ4",
    "PQ4x4",
    "PQ4x6",
    "PCA8,Flat",
    "RR,SQ8",
    "RR8,Flat",
    "L2norm,Flat",
    "OPQ4,PQ4",
    "OPQ4_8,PQ4x4",
    "PCA12,OPQ4,PQ4x4",
    "IVF8,Flat",
    "IVF8,SQfp16",
    "IVF8,SQ8",
    "IVF8,SQ4",
    "IVF8,PQ4",
    "IVF8,PQ4x4",
    "OPQ4,IVF8,PQ4x6",
    "OPQ2,IVF8,PQ4x4",
    "SQ8,RFlat",
    "PQ4x4,Refine(SQ8)",
    "L2norm,IVF8,PQ4,Refine(SQfp16)",
    "PCA8,IVF8,SQ8,RFlat",
    "BIVF8,Flat",
    "BIVF8,PQ4",
    "BIVF8(cap=1),SQ8",
    "OPQ4,BIVF8(cap=1.2),PQ4x4,RFlat",
    "PCA8,BIVF8,PQ4,Refine(SQ8)",
    "MRL12,PQ4",
    "MRL8,OPQ4,IVF8,PQ4x4,RFlat",
    "RepCONC(learned)",
    "RepCONC(learned-x4),RFlat",
    "IVF8,RepCONC(learned)",
    "BIVF8,RepCONC(learned),RFlat",
    "PQ4,BiDR(SQfp16)",
    "IVF8,RepCONC(learned),BiDR(SQ8)",
    "RR,RaBitQ",
    "RR,RaBitQ8",
    "RR,IVF8,RaBitQ4",
    "RR,IVF8,RaBitQ,Refine(SQ8)",
    "RR,BIVF8(cap=1.2),RaBitQ2,BiDR(RaBitQ8)",
    "SAQ16",
    "IVF8,SAQ18,Refine(SAQ24)",
)
METRICS = ("ip", "l2", "cosine")


@pytest.fixture(scope="session")
def all_keys() -> tuple[str, ...]:
    return ALL_KEYS


@pytest.fixture(scope="session")
def rows() -> np.ndarray:
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((12, DIM)) * 2
    return (centres[rng.integers(12, size=600)] + rng.standard_normal((600, DIM))).astype(np.float32)


@pytest.fixture(scope="session")
def queries() -> np.ndarray:
    rng = np.random.default_rng(8)
    return (rng.standard_normal((9, DIM)) * 2).astype(np.float32)


@pytest.fixture(scope="session")
def learned_codec(rows: np.ndarray) -> Callable[..., LearnedCodec]:
    """learned_codec(metric, nbits) -> codec with centroids of its own for the scores and, but for l2, an adapter."""

    def make(metric: str = "ip", nbits: int = 8) -> LearnedCodec:
        x = unit(rows) if metric == "cosine" else rows
        quantizer = ProductQuantizer(DIM, 4, nbits, rotation="opq", n_iter=4).train(x)
        assert quantizer.rotation_ is not None
        rng = np.random.default_rng(9)
        adapter = {
            "adapter_weight": np.eye(DIM) + 0.02 * rng.standard_normal((DIM, DIM)),
            "adapter_bias": 0.02 * rng.standard_normal(DIM),
        }
        return LearnedCodec(
            quantizer.rotation_.matrix,
            quantizer.centroids,
            quantizer.centroids + np.float32(0.01),
            metric=metric,
            **({} if metric == "l2" else adapter),
        )

    return make


@pytest.fixture(scope="session")
def with_folders(
    learned_codec: Callable[..., LearnedCodec], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], str]:
    """with_folders(key, metric) -> the key with the folder of a codec where it says "learned"."""
    base = tmp_path_factory.mktemp("codecs")
    for metric in METRICS:
        learned_codec(metric).save(base / metric / "learned")
        learned_codec(metric, 4).save(base / metric / "learned-x4")
    return lambda key, metric: key.replace("(learned", f"({base / metric}/learned")


@pytest.fixture(scope="session")
def trained(rows: np.ndarray, with_folders: Callable[[str, str], str]) -> Callable[..., Index]:
    """trained(key, metric) -> index trained on `rows`, without rows; training happens once a key."""
    states: dict[tuple[str, str], dict[str, Any]] = {}
    facts: dict[tuple[str, str], dict[str, Any]] = {}

    def make(key: str, metric: str = "ip") -> Index:
        index = index_factory(with_folders(key, metric), DIM, metric, seed=3)
        if (key, metric) not in states:
            index.train(rows)
            facts[key, metric] = index.training
            states[key, metric] = {
                name: stage.parameters() for name, stage in index.pipeline.stages().items()
            }
        for name, stage in index.pipeline.stages().items():
            stage.load(states[key, metric][name])
        index.settings["training_rows"] = len(rows)
        index._training = facts[key, metric]
        return index

    return make


@pytest.fixture
def make_index(trained: Callable[..., Index], rows: np.ndarray) -> Callable[..., Index]:
    """make_index(key, metric, ids=...) -> index that holds `rows`."""

    def make(key: str, metric: str = "ip", ids: Any = None) -> Index:
        return trained(key, metric).add(rows, ids)

    return make


def exact_scores(queries: np.ndarray, rows: np.ndarray, metric: str) -> np.ndarray:
    """float64 scores (nq, n): inner product, cosine, or negative squared distance."""
    q, x = queries.astype(np.float64), rows.astype(np.float64)
    if metric == "cosine":
        q, x = unit(q), unit(x)
    if metric == "l2":
        return -((q[:, None, :] - x[None, :, :]) ** 2).sum(axis=2)
    return q @ x.T


def unit(x: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norms == 0, 1, norms)


@pytest.fixture(scope="session")
def exact() -> Callable[..., np.ndarray]:
    return exact_scores


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "any_key" in metafunc.fixturenames:
        metafunc.parametrize("any_key", ALL_KEYS)
    if "any_metric" in metafunc.fixturenames:
        metafunc.parametrize("any_metric", METRICS)
