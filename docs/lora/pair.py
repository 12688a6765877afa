"""A 7B-sized pair of adapters: made, merged by the command line, and measured.

    python docs/lora/pair.py --work lora-pair

Rank 64 on all linear layers of Llama-7B (32 layers, 7 modules each, hidden size 4096, 11008 between) in
float16: two files of 320 MB. Factors are random; in every module half of the second adapter's units are noisy
copies of units of the first, in another order, so that there is something to find. Prints seconds and peak
memory of `cluscomp merge-lora` as JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cluscomp.lora.safetensors_file import TensorWriter

RANK, LAYERS, HIDDEN, BETWEEN = 64, 32, 4096, 11008
SHAPES = {
    **dict.fromkeys((f"self_attn.{name}_proj" for name in "qkvo"), (HIDDEN, HIDDEN)),
    "mlp.gate_proj": (HIDDEN, BETWEEN),
    "mlp.up_proj": (HIDDEN, BETWEEN),
    "mlp.down_proj": (BETWEEN, HIDDEN),
}
CONFIG = {
    "peft_type": "LORA",
    "base_model_name_or_path": "llama-7b",
    "r": RANK,
    "lora_alpha": RANK,
    "target_modules": [name.rpartition(".")[2] for name in SHAPES],
}


def modules() -> Iterator[tuple[str, tuple[int, int], tuple[int, int]]]:
    """Name, (layer, number) and (d_in, d_out) of every module."""
    for layer in range(LAYERS):
        for number, (module, widths) in enumerate(SHAPES.items()):
            yield f"base_model.model.model.layers.{layer}.{module}", (layer, number), widths


def _rows(place: tuple[int, int], side: int, width: int, number: int) -> np.ndarray:
    """One side of the units (64, width) float32 of the first (0) or second (1) adapter."""
    rows = 0.02 * np.random.default_rng([*place, side, 0]).standard_normal((RANK, width), dtype=np.float32)
    if number == 0:
        return rows
    noise = np.random.default_rng([*place, side, 1]).standard_normal((RANK, width), dtype=np.float32)
    copied = np.random.default_rng(place).permutation(RANK)[: RANK // 2]
    return np.concatenate([rows[copied] + 0.005 * noise[: RANK // 2], 0.02 * noise[RANK // 2 :]])


def write(folder: Path, number: int) -> None:
    """The first (0) or second (1) adapter, a folder as PEFT would save it; left alone where it is there."""
    if (folder / "adapter_config.json").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shapes = [
        (f"{name}.{side}.weight", shape)
        for name, _, (d_in, d_out) in modules()
        for side, shape in (("lora_A", (RANK, d_in)), ("lora_B", (d_out, RANK)))
    ]
    with (folder / "adapter_model.safetensors").open("wb") as file:
        writer = TensorWriter(file, "F16", shapes)
        for name, place, (d_in, d_out) in modules():
            writer.write(f"{name}.lora_A.weight", _rows(place, 0, d_in, number))
            writer.write(f"{name}.lora_B.weight", _rows(place, 1, d_out, number).T)
        writer.finish()
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG))


def main() -> None:
    """Make what is not there yet, merge it in a process of its own, print what that took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rank", type=int, default=RANK)
    parser.add_argument("--clustering", default="kmeans")
    args = parser.parse_args()
    folders = [args.work / name for name in ("one", "two")]
    for number, folder in enumerate(folders):
        write(folder, number)
    command = [sys.executable, "-m", "cluscomp", "merge-lora", *map(str, folders), "--json", "--quiet"]
    command += ["--rank", str(args.rank), "--clustering", args.clustering]
    command += ["--output", str(args.work / "merged"), "--if-exists", "replace"]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    total = json.loads(done.stdout)["total"]
    facts = {
        "rank": args.rank,
        "clustering": args.clustering,
        "seconds": round(seconds, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
        "factors_mb": round(sum(p.stat().st_size for f in folders for p in f.glob("*.safetensors")) / 2**20),
        **{name: round(total[name], 4) for name in ("energy_kept", "cosine", "best_energy_kept")},
    }
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
