"""A tiny sentence-transformers model with random weights, and an encoder without any model."""

from __future__ import annotations

import hashlib
import string
from pathlib import Path

import numpy as np
import pytest

from cluscomp.encoders.base import EncoderInfo, check_texts

WORDS = ["red", "green", "blue", "cat", "dog", "bird", "sees", "the", "a", "of", "query", "document", ":"]


def save_tiny_model(
    folder: Path, *, seed: int = 0, normalize: bool = True, prompts: dict | None = None, pooling: str = "mean"
) -> Path:
    """A BERT of 2 layers and 16 dimensions with 64 positions, saved as a sentence-transformers folder."""
    torch = pytest.importorskip("torch", reason="needs the extra 'encode'")
    library = pytest.importorskip("sentence_transformers", reason="needs the extra 'encode'")
    from sentence_transformers.sentence_transformer import modules
    from transformers import BertConfig, BertModel, BertTokenizerFast
    from transformers.utils import logging as transformers_logging

    pieces = list(string.ascii_lowercase + string.digits + string.punctuation)
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *WORDS,
        *(p for p in pieces if p not in WORDS),
    ]
    vocabulary += [f"##{piece}" for piece in string.ascii_lowercase]
    backbone = folder.with_name(folder.name + "-backbone")
    backbone.mkdir(parents=True)
    (backbone / "vocab.txt").write_text("\n".join(dict.fromkeys(vocabulary)), encoding="utf-8")
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(dict.fromkeys(vocabulary)), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64, initializer_range=0.5,
    )  # fmt: skip
    BertModel(config).eval().save_pretrained(backbone)
    BertTokenizerFast(str(backbone / "vocab.txt"), model_max_length=64).save_pretrained(backbone)
    steps = [modules.Transformer(str(backbone)), modules.Pooling(16, pooling)]
    if normalize:
        steps.append(modules.Normalize())
    transformers_logging.disable_progress_bar()  # it would be taken for noise of the code under test
    library.SentenceTransformer(modules=steps, prompts=prompts, device="cpu").save(str(folder))
    return folder


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
            progress(len(checked), len(checked))
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


@pytest.fixture()
def hash_encoder() -> HashEncoder:
    return HashEncoder()


@pytest.fixture()
def make_hash_encoder():
    return HashEncoder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
