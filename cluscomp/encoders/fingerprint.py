"""Content hash of a loaded sentence-transformers model.

The hash is taken from what decides the vectors, not from the files: the same model saved by another version
of the libraries, or taken from the hub instead of a package, keeps its fingerprint. Names of parameters and
layout of configuration files change between versions and stay out of it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

# Settings of a transformer that change its output without changing its parameters.
ARCHITECTURE_KEYS = (
    "model_type",
    "hidden_act",
    "hidden_activation",
    "num_attention_heads",
    "num_key_value_heads",
    "layer_norm_eps",
    "rms_norm_eps",
    "rope_theta",
)
# Upper case, accents, digits, punctuation, white space, scripts: one text shows how a tokenizer cuts.
PROBE = (
    "The Résumé of 3 naïve COÖPERATORS: x_1 += f(y)!\t\n 日本語 Ελλάδα emoji🙂 antidisestablishmentarianism"
)


def model_fingerprint(model: Any, settings: dict[str, Any]) -> str:
    """32 hex digits that identify the vectors of `model` under `settings` (prompts, lengths, normalisation).

    Costs one pass over the parameters (about 0.1 s for 23 million).
    """
    parts = {
        "parameters": _parameters_digest(model),
        "modules": [_module_signature(module) for module in model.children()],
        "tokenizer": _tokenizer_digest(model.tokenizer),
        "architecture": _architecture(model),
        "settings": settings,
    }
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode("ascii"), digest_size=16).hexdigest()


def settings_fingerprint(model: Any, settings: dict[str, Any], bf16: bool) -> str:
    """`model_fingerprint`; of forward passes in bfloat16 where bf16 is set, another one."""
    return model_fingerprint(model, {**settings, "bf16": True} if bf16 else settings)


def _parameters_digest(model: Any) -> str:
    """Hash over all parameters, independent of their names and order."""
    digests = sorted(_tensor_digest(parameter) for parameter in model.parameters())
    return hashlib.blake2b("".join(digests).encode("ascii"), digest_size=16).hexdigest()


def _tensor_digest(tensor: Any) -> str:
    import torch

    data = tensor.detach().cpu().contiguous()
    digest = hashlib.blake2b(f"{data.dtype} {tuple(data.shape)} ".encode("ascii"), digest_size=16)
    digest.update(data.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _module_signature(module: Any) -> list[str]:
    """Class of a pipeline step with the settings that have no parameters: pooling mode, activation."""
    mode = getattr(module, "pooling_mode", None)
    activation = getattr(module, "activation_function", None)
    return [
        type(module).__name__,
        "" if mode is None else str(mode),
        str(getattr(module, "include_prompt", "")),
        "" if activation is None else type(activation).__name__,
    ]


def _tokenizer_digest(tokenizer: Any) -> str:
    digest = hashlib.blake2b(digest_size=16)
    vocabulary = getattr(tokenizer, "get_vocab", None)
    if vocabulary is not None:
        for token, number in sorted(vocabulary().items()):
            digest.update(f"{token}\0{number}\0".encode("utf-8", "surrogatepass"))
    digest.update(json.dumps(_probe_ids(tokenizer)).encode("ascii"))
    return digest.hexdigest()


def _probe_ids(tokenizer: Any) -> list[int]:
    """Token numbers of the probe text; [] for tokenizers that are no callables (word lists)."""
    if not callable(tokenizer):
        return []
    return [int(number) for number in tokenizer(PROBE, truncation=False, verbose=False)["input_ids"]]


def _architecture(model: Any) -> dict[str, str]:
    config = getattr(model[0], "config", None)
    found = {key: getattr(config, key, None) for key in ARCHITECTURE_KEYS}
    return {key: str(value) for key, value in found.items() if value is not None}
