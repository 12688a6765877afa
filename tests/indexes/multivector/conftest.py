"""Documents of several unit vectors around common directions, as encoders of tokens make them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cluscomp.indexes import index_factory

DIM = 24

# One key for each form of pool and each pair of partition and codec.
KEYS = (
    "Pool4,Flat",
    "Pool(f=1),SQfp16",
    "Pool(f=3),SQ8",
    "Pool4,SQ4",
    "Pool(bytes=48),PQ12",
    "Pool(n=4,method=kmeans,protected=1),IVF8,Flat",
    "Pool4,IVF8,PQ12",
    "Pool4,OPQ6,IVF8,PQ6",
    "Pool4,IVF8,SQ4",
    "Pool4,BIVF8,PQ12",
    "Pool4,IVF8,PQ12x4",
    "Pool4,PCA16,IVF8,SQ8",
    "Pool4,IVF8,PQ6,RFlat",
    "Pool4,PQ6,Refine(SQ8)",
    "Pool4,RR,RaBitQ2",
    "Pool4,RR,IVF8,RaBitQ4,Refine(RaBitQ8)",
)


def token_vectors(seed: int, lengths: np.ndarray) -> np.ndarray:
    """Unit vectors (sum of lengths, DIM) near 40 directions."""
    directions = np.random.default_rng(0).standard_normal((40, DIM))
    rng = np.random.default_rng(seed)
    n = int(lengths.sum())
    rows = directions[rng.integers(40, size=n)] + 0.5 * rng.standard_normal((n, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="session")
def documents() -> tuple[np.ndarray, np.ndarray]:
    lengths = np.random.default_rng(1).integers(1, 20, size=150)
    return token_vectors(2, lengths), lengths


@pytest.fixture(scope="session")
def questions() -> tuple[np.ndarray, np.ndarray]:
    lengths = np.array([5, 1, 33, 8, 2])
    return token_vectors(3, lengths), lengths


@pytest.fixture(scope="session")
def make_documents(documents: Any) -> Any:
    """make_documents(key, ids=None, metric="ip") -> index that holds the documents; trained once a key."""
    states: dict[str, Any] = {}

    def make(key: str, ids: Any = None, metric: str = "ip") -> Any:
        x, lengths = documents
        index = index_factory(key, DIM, metric, seed=3)
        if (key, metric) not in states:
            index.train(x, lengths=lengths)
            states[key, metric] = {
                name: stage.parameters() for name, stage in index.pipeline.stages().items()
            }
        for name, stage in index.pipeline.stages().items():
            stage.load(states[key, metric][name])
        return index.add(x, lengths=lengths, ids=ids)

    return make


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "key" in metafunc.fixturenames:
        metafunc.parametrize("key", KEYS)
