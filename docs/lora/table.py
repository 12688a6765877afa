"""The first table of docs/notes/lora.md: trains three adapters, merges them in many ways, scores each on all.

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
from encoder import Scorer, train, upper_model
from tasks import Task, all_tasks

from cluscomp import merge_adapters

RANK, STEPS, LAST = 8, 50, "limit-small"
log = logging.getLogger("lora-table")


def by_peft(adapters: list[Path], target: Path, weight: float = 1.0, **options: object) -> None:
    """PEFT's add_weighted_adapter with one weight for all."""
    torch.manual_seed(0)  # DARE draws at random
    shutil.rmtree(target, ignore_errors=True)
    names = [f"adapter_{number}" for number in range(len(adapters))]
    model = peft.PeftModel.from_pretrained(upper_model(), adapters[0], adapter_name=names[0])
    for name, path in zip(names[1:], adapters[1:], strict=True):
        model.load_adapter(path, adapter_name=name)
    model.add_weighted_adapter(names, [weight] * len(names), "merged", **options)
    model.save_pretrained(target, selected_adapters=["merged"])
    (target / "merged").rename(target.with_suffix(".tmp"))
    shutil.rmtree(target)
    target.with_suffix(".tmp").rename(target)


def ours(adapters: list[Path], target: Path, rank: int, **options: object) -> None:
    """cluscomp.merge_adapters."""
    merge_adapters(adapters, output=target, rank=rank, if_exists="replace", **options)  # type: ignore[arg-type]


PLAIN: dict[str, object] = {"parameter_reweighting": False, "output_reweighting": False}
HALF: dict[str, object] = {"density": 0.5}
Ways = dict[str, tuple[Callable[..., None], dict[str, object]]]
MERGES: Ways = {
    "PEFT cat, rank 24: the sum": (by_peft, {"combination_type": "cat"}),
    "PEFT cat, weights 1/3, rank 24: the mean": (by_peft, {"combination_type": "cat", "weight": 1 / 3}),
    "PEFT svd, rank 8": (by_peft, {"combination_type": "svd", "svd_rank": 8}),
    "PEFT linear, rank 8": (by_peft, {"combination_type": "linear"}),
    "PEFT ties, density 0.5, rank 8": (by_peft, {"combination_type": "ties", **HALF}),
    "PEFT dare_linear, density 0.5, rank 8": (by_peft, {"combination_type": "dare_linear", **HALF}),
    "PEFT dare_ties, density 0.5, rank 8": (by_peft, {"combination_type": "dare_ties", **HALF}),
    "ours, rank 24": (ours, {"rank": 24}),
    "ours, rank 16": (ours, {"rank": 16}),
    "ours, rank 16, balanced clusters": (ours, {"rank": 16, "clustering": "balanced"}),
    "ours, rank 8": (ours, {"rank": 8}),
    "ours, rank 8, balanced clusters": (ours, {"rank": 8, "clustering": "balanced"}),
    "ours, rank 4": (ours, {"rank": 4}),
    "ours, rank 4, balanced clusters": (ours, {"rank": 4, "clustering": "balanced"}),
    "ours, rank 16, no reweighting": (ours, {"rank": 16, **PLAIN}),
    "ours, rank 8, no reweighting": (ours, {"rank": 8, **PLAIN}),
    "ours, rank 8, balanced norms": (ours, {"rank": 8, "balance_norms": True}),
}
# One adapter (the last) at a lower rank; PEFT leaves the rank of a single adapter as it is.
SHRUNK: Ways = {
    f"{LAST} alone, ours{how}, rank {rank}": (ours, {"rank": rank, **options})
    for rank in (4, 2)
    for how, options in (("", {}), (", no reweighting", PLAIN))
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
            train(task, adapters[-1], rank=RANK, steps=STEPS, seed=seed)
    results = Results(args.work / "scores.json", tasks)
    results.add("no adapter", None)
    for path in adapters:
        results.add(f"adapter {path.name} alone", path)
    ways = [(adapters, way) for way in MERGES.items()] + [(adapters[-1:], way) for way in SHRUNK.items()]
    for number, (sources, (name, (merge, options))) in enumerate(ways):
        target = args.work / f"merged-{number}"
        if name not in results.scores:
            merge(sources, target, **options)
        results.add(name, target)
    sys.stdout.write(results.markdown())


class Results:
    """Scores by way and task, kept in a file."""

    def __init__(self, file: Path, tasks: list[Task]) -> None:
        self.file, self.tasks = file, tasks
        self.scorers: list[Scorer] = []
        self.names: list[str] = []
        self.scores: dict[str, list[float]] = json.loads(file.read_text()) if file.exists() else {}

    def add(self, name: str, adapter: Path | None) -> None:
        """Score an adapter on every task, if that has not been done."""
        self.names.append(name)
        if name not in self.scores:
            self.scorers = self.scorers or [Scorer(task) for task in self.tasks]
            self.scores[name] = [scorer.score(adapter) for scorer in self.scorers]
            self.file.write_text(json.dumps(self.scores, indent=1))
            log.info("%s %s", name, self.scores[name])

    def markdown(self) -> str:
        """All rows, with the mean over the tasks."""
        head = ["", *(task.name for task in self.tasks), "mean"]
        rows = [head, ["---"] * len(head)]
        for name in self.names:
            scores = self.scores[name]
            cells = [*scores, sum(scores) / len(scores)]
            rows.append([name, *(f"{cell:.3f}" for cell in cells)])
        return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    main()
