"""A codec of its own in one file: signs of the components, and the mean magnitude of each row beside them.

It has two arrays of codes a row, learns a shift, prepares queries, and scans in plain NumPy. `register` is all
that makes it known; nothing else in the package knows of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cluscomp.bits import has_positions
from cluscomp.indexes.keys.forms import NUMBER, Form
from cluscomp.indexes.keys.specs import CodecSpec
from cluscomp.indexes.stages.codec import CODES, ListView, Refiner, RowArray
from cluscomp.indexes.stages.cost import Cost, Shape, Work
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.registry import register


@dataclass(frozen=True)
class Signs(CodecSpec):
    """The signs of the components; the first `kept` components only, if given."""

    kept: int | None = None

    def __str__(self) -> str:
        return f"Signs{self.kept or ''}"


class Prepared(NamedTuple):
    """What a search of this codec looks up: queries (nq, d), their squares (nq, 1)."""

    queries: np.ndarray
    squares: np.ndarray


class SignCodec(Refiner):
    """shift + magnitude * signs, as residuals where there are lists."""

    by_residual = True
    needs_training = True

    def __init__(self, spec: Signs, dim: int) -> None:
        self.spec, self.dim = spec, dim
        self.kept = min(spec.kept or dim, dim)
        self.arrays = {CODES: RowArray("|u1", -(-self.kept // 8)), "magnitudes": RowArray("<f4", 1)}
        self._shift: np.ndarray | None = None

    def train(self, x, seed, progress=None):
        self._shift = x.mean(axis=0, dtype=np.float64).astype(np.float32)

    def cost(self, shape: Shape) -> Cost:
        return Cost(train_bytes=8 * self.dim, add_row_bytes=12 * self.dim, add=Work(matmul=self.dim))

    def encode(self, x):
        rest = x - self._shift
        bits = np.packbits(rest[:, : self.kept] > 0, axis=1)
        return {CODES: bits, "magnitudes": np.abs(rest).mean(axis=1, keepdims=True)}

    def decode(self, codes):
        signs = np.zeros((len(codes[CODES]), self.dim), dtype=np.float32)
        signs[:, : self.kept] = 2.0 * np.unpackbits(codes[CODES], axis=1, count=self.kept) - 1
        return self._shift + codes["magnitudes"] * signs

    def prepare(self, queries, metric):
        return Prepared(queries, np.square(queries).sum(axis=1, keepdims=True))

    def scan_view(self, queries, view: ListView, probes, k, metric, skip_bits):
        of_row = np.repeat(np.arange(len(view.offsets) - 1), np.diff(view.offsets))
        rows = self.decode(view.codes)
        if view.coarse is not None:
            rows += view.coarse[of_row]
        scores = self._scores(queries, rows, metric)
        visited = (probes.lists[:, :, None] == of_row).any(axis=1)
        positions = np.arange(len(rows)) if view.positions is None else view.positions
        if skip_bits is not None:
            visited &= ~has_positions(skip_bits, positions)
        everywhere = np.broadcast_to(positions, scores.shape)
        return _best(np.where(visited, scores, -np.inf), np.where(visited, everywhere, -1), k)

    def rescore(self, queries, codes, candidates, k, metric):
        scores = self._scores(self.prepare(queries, metric), self.decode(codes), metric)
        found = np.take_along_axis(scores, np.maximum(candidates, 0), axis=1)
        return _best(np.where(candidates >= 0, found, -np.inf), candidates, k)

    def _scores(self, prepared: Prepared, rows, metric):
        products = prepared.queries @ rows.T
        if metric == "ip":
            return products
        return 2 * products - prepared.squares - np.square(rows).sum(axis=1)

    @property
    def parameter_specs(self):
        return {"shift": ArraySpec("<f4", (self.dim,))}

    def parameters(self):
        return {} if self._shift is None else {"shift": self._shift}

    def load(self, parameters):
        self._shift = parameters["shift"]


def _best(scores, positions, k):
    """The k best columns; equal scores by position, missing ones last."""
    filled = ((0, 0), (0, max(0, k - scores.shape[1])))
    scores = np.pad(scores, filled, constant_values=-np.inf)
    positions = np.pad(positions, filled, constant_values=-1)
    order = np.lexsort((np.where(positions < 0, 2**62, positions), -scores), axis=1)[:, :k]
    taken = (np.take_along_axis(values, order, axis=1) for values in (scores, positions))
    best, found = taken
    return best.astype(np.float32), found.astype(np.int64)


register(Signs, SignCodec, Form("codec", rf"Signs{NUMBER}?", "Signs16", Signs, "Signs[d]"))
