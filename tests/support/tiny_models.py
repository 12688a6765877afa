"""A tiny sentence-transformers model with random weights."""

from __future__ import annotations

import string
from pathlib import Path

import pytest

WORDS = ["red", "green", "blue", "cat", "dog", "bird", "sees", "the", "a", "of", "query", "document", ":"]


def save_tiny_model(
    folder: Path, *, seed: int = 0, normalize: bool = True, prompts: dict | None = None,
    pooling: str = "mean", dropout: float = 0.1,
) -> Path:  # fmt: skip
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
        hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    BertModel(config).eval().save_pretrained(backbone)
    BertTokenizerFast(str(backbone / "vocab.txt"), model_max_length=64).save_pretrained(backbone)
    steps = [modules.Transformer(str(backbone)), modules.Pooling(16, pooling)]
    if normalize:
        steps.append(modules.Normalize())
    transformers_logging.disable_progress_bar()  # it would be taken for noise of the code under test
    library.SentenceTransformer(modules=steps, prompts=prompts, device="cpu").save(str(folder))
    return folder
