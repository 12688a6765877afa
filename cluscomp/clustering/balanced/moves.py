"""Fixes what the shortest-path step cannot: moves single rows into clusters missing from their short lists.

`pull` feeds clusters that no short list reaches with the rows that lose least under the prices, from any
cluster; shortest paths then fill the places that these rows leave. `move_rest` ends the search: rows that are
still misplaced move straight to clusters with room, cheapest moves first. A chain of moves may be cheaper, so
the cost need not be the least; the duality gap bounds the difference.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks
from cluscomp.clustering.balanced.items import Items
from cluscomp.clustering.blocks import block_rows
from cluscomp.clustering.metrics import kernel_metric

# Units looked at again, for each cluster: so many times what it has to give, and some more.
_SPARE, _FEW = 4, 16


def pull(dual: native.DualAscent, items: Items, centroids: np.ndarray) -> None:
    """Bring units to the clusters that want some, from wherever it costs least at the prices of the paths."""
    mover = Mover(items, centroids, dual.units(), dual.prices)
    wanted = np.array(dual.wanted())
    found = mover.move(np.where(wanted > 0, 0, mover.sizes()), wanted, dual.out_of_place)
    dual.pull(mover.item_of[found.units], found.sources, found.targets, found.costs)


def move_rest(
    items: Items,
    centroids: np.ndarray,
    units: np.ndarray,
    prices: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> np.ndarray:
    """Clusters of all units of mass, within the bounds. units: (total mass,) int32, item by item."""
    mover = Mover(items, centroids, units.copy(), prices)
    for least, most in ((high, low), (high, high), (low, low)):
        mover.move(mover.sizes() - least, most - mover.sizes(), units.size)
    return mover.units[np.lexsort((mover.units, mover.item_of))]


@dataclass(frozen=True)
class Moves:
    """Units with the clusters that they left and went to, and what that costs more, prices not counted."""

    units: np.ndarray
    sources: np.ndarray
    targets: np.ndarray
    costs: np.ndarray


class Mover:
    """Moves units: (total mass,) int32, cluster of each unit of mass, item by item; changed in place."""

    def __init__(self, items: Items, centroids: np.ndarray, units: np.ndarray, prices: np.ndarray) -> None:
        self.items, self.centroids, self.units, self.prices = items, centroids, units, prices
        self.item_of = np.arange(items.n) if items.mass is None else np.repeat(np.arange(items.n), items.mass)
        self._metric = kernel_metric(items.metric)

    def sizes(self) -> np.ndarray:
        """Units in each cluster, (k,)."""
        return np.bincount(self.units, minlength=self.centroids.shape[0])

    def move(self, give: np.ndarray, take: np.ndarray, limit: int) -> Moves:
        """Move units from clusters with give > 0 to clusters with take > 0 until either has no more.

        Each cluster offers the units that lose least, and takes the cheapest offers. limit: most moves.
        """
        give, take = np.maximum(give, 0), np.maximum(take, 0)
        left = np.flatnonzero(give[self.units] > 0)
        done = [Moves(left[:0], self.units[:0], self.units[:0], np.empty(0))]
        while give.any() and take.any() and limit > 0:
            losses, costs, to = self._cheapest(left, np.flatnonzero(take))
            order = np.argsort(losses, kind="stable")
            left, to, costs = left[order], to[order], costs[order]
            source = self.units[left]
            rank = _rank_within(source)
            keep = rank < _SPARE * (give[source] + _FEW)
            offered = np.flatnonzero(rank < give[source])
            taken = offered[_rank_within(to[offered]) < take[to[offered]]][:limit]
            done.append(Moves(left[taken], source[taken], to[taken], costs[taken]))
            np.subtract.at(give, source[taken], 1)
            np.subtract.at(take, to[taken], 1)
            limit -= taken.size
            self.units[left[taken]] = to[taken]
            keep[taken] = False
            left = np.sort(left[keep & (give[source] > 0)])
        return Moves(*(np.concatenate([getattr(m, f.name) for m in done]) for f in fields(Moves)))

    def _cheapest(self, units: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the cheapest move of each unit to some clusters: loss, the same without prices, and where to."""
        sign = 0.5 if self._metric == "l2" else -1.0
        points = np.ascontiguousarray(self.centroids[clusters])
        assigner = native.Assigner(points, self._metric, -self.prices[clusters].astype(np.float32))
        costs, to = np.empty(units.size), np.empty(units.size, dtype=np.int32)
        for block in iter_blocks(units.size, block_rows(points.shape[1], points.shape[0])):
            rows, held = self.items.vectors(self.item_of[units[block]]), self.units[units[block]]
            best = assigner.assign(rows)[0]
            here = native.pair_scores(rows, self.centroids, self._metric, held)
            costs[block] = sign * (native.pair_scores(rows, points, self._metric, best) - here)
            to[block] = clusters[best]
        return costs + self.prices[to] - self.prices[self.units[units]], costs, to


def _rank_within(groups: np.ndarray) -> np.ndarray:
    """How many earlier entries have the same value."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rank = np.empty(groups.size, dtype=np.int64)
    rank[order] = np.arange(groups.size) - np.repeat(starts, np.diff(np.r_[starts, groups.size]))
    return rank
