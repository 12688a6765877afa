"""Vectors with gradient: the gradient cache changes memory, not results."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

TEXTS = ["a red cat", "the dog sees a blue bird of the cat", "green", "a bird", "red red red dog cat"]


@pytest.fixture
def model(tiny_model):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(tiny_model), device="cpu")


def tower(model, **settings):
    from cluscomp.training.repconc.tower import TextTower

    return TextTower(
        model, "document", **{"prompt": "", "max_length": 32, "chunk": None, "bf16": False, **settings}
    )


def gradients(model, encoded):
    model.zero_grad()
    (encoded.vectors @ encoded.vectors.T).logsumexp(1).sum().backward()
    encoded.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_vectors_are_those_of_the_encoder_in_the_order_of_the_texts(model):
    model.eval()
    expected = torch.from_numpy(model.encode(TEXTS))
    for chunk in (None, 2):
        assert torch.allclose(tower(model, chunk=chunk).encode(TEXTS, 0).vectors, expected, atol=1e-5)


def test_gradient_cache_gives_the_same_gradients(model):
    model.eval()
    direct = gradients(model, tower(model).encode(TEXTS, 0))
    cached = gradients(model, tower(model, chunk=2).encode(TEXTS, 0))
    assert direct.keys() == cached.keys()
    assert all(torch.allclose(direct[name], cached[name], atol=1e-4) for name in direct)


def test_dropout_is_the_same_in_both_passes_of_the_cache(model):
    """With different dropout in the second pass, the gradient would not be that of the loss."""
    model.train()
    encoded = tower(model, chunk=5).encode(TEXTS, 7)
    torch.manual_seed(7)
    order = sorted(range(5), key=lambda i: (-len(TEXTS[i]), i))
    plain = tower(model)._forward([TEXTS[i] for i in order])
    assert torch.equal(encoded.vectors[order].detach(), plain.detach())
    cached = gradients(model, encoded)
    model.zero_grad()
    (plain @ plain.T).logsumexp(1).sum().backward()
    direct = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert all(torch.allclose(direct[name], cached[name], atol=1e-4) for name in direct)


def test_texts_are_cut_while_training_only(model):
    model.eval()
    long, length = "a red cat " * 20, model.max_seq_length
    cut = tower(model, max_length=5).encode([long], 0).vectors
    assert torch.allclose(cut, tower(model).encode(["a red cat"], 0).vectors, atol=1e-5)
    assert model.max_seq_length == length


def test_bfloat16_is_near(model):
    model.eval()
    half = tower(model, bf16=True).encode(TEXTS, 0).vectors
    assert half.dtype == torch.float32
    assert torch.allclose(half, tower(model).encode(TEXTS, 0).vectors, atol=0.1)
