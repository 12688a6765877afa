"""Small adapter folders, and their updates formed in full."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

CONFIG = {"peft_type": "LORA", "base_model_name_or_path": "toy", "bias": "none", "use_dora": False,
          "use_rslora": False, "fan_in_fan_out": False, "rank_pattern": {}, "alpha_pattern": {}}  # fmt: skip


def write_adapter(folder: Path, modules: dict, *, alpha=None, **fields) -> Path:
    """modules: {name: (A (r, d_in), B (d_out, r))}; alpha defaults to r, which is scale 1."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, (a, b) in modules.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = np.ascontiguousarray(a)
        tensors[f"base_model.model.{name}.lora_B.weight"] = np.ascontiguousarray(b)
    rank = next(iter(modules.values()))[0].shape[0] if modules else 1
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {**CONFIG, "r": rank, "lora_alpha": alpha or rank, "target_modules": list(modules), **fields}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def updates(folder: Path) -> dict:
    """{module: B A times its scale} in float64, straight from the formula."""
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    found = {}
    for key in [key for key in tensors if key.endswith(".lora_A.weight")]:
        name = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        a, b = tensors[key], tensors[key.replace("lora_A", "lora_B")]
        alpha = next(
            (v for p, v in config["alpha_pattern"].items() if re.match(rf"(.*\.)?({p})$", name)),
            config["lora_alpha"],
        )
        root = a.shape[0] ** 0.5 if config["use_rslora"] else a.shape[0]
        found[name] = b.astype(np.float64) @ a.astype(np.float64) * (alpha / root)
    return found


def random_modules(rng, names=("m.q", "m.v"), rank=4, d_in=12, d_out=9) -> dict:
    return {
        name: (
            rng.standard_normal((rank, d_in)).astype(np.float32),
            rng.standard_normal((d_out, rank)).astype(np.float32),
        )
        for name in names
    }
