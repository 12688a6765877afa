"""RepCONCLoss inside sentence-transformers' trainer."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")


@pytest.fixture
def model(tiny_model):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(tiny_model), device="cpu")


@pytest.fixture
def loss(model, rng):
    from cluscomp.training import RepCONCLoss

    return RepCONCLoss(model, np.eye(16), 0.3 * rng.normal(size=(4, 16, 4)), matryoshka_dims=[16, 8])


def features(model, texts):
    return dict(model.preprocess(texts))


def test_equal_documents_are_no_negatives(model, loss):
    queries, documents = ["a cat", "the dog"], ["red cat", "red cat"]
    model.eval()
    loss.error_weight, loss.matryoshka_dims = 0.0, ()
    assert float(loss([features(model, queries), features(model, documents)]).detach()) == 0
    other = loss([features(model, queries), features(model, documents), features(model, ["bird", "green"])])
    assert float(other.detach()) > 0


def test_trains_encoder_and_centroids_in_the_trainer(model, loss, tmp_path):
    datasets = pytest.importorskip("datasets", reason="SentenceTransformerTrainer needs it")
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

    words = ["red", "green", "blue", "cat", "dog", "bird"]
    rows = [{"query": f"the {w}", "positive": f"a {w} sees a {w}", "negative": "of a"} for w in words * 4]
    before = {name: p.detach().clone() for name, p in loss.named_parameters()}
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path), max_steps=12, per_device_train_batch_size=8, learning_rate=1e-2,
        report_to="none", save_strategy="no", logging_steps=1, disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(
        model=model, args=arguments, train_dataset=datasets.Dataset.from_list(rows), loss=loss
    )
    trainer.train()
    assert not torch.equal(loss.centroids.detach(), before["centroids"])
    assert any(not torch.equal(p, before[f"model.{n}"]) for n, p in model.named_parameters())
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
