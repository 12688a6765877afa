"""Small documents in both forms."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.encoders import load_encoder
from cluscomp.indexes import index_factory
from cluscomp.terms import HybridRows

N, DIM = 400, 16
WORDS = [f"w{i}" for i in range(50)]
KEY = "IVF8,Flat+Sparse(bm25)"


def texts_of(n, seed):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 8)) for _ in range(n)]


def rows_of(n=N, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)
    return HybridRows(x, load_encoder("words", "words").encode_documents(texts_of(n, seed)))


def ragged_rows(n=80, seed=1):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 6, n)
    x = rng.standard_normal((int(lengths.sum()), DIM)).astype(np.float32)
    return HybridRows(x, rows_of(n, seed).terms, lengths)


@pytest.fixture
def rows():
    return rows_of()


@pytest.fixture
def queries():
    return rows_of(20, 9)


@pytest.fixture
def index(rows):
    return index_factory(KEY, DIM).train(rows).add(rows, [f"d{i}" for i in range(N)])
