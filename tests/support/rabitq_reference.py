"""RaBitQ by plain NumPy: the encoder in float64, and scores with the additions of the kernels in their order."""

from __future__ import annotations

import numpy as np

from cluscomp import native

ROUNDS = 6


def grid_point(o: np.ndarray, bits: int, rounds: int = ROUNDS) -> np.ndarray:
    """The grid numbers x (d,) of o (d,) after some rounds of moves."""
    o, most = o.astype(np.float64), 2**bits - 1
    largest = np.abs(o).max(initial=0.0)
    if not largest:
        return np.full(len(o), 0.5)
    x = np.minimum(np.floor((o + largest) * (0.5 * (most + 1) / largest)), most) - most / 2
    for _ in range(rounds if bits > 1 else 0):
        before = x.copy()
        for j in range(len(o)):
            cosines = {step: _cosine(x, o, j, step, most / 2) for step in (0, 1, -1)}
            step = max(cosines, key=cosines.__getitem__)  # the first of equal ones: stay, then up
            x[j] += step
        if (x == before).all():
            break
    return x


def _cosine(x: np.ndarray, o: np.ndarray, j: int, step: int, largest: float) -> float:
    moved = x.copy()
    moved[j] += step
    if abs(moved[j]) > largest:
        return -2.0
    return float(moved @ o / np.sqrt((moved @ moved) * (o @ o)))


def factors_of(o: np.ndarray, x: np.ndarray, c: np.ndarray, metric: str) -> tuple[float, float, float]:
    """scale, add and error of a row less its centre c."""
    o, c = o.astype(np.float64), c.astype(np.float64)
    inner, square = float(x @ o), float(o @ o)
    if inner <= 0:
        return 0.0, 0.0, 0.0
    scale = square / inner
    error = np.sqrt(max(float(x @ x) * scale**2 - square, 0.0) / max(len(o) - 1, 1))
    add = o @ c - scale * (c @ x) if metric == "ip" else -(square + 2 * scale * (c @ x))
    return scale, float(add), float(error)


def unpacked(codes: np.ndarray, d: int, bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Numbers (n, d), and scale, add and error (n,) float32 of codes (n, row bytes)."""
    width = -(-d // 8)
    planes = codes[:, : bits * width].reshape(len(codes), bits, width)
    planes = np.unpackbits(planes, axis=2, bitorder="little")[:, :, :d]
    numbers = (planes * (1 << np.arange(bits)[::-1])[:, None]).sum(axis=1)
    factors = np.ascontiguousarray(codes[:, bits * width :])
    scale, add = (np.ascontiguousarray(factors[:, at : at + 4]).view("<f4")[:, 0] for at in (0, 4))
    halves = np.ascontiguousarray(factors[:, 8:]).view("<u2")[:, 0]
    return numbers, scale, add, (halves.astype("<u4") << 16).view("<f4")


def plane_dots(numbers: np.ndarray, query: np.ndarray, bits: int) -> np.ndarray:
    """<u, query> (n,) float32 of numbers (n, d): 16 sums a plane, those of a lane by Horner's rule, then halves."""
    d, chunks = len(query), -(-len(query) // 16)
    padded = np.zeros(16 * chunks, dtype=np.float32)
    padded[:d] = query
    lanes = np.zeros((len(numbers), 16), dtype=np.float32)
    for plane in range(bits):
        taken = np.zeros((len(numbers), 16 * chunks), dtype=bool)
        taken[:, :d] = numbers >> (bits - 1 - plane) & 1
        sums = np.zeros_like(lanes)
        for j in range(0, 16 * chunks, 16):
            sums = np.where(taken[:, j : j + 16], sums + padded[j : j + 16], sums)
        lanes = np.float32(2) * lanes + sums
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    return lanes[:, 0]


def scores(
    codes: np.ndarray,
    query: np.ndarray,
    mean: np.ndarray,
    bits: int,
    metric: str,
    centroid: np.ndarray | None = None,
) -> np.ndarray:
    """Scores (n,) float32 of codes, bit for bit."""
    numbers, scale, add, _ = unpacked(codes, len(query), bits)
    sums = plane_dots(numbers, query, bits)
    total = 0.0
    for value in query.tolist():
        total += value
    middle = np.float32(total * (2**bits - 1) / 2)
    found = scale * (np.float32(1 if metric == "ip" else 2) * (sums - middle)) + add
    return found + base(query, mean, metric, centroid)


def base(query: np.ndarray, mean: np.ndarray, metric: str, centroid: np.ndarray | None = None) -> np.float32:
    """What the list adds to scores, by the sums of the kernels."""
    if metric == "l2":
        return kernel_score(query - mean, np.zeros_like(mean) if centroid is None else centroid, "l2")
    found = kernel_score(query, mean, "ip")
    return found if centroid is None else found + kernel_score(query, centroid, "ip")


def kernel_score(query: np.ndarray, row: np.ndarray, metric: str) -> np.float32:
    codes, lists = native.Codes.floats(np.ascontiguousarray(row[None])), native.Lists(np.array([0, 1]))
    return native.score_rows(codes, lists, query[None], np.array([[0]]), metric)[0, 0]
