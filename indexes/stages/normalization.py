"""Rows scaled to length one: all of them (L2norm), or their first components (MRL)."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from cluscomp.arrays import normalize_rows
from cluscomp.indexes.keys.forms import NUMBER, Form
from cluscomp.indexes.keys.specs import TransformSpec, reduced_dim
from cluscomp.indexes.stages.cost import Cost, Shape
from cluscomp.indexes.stages.faiss_parts import linear_link
from cluscomp.indexes.stages.transform import Transform


@dataclass(frozen=True)
class L2Norm(TransformSpec):
    """Rows and queries scaled to length one; zero rows stay zero."""

    normalizes = True

    def __str__(self) -> str:
        return "L2norm"


@dataclass(frozen=True)
class MRL(TransformSpec):
    """The first d components, scaled to length one: for vectors of Matryoshka representation learning."""

    dim: int

    def __str__(self) -> str:
        return f"MRL{self.dim}"

    def output_dim(self, dim: int) -> int:
        return reduced_dim(self, dim, self.dim)


NORM_FORM = Form("transform", r"L2norm", "L2norm", L2Norm, "L2norm")
MRL_FORM = Form("transform", rf"MRL{NUMBER}", "MRL128", MRL, "MRLd")


class NormalizeStep(Transform):
    """The first dim_out components of rows, scaled to length one; zero rows stay zero."""

    def cost(self, shape: Shape) -> Cost:
        """The result."""
        return Cost(add_row_bytes=4 * self.dim_out)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return normalize_rows(x[:, : self.dim_out])

    def unit_after(self, before: bool) -> bool:
        return True

    def to_faiss(self, faiss: ModuleType) -> list[Any]:
        """Rows of the identity where components are dropped, then a NormalizationTransform."""
        kept = np.eye(self.dim_out, self.dim_in, dtype=np.float32)
        cut = [linear_link(faiss, kept)] if self.dim_out < self.dim_in else []
        return [*cut, faiss.NormalizationTransform(self.dim_out, 2.0)]
