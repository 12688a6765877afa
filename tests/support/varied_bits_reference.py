"""Codes whose axes have bits of their own, by plain NumPy; where all have as many it is rabitq_reference.py."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import rabitq_reference as rabitq

from cluscomp import native


@dataclass(frozen=True)
class Axes:
    """mean (d,), directions (d, d), units (d,), widths of the planes, bytes of all of them, and the bar."""

    mean: np.ndarray
    directions: np.ndarray
    units: np.ndarray
    widths: list[int]
    code_bytes: int
    bar: float = 1.0

    @property
    def form(self) -> native.Rabitq:
        return native.Rabitq(self.mean, self.directions, self.units, self.widths, self.code_bytes, self.bar)

    @property
    def bits(self) -> np.ndarray:
        """(d,) of each axis."""
        axes = np.arange(len(self.mean))
        return sum((axes < 8 * width).astype(int) for width in self.widths)

    @property
    def steps(self) -> np.ndarray:
        """(d,) between neighbouring numbers of an axis."""
        return 2 ** (len(self.widths) - self.bits)

    @property
    def middles(self) -> np.ndarray:
        return (2 ** len(self.widths) - self.steps) / 2

    def turned(self, x: np.ndarray) -> np.ndarray:
        """(n, d) float32 with the sums of the kernels."""
        codes = native.Codes.floats(np.ascontiguousarray(self.directions))
        everything = np.arange(len(self.directions))[None]
        return native.score_rows(codes, native.Lists(np.array([0, everything.size])), x, everything, "ip")

    def unpacked(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Numbers (n, d), and scale, add and error (n,) float32."""
        numbers, at = np.zeros((len(codes), len(self.mean)), dtype=int), 0
        for plane, width in enumerate(self.widths):
            bits = np.unpackbits(codes[:, at : at + width], axis=1, bitorder="little")[:, : len(self.mean)]
            numbers[:, : bits.shape[1]] += bits.astype(int) << (len(self.widths) - 1 - plane)
            at += width
        assert not codes[:, at : self.code_bytes].any()
        return numbers, *rabitq.unpacked(codes[:, self.code_bytes :], 0, 0)[1:]

    def point(self, o: np.ndarray, rounds: int = rabitq.ROUNDS) -> np.ndarray:
        """The numbers (d,) of o (d,), which is turned, less their middles."""
        o, units, levels = o.astype(np.float64), self.units.astype(np.float64), 2**self.bits
        coded = self.bits > 0
        largest = np.abs(o / units)[coded].max(initial=0.0)
        level = levels // 2
        if largest:
            level = np.clip(np.floor((o / units + largest) * (0.5 * levels / largest)), 0, levels - 1)
        x = level * self.steps - self.middles
        for _ in range(rounds if largest and len(self.widths) > 1 else 0):
            before = x.copy()
            for j in np.flatnonzero(coded):
                moves = (0, self.steps[j], -self.steps[j])
                cosines = {move: self._cosine(x, o, j, move) for move in moves}
                x[j] += max(cosines, key=cosines.__getitem__)  # the first of equal ones: stay, then up
            if (x == before).all():
                break
        return x

    def _cosine(self, x: np.ndarray, o: np.ndarray, j: int, move: int) -> float:
        moved = x.copy()
        moved[j] += move
        if abs(moved[j]) > self.middles[j]:
            return -2.0
        v = moved * self.units
        return float(v @ o / np.sqrt((v @ v) * (o @ o)))

    def scores(
        self, codes: np.ndarray, query: np.ndarray, metric: str, centroid: np.ndarray | None = None
    ) -> np.ndarray:
        """Scores (n,) float32 of codes, bit for bit."""
        numbers, scale, add, _ = self.unpacked(codes)
        scaled = self.units * self.turned(query[None])[0]
        total = 0.0
        for value, middle in zip(scaled.tolist(), self.middles.tolist(), strict=True):
            total += value * middle
        sums = rabitq.plane_dots(numbers, scaled, len(self.widths))
        found = scale * (np.float32(1 if metric == "ip" else 2) * (sums - np.float32(total))) + add
        return found + rabitq.base(query, self.mean, metric, centroid)
