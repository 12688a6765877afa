"""A tiny sentence-transformers model with random weights, and an encoder without any model."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from tiny_models import save_tiny_model

from cluscomp.encoders.base import EncoderInfo, check_texts


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def make_model(tmp_path_factory):
    def make(**settings) -> Path:
        return save_tiny_model(tmp_path_factory.mktemp("tiny") / "model", **settings)

    return make


class HashEncoder:
    """Every text gets a vector from its hash: exact, fast, and it remembers what it was asked to encode."""

    def __init__(self, dim: int = 6, fingerprint: str = "f0") -> None:
        self.info = EncoderInfo("hash", "dense", dim, False, "", "", None, fingerprint)
        self.calls: list[list[str]] = []
        self.fail_after: int | None = None

    def encode_documents(self, texts, progress=None):
        return self._encode(texts, "document", progress)

    def encode_queries(self, texts, progress=None):
        return self._encode(texts, "query", progress)

    def _encode(self, texts, side, progress):
        checked = check_texts(texts)
        if self.fail_after is not None and len(self.calls) >= self.fail_after:
            raise KeyboardInterrupt
        self.calls.append(checked)
        if progress is not None:
            progress("encode", len(checked), len(checked))
        return (
            np.stack([self.vector(side, text) for text in checked])
            if checked
            else np.zeros((0, self.info.dim), np.float32)
        )

    def vector(self, side: str, text: str) -> np.ndarray:
        data = hashlib.sha256(f"{self.info.fingerprint} {side} {text}".encode()).digest()
        return np.frombuffer(data[: self.info.dim], np.uint8).astype(np.float32)

    def expected(self, texts, side="document") -> np.ndarray:
        return np.stack([self.vector(side, text) for text in texts])


@pytest.fixture
def hash_encoder() -> HashEncoder:
    return HashEncoder()


@pytest.fixture
def make_hash_encoder():
    return HashEncoder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
