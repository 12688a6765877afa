"""What transforms, partitions and codecs have in common, with the defaults of those that learn nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from cluscomp.indexes.stages.cost import Cost, Shape
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters
from cluscomp.portable import Portable
from cluscomp.progress import Progress


class Stage(Portable, ABC):
    """One stage of an index. needs_training: it learns from rows. parameter_specs: arrays that it saves."""

    needs_training = False

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        """Learn from float32 rows (n, dim)."""

    @abstractmethod
    def cost(self, shape: Shape) -> Cost:
        """Memory and work of the stage, when it is trained on the rows of `shape` and when it is applied."""

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        """Name -> dtype and shape."""
        return {}

    def parameters(self) -> Parameters:
        """The arrays that were learned or loaded, by the names of `parameter_specs`; none before."""
        return {}

    def load(self, parameters: Parameters) -> None:
        """Take over arrays that were saved."""
