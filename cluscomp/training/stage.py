"""What both training stages share: batches of queries in a fixed order, steps, checkpoints, a record."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cluscomp.progress import Progress
from cluscomp.training.checkpoint import RunState
from cluscomp.training.distributed import barrier, rank_and_size
from cluscomp.training.optimizer import Optimizer

if TYPE_CHECKING:
    from torch import Tensor

Metrics = dict[str, float]
StepReport = Callable[[str, int, Metrics], None]
Order = Callable[[int], np.ndarray]
"""Positions of all queries in the order of an epoch."""


class Stage(Protocol):
    """One stage of training."""

    name: str
    optimizer: Optimizer

    def step(self, number: int, queries: np.ndarray) -> Metrics:
        """Train on these queries (positions) and say how it went."""
        ...

    def arrays(self) -> dict[str, Tensor]:
        """State besides parameters and optimizer."""
        ...

    def load(self, arrays: dict[str, Tensor]) -> None:
        """Inverse of `arrays`."""
        ...


def n_steps(n_queries: int, batch_size: int, epochs: float) -> int:
    """Steps of `epochs` epochs; the short batch at the end of an epoch counts."""
    return round(-(-n_queries // batch_size) * epochs)


def shuffled(n_queries: int, seed: int) -> Order:
    """All queries in random order, another in each epoch."""
    return lambda epoch: np.random.default_rng((seed, epoch)).permutation(n_queries)


def batch_of(step: int, order: Order, n_queries: int, batch_size: int) -> np.ndarray:
    """The queries of a step that this process takes: every process gets equally many.

    The last batch of an epoch is filled up from the beginning of the epoch's order, so that the processes
    can share it.
    """
    per_epoch = -(-n_queries // batch_size)
    epoch, number = divmod(step, per_epoch)
    rank, size = rank_and_size()
    positions = order(epoch)
    rows = np.arange(number * batch_size, (number + 1) * batch_size)
    if size == 1:
        rows = rows[rows < n_queries]
    share = rows.size // size
    return positions[rows[rank * share : (rank + 1) * share] % n_queries]


def run_stage(
    stage: Stage,
    *,
    steps: int,
    n_queries: int,
    batch_size: int,
    order: Order,
    state: RunState,
    checkpoint_steps: int,
    progress: Progress | None = None,
    report: StepReport | None = None,
) -> list[Metrics]:
    """Run the stage to its end, from its last checkpoint if there is one; gives the metrics of each step."""
    done, history = _resume(stage, state)
    for number in range(done, steps):
        metrics = stage.step(number, batch_of(number, order, n_queries, batch_size))
        history.append({name: round(value, 6) for name, value in metrics.items()})
        if report is not None:
            report(stage.name, number + 1, metrics)
        if (number + 1) % checkpoint_steps == 0 or number + 1 == steps:
            _keep(stage, state, number + 1, history)
        if progress is not None:
            progress(stage.name, number + 1, steps)
    return history


def _keep(stage: Stage, state: RunState, done: int, history: list[Metrics]) -> None:
    rank, _ = rank_and_size()
    if rank == 0:
        arrays: dict[str, Any] = {**stage.optimizer.named, **stage.optimizer.state()}
        arrays |= {f"stage.{name}": value for name, value in stage.arrays().items()}
        state.save(stage.name, arrays, {"steps": done, "history": history})
    barrier()


def _resume(stage: Stage, state: RunState) -> tuple[int, list[Metrics]]:
    import torch

    kept = state.load(stage.name)
    if kept is None:
        return 0, []
    arrays = kept[0]
    with torch.no_grad():
        for name, parameter in stage.optimizer.named.items():
            parameter.copy_(arrays[name])
    stage.optimizer.load(arrays)
    stage.load({k.removeprefix("stage."): v for k, v in arrays.items() if k.startswith("stage.")})
    return int(kept[1]["steps"]), list(kept[1]["history"])
