"""Training of lists: from rows in this process, or from rows that lie in several places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from cluscomp.arrays import iter_blocks, to_float32
from cluscomp.indexes.stages.ivf import Ivf
from cluscomp.indexes.stages.transform import Transform
from cluscomp.progress import Progress

_BLOCK_ROWS = 16384


class ListTrainer(Protocol):
    """Teaches a partition; rows pass the transforms first."""

    def __call__(
        self,
        partition: Ivf,
        rows: np.ndarray,
        steps: Sequence[Transform],
        seed: int,
        progress: Progress | None,
    ) -> None: ...


def train_lists(
    partition: Ivf, rows: np.ndarray, steps: Sequence[Transform], seed: int, progress: Progress | None
) -> None:
    """Train on rows (n, dim) of kernel dtype in this process; of transformed ones a float32 copy is made."""
    partition.train(apply_steps(steps, rows), seed, progress)


def apply_steps(steps: Sequence[Transform], rows: np.ndarray) -> np.ndarray:
    """Rows (n, dim) of kernel dtype through transforms, as float32; as they are where there is none."""
    if not steps:
        return rows
    out = np.empty((rows.shape[0], steps[-1].dim_out), dtype=np.float32)
    for block in iter_blocks(rows.shape[0], _BLOCK_ROWS):
        part = to_float32(rows[block])
        for step in steps:
            part = step.apply(part)
        out[block] = part
    return out
