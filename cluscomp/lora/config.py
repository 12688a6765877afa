"""adapter_config.json of PEFT: what scales a module, and what cannot be merged."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluscomp.errors import InputError, MalformedFileError
from cluscomp.inputs.files import require_file

CONFIG_NAME = "adapter_config.json"
# Fields that make an adapter more than B A: (field, what it is). Each must be null, false, empty or "none".
_REFUSED = (
    ("use_dora", "DoRA: its magnitudes do not add up"),
    ("bias", "biases trained with the adapter"),
    ("lora_bias", "biases trained with the adapter"),
    ("modules_to_save", "whole modules saved with the adapter"),
    ("trainable_token_indices", "token vectors trained with the adapter"),
    ("target_parameters", "LoRA on bare parameters"),
    ("layer_replication", "replicated layers"),
    ("alora_invocation_tokens", "activated LoRA"),
    ("arrow_config", "routing"),
    ("use_qalora", "QA-LoRA"),
    ("use_bdlora", "block-diagonal LoRA"),
    ("kasa_config", "KaSA"),
    ("monteclora_config", "MonteCLoRA"),
    ("megatron_config", "Megatron layers"),
)
# Fields of PEFT's LoraConfig that leave the update B A as it is, or say how it was trained.
_PLAIN = frozenset(
    (
        *("task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"),
        *("inference_mode", "r", "target_modules", "exclude_modules", "lora_alpha", "lora_dropout"),
        *("fan_in_fan_out", "use_rslora", "init_lora_weights", "layers_to_transform", "layers_pattern"),
        *("rank_pattern", "alpha_pattern", "megatron_core", "loftq_config", "eva_config", "corda_config"),
        *("lora_ga_config", "velora_config", "qalora_group_size", "runtime_config", "ensure_weight_tying"),
    )
)
# Initialisations that also change the base weights, so that B A alone is not the update.
_DEFAULT_RANK = _DEFAULT_ALPHA = 8  # of PEFT, for files that leave them out
_CHANGED_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


@dataclass(frozen=True)
class AdapterConfig:
    """The part of a LoRA configuration that a merge depends on."""

    path: Path
    rank: int
    alpha: float
    use_rslora: bool
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    base_model: str | None
    revision: str | None
    task_type: str | None
    fan_in_fan_out: bool
    auto_mapping: Any

    def module_rank(self, module: str) -> int:
        """Rank that the configuration gives a module."""
        return match_pattern(self.rank_pattern, module, self.rank)

    def scale(self, module: str) -> float:
        """What PEFT multiplies B A of a module by: alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA."""
        rank = self.module_rank(module)
        alpha = match_pattern(self.alpha_pattern, module, self.alpha)
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


def match_pattern(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    """Value of the first pattern that matches the module's name or the end of it after a dot, as in PEFT."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def read_config(folder: Path) -> AdapterConfig:
    """Read and check the configuration of an adapter folder.

    Raises MissingInputError, MalformedFileError (no JSON object, or values of wrong types) and InputError for
    an adapter of another kind than plain LoRA.
    """
    path = require_file(folder / CONFIG_NAME)
    try:
        raw = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as exc:
        raise MalformedFileError(f"{path} is not valid JSON ({exc}); save the adapter again") from exc
    if not isinstance(raw, dict):
        raise MalformedFileError(f"{path} holds no JSON object; save the adapter again with save_pretrained")
    _refuse_other_kinds(folder, raw)
    patterns = {name: _pattern(path, raw, name) for name in ("rank_pattern", "alpha_pattern")}
    for rank in patterns["rank_pattern"].values():
        _positive(path, "rank_pattern", rank, whole=True)
    return AdapterConfig(
        path=folder,
        rank=int(_positive(path, "r", raw.get("r", _DEFAULT_RANK), whole=True)),
        alpha=_positive(path, "lora_alpha", raw.get("lora_alpha", _DEFAULT_ALPHA)),
        use_rslora=bool(raw.get("use_rslora")),
        base_model=raw.get("base_model_name_or_path"),
        revision=raw.get("revision"),
        task_type=raw.get("task_type"),
        fan_in_fan_out=bool(raw.get("fan_in_fan_out")),
        auto_mapping=raw.get("auto_mapping"),
        **patterns,
    )


def _refuse_other_kinds(folder: Path, raw: dict[str, Any]) -> None:
    kind = raw.get("peft_type")
    if kind != "LORA":
        raise InputError(f"{folder} is an adapter of type {kind}, but only LORA can be merged")
    for field, what in _REFUSED:
        value = raw.get(field)
        if value and value != "none":
            raise InputError(
                f"{folder} has {field}={value!r} ({what}), which a merge of low-rank factors would lose; "
                "merge adapters trained without it"
            )
    for field in raw.keys() - _PLAIN - {name for name, _ in _REFUSED}:
        if raw[field] is True or (raw[field] and isinstance(raw[field], (dict, list))):
            raise InputError(
                f"{folder} has {field}={raw[field]!r}, which this version does not know: it may be a kind of "
                "LoRA whose factors do not add up. Set it to false if the update is plain B A, or install a "
                "newer version"
            )
    start = raw.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGED_BASE):
        raise InputError(
            f"{folder} was started with init_lora_weights={start!r}, which changes the base weights too; "
            "convert it to plain LoRA (save_pretrained with path_initial_model_for_weight_conversion)"
        )


def _pattern(path: Path, raw: dict[str, Any], name: str) -> dict[str, Any]:
    patterns = raw.get(name) or {}
    if not isinstance(patterns, dict):
        raise MalformedFileError(f"{path}: {name} is {patterns!r}, but a mapping from names is needed")
    for pattern, value in patterns.items():
        check_regex(pattern, f"{path}: {name}")
        _positive(path, name, value)
    return patterns


def check_regex(pattern: str, where: str) -> None:
    """Raise MalformedFileError for a pattern that is no regular expression."""
    try:
        re.compile(pattern)
    except re.error as exc:
        raise MalformedFileError(f"{where} has {pattern!r}, which is no regular expression ({exc})") from None


def _positive(path: Path, name: str, value: Any, *, whole: bool = False) -> float:
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < math.inf:
        raise MalformedFileError(
            f"{path}: {name} is {value!r}, but a {'whole ' * whole}number above 0 is needed"
        )
    return float(value)
