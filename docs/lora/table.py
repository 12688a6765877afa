"""The table of docs/lora.md: trains three adapters, merges them in many ways, and scores each on every task.

    HF_HUB_OFFLINE=1 python docs/lora/table.py --data ../shared/data --work lora-table

Needs the extras demo and train. Finished steps are kept in the work folder.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import peft
import torch
from encoder import base_model, score, train
from tasks import Task, all_tasks

from cluscomp import merge_adapters

RANK, STEPS, LR = 8, {"scifact": 100, "cranfield": 100, "limit-small": 80}, 1e-3
log = logging.getLogger("lora-table")


def by_peft(adapters: list[Path], target: Path, **options: object) -> None:
    """PEFT's add_weighted_adapter with weight 1 each."""
    torch.manual_seed(0)  # DARE draws at random
    names = [path.name.replace("-", "_") for path in adapters]
    model = peft.PeftModel.from_pretrained(base_model(), adapters[0], adapter_name=names[0])
    for name, path in zip(names[1:], adapters[1:], strict=True):
        model.load_adapter(path, adapter_name=name)
    model.add_weighted_adapter(names, [1.0] * len(names), "merged", **options)
    model.save_pretrained(target, selected_adapters=["merged"])
    (target / "merged").rename(target.with_suffix(".tmp"))
    shutil.rmtree(target)
    target.with_suffix(".tmp").rename(target)


def ours(adapters: list[Path], target: Path, **options: object) -> None:
    """cluscomp.merge_adapters."""
    merge_adapters(adapters, output=target, **options)  # type: ignore[arg-type]


def plain(rank: int, **options: object) -> dict[str, object]:
    """Options without reweighting."""
    return {"rank": rank, "parameter_reweighting": False, "output_reweighting": False, **options}


WAYS: dict[str, tuple[Callable[..., None], dict[str, object]]] = {
    "PEFT cat, rank 24 (the sum)": (by_peft, {"combination_type": "cat"}),
    "PEFT svd, rank 8": (by_peft, {"combination_type": "svd", "svd_rank": 8}),
    "PEFT linear, rank 8": (by_peft, {"combination_type": "linear"}),
    "PEFT ties, density 0.5, rank 8": (by_peft, {"combination_type": "ties", "density": 0.5}),
    "PEFT dare_linear, density 0.5, rank 8": (by_peft, {"combination_type": "dare_linear", "density": 0.5}),
    "PEFT dare_ties, density 0.5, rank 8": (by_peft, {"combination_type": "dare_ties", "density": 0.5}),
    "ours, rank 24, no reweighting (the sum)": (ours, plain(24)),
    "ours, rank 16": (ours, {"rank": 16}),
    "ours, rank 8": (ours, {"rank": 8}),
    "ours, rank 8, no reweighting": (ours, plain(8)),
    "ours, rank 8, parameter reweighting only": (ours, {"rank": 8, "output_reweighting": False}),
    "ours, rank 8, balanced norms": (ours, {"rank": 8, "balance_norms": True}),
    "ours, rank 16, no reweighting": (ours, plain(16)),
    "ours, rank 4": (ours, {"rank": 4}),
    "ours, rank 24": (ours, {"rank": 24}),
}


def main() -> None:
    """Do all that is not done yet, then print the table as Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    tasks = all_tasks(args.data)
    adapters = []
    for seed, task in enumerate(tasks):
        adapters.append(args.work / task.name)
        if not adapters[-1].exists():
            train(task, adapters[-1], rank=RANK, steps=STEPS[task.name], lr=LR, seed=seed)
    results = Results(args.work / "scores.json", tasks)
    results.add("no adapter", None)
    for path in adapters:
        results.add(f"adapter {path.name} alone", path)
    for number, (name, (merge, options)) in enumerate(WAYS.items()):
        target = args.work / f"merge{number}"
        if name not in results.scores:
            shutil.rmtree(target, ignore_errors=True)
            merge(adapters, target, **options)
        results.add(name, target)
    sys.stdout.write(results.markdown())


class Results:
    """Scores by way and task, kept in a file."""

    def __init__(self, file: Path, tasks: list[Task]) -> None:
        self.file, self.tasks = file, tasks
        self.scores: dict[str, list[float]] = json.loads(file.read_text()) if file.exists() else {}

    def add(self, name: str, adapter: Path | None) -> None:
        """Score an adapter on every task, if that has not been done."""
        if name not in self.scores:
            self.scores[name] = [score(task, adapter) for task in self.tasks]
            self.file.write_text(json.dumps(self.scores, indent=1))
            log.info("%s %s", name, self.scores[name])

    def markdown(self) -> str:
        """All rows, with the mean over the tasks."""
        head = ["", *(task.name for task in self.tasks), "mean"]
        rows = [head, ["---"] * len(head)]
        for name, scores in self.scores.items():
            cells = [*scores, sum(scores) / len(scores)]
            rows.append([name, *(f"{cell:.3f}" for cell in cells)])
        return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    main()
