from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from cluscomp import errors
from cluscomp.encoders import EncoderInfo, check_same_encoder, load_encoder

INFO = EncoderInfo("minilm", "dense", 384, True, "", "", 256, "abc")


def test_json_round_trip_ignores_later_fields():
    data = json.loads(json.dumps(INFO.to_json()))
    assert EncoderInfo.from_json({**data, "added_later": 1}) == INFO


def test_json_of_an_earlier_version_says_nothing_of_bfloat16():
    data = INFO.to_json()
    del data["bf16"]
    assert EncoderInfo.from_json(data) == INFO


def test_json_with_a_field_missing():
    data = INFO.to_json()
    del data["dim"]
    with pytest.raises(errors.MalformedFileError, match="dim"):
        EncoderInfo.from_json(data)


def test_same_content_under_another_name_is_accepted():
    check_same_encoder(
        INFO.to_json(), dataclasses.replace(INFO, name="sentence-transformers/all-MiniLM-L6-v2")
    )
    check_same_encoder(INFO, INFO)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "e5", "dim": 768}, "'minilm'.*'e5'.*dim 384 there, 768 here"),
        ({"bf16": True}, "bf16 False there, True here"),
        ({"query_prompt": "query: "}, "query_prompt '' there, 'query: ' here"),
        ({}, "other weights"),
    ],
)
def test_another_encoder_is_refused_by_name(change, message):
    other = dataclasses.replace(INFO, fingerprint="xyz", **change)
    with pytest.raises(errors.EncoderMismatchError, match=message):
        check_same_encoder(INFO.to_json(), other)


def fingerprint(folder, **settings) -> str:
    return load_encoder(str(folder), **settings).info.fingerprint


def test_fingerprint_is_that_of_the_content(tiny_model, tmp_path):
    copy = shutil.copytree(tiny_model, tmp_path / "elsewhere")
    assert fingerprint(copy, batch_size=7) == fingerprint(tiny_model)


def test_fingerprint_survives_saving_again(tiny_model, tmp_path):
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(tiny_model), device="cpu").save(str(tmp_path / "again"))
    assert fingerprint(tmp_path / "again") == fingerprint(tiny_model)


def test_everything_that_changes_vectors_changes_the_fingerprint(tiny_model, make_model):
    prints = [
        fingerprint(tiny_model),
        fingerprint(tiny_model, max_seq_length=32),
        fingerprint(tiny_model, query_prompt="query: "),
        fingerprint(tiny_model, document_prompt="query: "),
        fingerprint(make_model(seed=1)),
        fingerprint(make_model(normalize=False)),
        fingerprint(make_model(pooling="cls")),
    ]
    assert len(set(prints)) == len(prints)


def test_one_changed_weight_or_a_cased_tokenizer_changes_the_fingerprint(tiny_model, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    before = fingerprint(tiny_model)
    weights = shutil.copytree(tiny_model, tmp_path / "weights")
    tensors = load_file(weights / "model.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 2)
    tensors[name][0, 0] = torch.nextafter(tensors[name][0, 0], torch.tensor(9.0))
    save_file(tensors, weights / "model.safetensors", metadata={"format": "pt"})
    assert fingerprint(weights) != before

    cased = shutil.copytree(tiny_model, tmp_path / "cased")
    path = cased / "tokenizer.json"
    settings = json.loads(path.read_text())
    settings["normalizer"]["lowercase"] = False
    path.write_text(json.dumps(settings))
    config = cased / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "do_lower_case": False}))
    assert fingerprint(cased) != before
