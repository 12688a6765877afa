"""Clustered postings in plain NumPy: blocks, summaries and searches as term_blocks.h describes them, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from sparse_reference import best, scores_of

F32 = np.float32


def mix(seed: int, place: int) -> int:
    """splitmix64."""
    mask = (1 << 64) - 1
    z = (seed + (place + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


@dataclass
class Settings:
    """As in the key, with the defaults of the key."""

    centroid_fraction: float = 0.1
    summary_energy: float = 0.4
    summary_terms: int = 8
    min_cluster_size: int = 2
    doc_cut: int = 15
    seed: int = 0


@dataclass
class Block:
    """rows: ascending. summary: term -> largest weight; None for the only block of a term."""

    rows: list[int]
    summary: dict[int, float] | None = None
    codes: dict[int, int] = field(default_factory=dict)


def heaviest(weights: dict[int, float]) -> list[int]:
    """Terms from the largest weight down, the lowest first among equals."""
    return sorted(weights, key=lambda term: (-weights[term], term))


def row_terms(rows: np.ndarray, row: int) -> dict[int, float]:
    """Terms of a row of dense weights."""
    return {int(term): float(rows[row, term]) for term in np.flatnonzero(rows[row])}


def clusters(rows: np.ndarray, members: list[int], settings: Settings) -> list[list[int]]:
    """Rows of each block of a term."""
    n = len(members)
    c = min(max(int(settings.centroid_fraction * n), 1), n)
    if c == 1:
        return [members]
    chosen = sorted(sorted(range(n), key=lambda place: mix(settings.seed, place))[:c])
    centroids = [rows[members[place]] for place in chosen]

    def nearest(row: int, allowed: list[int]) -> int:
        terms = row_terms(rows, row)
        cut = sorted(heaviest(terms)[: settings.doc_cut])
        sums = []
        for centroid in allowed:
            total = F32(0)
            for term in cut:
                total += F32(terms[term]) * centroids[centroid][term]
            sums.append(total)
        return allowed[int(np.argmax(sums))]

    labels = [nearest(row, list(range(c))) for row in members]
    kept = [label for label in range(c) if labels.count(label) >= settings.min_cluster_size]
    if not kept:
        return [members]
    labels = [
        label if label in kept else nearest(row, kept) for row, label in zip(members, labels, strict=True)
    ]
    return [[row for row, own in zip(members, labels, strict=True) if own == label] for label in kept]


def summary(rows: np.ndarray, members: list[int], energy: float, terms: int = 0) -> dict[int, float]:
    """Largest weights of a block, as many as hold the energy, and at most so many a row."""
    most = rows[members].max(axis=0)
    weights = {int(term): float(most[term]) for term in np.flatnonzero(most)}
    order = heaviest(weights)
    total = 0.0
    for term in order:
        total += weights[term]
    kept, held = {}, 0.0
    for term in order:
        if kept and energy < 1 and (held >= energy * total or (terms and len(kept) == terms * len(members))):
            break
        kept[term] = weights[term]
        held += weights[term]
    return kept


def scale_of(largest: float) -> np.float32:
    """The least float whose 255-fold is at least the largest value."""
    scale = F32(largest) / F32(255)
    while scale * F32(255) < F32(largest):
        scale = np.nextafter(scale, F32(np.inf))
    while scale > 0 and np.nextafter(scale, F32(0)) * F32(255) >= F32(largest):
        scale = np.nextafter(scale, F32(0))
    return scale


def divide(
    rows: np.ndarray, members: list[int], settings: Settings, whole: bool
) -> tuple[list[Block], np.float32]:
    """Blocks of one term and the scale of their summaries. whole: weights are whole numbers."""
    blocks = [Block(some) for some in clusters(rows, members, settings)]
    if len(blocks) == 1:
        return blocks, F32(0)
    for block in blocks:
        block.summary = summary(rows, block.rows, settings.summary_energy, settings.summary_terms)
    largest = max(value for block in blocks for value in block.summary.values())
    scale = F32(1) if whole else scale_of(largest)
    steps = scale * np.arange(256, dtype=F32)
    for block in blocks:
        block.codes = {t: int(np.flatnonzero(steps >= F32(v))[0]) for t, v in block.summary.items()}
    return blocks, scale


def search(
    rows: np.ndarray,
    divided: dict[int, tuple[list[Block], np.float32]],
    query: list[tuple[int, float]],
    k: int,
    query_cut: int = 0,
    heap_factor: float = 1.0,
    deleted: frozenset[int] = frozenset(),
) -> list[tuple[int, float]]:
    """Hits of one query as (row, score)."""
    scores, found, seen = scores_of(rows, query), [], set()
    lists = sorted(query, key=lambda pair: -F32(pair[1]))[: query_cut or None]
    candidates = []
    for term, _ in lists:
        blocks, scale = divided[term]
        for block in blocks:
            bound = F32(0)
            for other, weight in query:
                if other in block.codes:
                    bound += F32(weight) * (scale * F32(block.codes[other]))
            candidates.append((np.inf if block.summary is None else float(bound), block))
    for bound, block in sorted(candidates, key=lambda pair: -pair[0]):
        full = len(found) == k
        if full and F32(bound) < F32(heap_factor) * F32(found[-1][1]):
            break
        seen |= set(block.rows)
        some = np.where([row in seen for row in range(len(rows))], scores, 0)
        found = best(some, k, set(deleted))
    return found
