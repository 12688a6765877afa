"""A transform and a partition of their own, each made known by one `register` line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluscomp.errors import UsageError
from cluscomp.indexes.keys.forms import NUMBER, Form
from cluscomp.indexes.keys.specs import PartitionSpec, TransformSpec
from cluscomp.indexes.stages.cost import Cost, Shape
from cluscomp.indexes.stages.ivf import Ivf, Probes
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.registry import register
from cluscomp.indexes.stages.transform import Transform


@dataclass(frozen=True)
class Reversed(TransformSpec):
    """The components in the opposite order."""

    def __str__(self) -> str:
        return "Reversed"


class ReversedStep(Transform):
    """Learns nothing, and faiss has no such step."""

    def cost(self, shape: Shape) -> Cost:
        return Cost(add_row_bytes=4 * self.dim_out)

    def apply(self, x):
        return np.ascontiguousarray(x[:, ::-1])

    def back(self, rows):
        return self.apply(rows)


@dataclass(frozen=True)
class Slices(PartitionSpec):
    """Lists by the first component: as many rows of the training in each."""

    nlist: int

    def __str__(self) -> str:
        return f"Slices{self.nlist}"


class SlicedLists(Ivf):
    """centroids: means of the lists. edges: (nlist - 1,) between neighbouring lists."""

    plain_distances = False

    def train(self, x, seed, progress=None):
        shares = np.arange(1, self.nlist) / self.nlist
        edges = np.quantile(x[:, 0], shares).astype(np.float32)
        labels = np.searchsorted(edges, x[:, 0])
        means = [x[labels == i].mean(axis=0) for i in range(self.nlist)]
        self.load({"centroids": np.array(means, dtype=np.float32), "edges": edges})

    def cost(self, shape: Shape) -> Cost:
        return Cost(train_bytes=16 * shape.rows, add_row_bytes=8 * self.dim + 8)

    def assign(self, x):
        return np.searchsorted(self._edges, x[:, 0]).astype(np.int32)

    def ranked(self, queries, nprobe):
        first = self.assign(queries)[:, None]
        away = np.abs(np.arange(self.nlist) - first)
        return Probes(np.argsort(away, axis=1, kind="stable")[:, :nprobe].astype(np.int32))

    def to_faiss(self, faiss):
        raise UsageError(f"faiss has no lists like those of {self.spec}")

    @property
    def parameter_specs(self):
        return super().parameter_specs | {"edges": ArraySpec("<f4", (self.nlist - 1,))}

    def parameters(self):
        return {} if self._centroids is None else super().parameters() | {"edges": self._edges}

    def load(self, parameters):
        super().load(parameters)
        self._edges = np.array(parameters["edges"])


register(Reversed, ReversedStep, Form("transform", r"Reversed", "Reversed", Reversed, "Reversed"))
register(Slices, SlicedLists, Form("partition", rf"Slices{NUMBER}", "Slices64", Slices, "Slicesn"))
