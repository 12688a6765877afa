"""A tree of clusters from above: every node is split by balanced or plain k-means until its rows fit a leaf.

Labelling a row by descending the tree compares it with branching * depth centroids instead of all leaves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp import checks, native
from cluscomp.arrays import iter_blocks, normalize_rows, to_float32
from cluscomp.clustering.assign import assign_rows
from cluscomp.clustering.balanced.kmeans import BalancedKMeans
from cluscomp.clustering.blocks import block_rows, take_rows
from cluscomp.clustering.estimator import Estimator
from cluscomp.clustering.kmeans import check_numbers
from cluscomp.clustering.lloyd import WeightedRows
from cluscomp.errors import UsageError
from cluscomp.progress import Progress, Ticker
from cluscomp.vocabulary import BALANCES, Metric


class KMeansTree(Estimator):
    """Tree of k-means clusterings with a bound on the size of its leaves.

    Args:
        branching: most children of a node.
        leaf_size: most rows of a leaf; it holds for every fit, whatever the data. A node of m rows gets
            min(branching, ceil(m / leaf_size)) children.
        balance: how children share the rows of a node, as `BalancedKMeans` takes it: "exact" (sizes differ by
            one at most), "cap" (at most max_ratio times the mean), "soft" or "none".
        max_ratio: of "cap", at least 1.
        metric: "l2" or "cosine".
        n_iter: most updates of each k-means.
        beam: nodes that `predict` follows at each level; 1 is greedy, None compares a row with every leaf
            (exact).
        seed: of all random choices.

    Attributes:
        labels_: (n,) int32, the leaf into which each row was put, leaves being numbered from left to right.
            They may differ from predict(x): a row stays where its ancestors were put.
        cluster_centers_: (leaves, d) float32, the means of the leaves (cosine: of length one).
        leaf_sizes_: (leaves,) rows of each leaf.
        depth_: of the deepest leaf.
        node_centers_: (nodes, d), level by level, the root first.
        first_child_: (nodes + 1,): the children of node i are first_child_[i] to first_child_[i + 1].
        node_leaf_: (nodes,): the leaf of a node, or -1.
        n_features_in_: d.
    """

    def __init__(
        self,
        branching: int = 16,
        *,
        leaf_size: int = 64,
        balance: str = "exact",
        max_ratio: float = 1.5,
        metric: str = "l2",
        n_iter: int = 10,
        beam: int | None = 1,
        seed: int | None = 0,
    ) -> None:
        self.branching = branching
        self.leaf_size = leaf_size
        self.balance = balance
        self.max_ratio = max_ratio
        self.metric = metric
        self.n_iter = n_iter
        self.beam = beam
        self.seed = seed

    def fit(self, x: Any, y: Any = None, progress: Progress | None = None) -> KMeansTree:
        """Build the tree on rows.

        Args:
            x: rows (n, d), as `assign` takes them.
            y: ignored; scikit-learn passes it.
            progress: called as progress(stage, done, total) in rows that have reached their leaf.

        Returns:
            The estimator.

        Raises:
            UsageError: a parameter cannot work.
            DimensionError, DTypeError, NonFiniteError: as `assign` raises them.
        """
        rows = self._check_fit_rows(x)
        metric = self._metric()
        seeds = checks.rng(self.seed)
        ticker = Ticker(progress, "tree", rows.shape[0])
        centers = [_means(rows, np.zeros(rows.shape[0], dtype=np.int32), 1, metric)]
        members = [np.arange(rows.shape[0])]
        first_child, depth, node = [1], [0], 0
        while node < len(members):
            if members[node].size <= self.leaf_size:
                ticker.advance(members[node].size)
            else:
                part = rows if node == 0 else take_rows(rows, members[node])
                labels = self._split(part, metric, int(seeds.integers(1 << 62)))
                n_children = int(labels.max()) + 1
                centers.append(_means(part, labels, n_children, metric))
                members += [members[node][labels == child] for child in range(n_children)]
                depth += [depth[node] + 1] * n_children
                members[node] = members[node][:0]
            first_child.append(len(members))
            node += 1
        self.depth_ = max(depth)
        self.node_centers_ = np.concatenate(centers)
        self.first_child_ = np.array(first_child)
        self.node_leaf_ = _leaf_numbers(self.first_child_)
        self._fill_leaves(rows.shape[0], members)
        ticker.finish()
        return self

    def predict(self, x: Any) -> np.ndarray:
        """Find the nearest leaf of each row, of those that the beam reaches.

        Args:
            x: rows (n, d), as `assign` takes them.

        Returns:
            Leaves (n,) int32. Ties go to the lowest leaf if beam is None, else to the node that was made
            first. Distances are float32.

        Raises:
            NotTrainedError: `fit` has not been called.
            DimensionError: x has another width than the rows of `fit`.
        """
        rows = self._check_rows(x)
        metric = self._metric()
        if self.beam is None:
            return assign_rows(rows, self.cluster_centers_, metric)[0]
        labels = np.empty(rows.shape[0], dtype=np.int32)
        for block in iter_blocks(rows.shape[0], block_rows(rows.shape[1], self.branching * self.beam)):
            labels[block] = self.node_leaf_[self._descend(to_float32(rows[block]), self.beam, metric)]
        return labels

    def fit_predict(self, x: Any, y: Any = None) -> np.ndarray:
        """Build the tree on rows and return their leaves.

        Args:
            x: rows (n, d), as `assign` takes them.
            y: ignored; scikit-learn passes it.

        Returns:
            Leaves (n,) int32 of the rows: fit(x).labels_.
        """
        labels: np.ndarray = self.fit(x).labels_
        return labels

    def _metric(self) -> Metric:
        checks.integer("branching", self.branching, 2)
        check_numbers(leaf_size=self.leaf_size, n_iter=self.n_iter)
        if self.beam is not None:
            check_numbers(beam=self.beam)
        checks.one_of("balance", self.balance, BALANCES)
        metric = checks.metric(self.metric)
        if metric == "ip":
            raise UsageError("metric 'ip' does not separate the children of a node; pass 'l2' or 'cosine'")
        return metric

    def _split(self, part: np.ndarray, metric: Metric, seed: int) -> np.ndarray:
        """Labels (n,) int32 of the children, every one of which has a row; at least two children."""
        n = part.shape[0]
        n_children = min(self.branching, -(-n // self.leaf_size))
        if WeightedRows(part, metric).usable().size < n_children:  # cosine, and most rows are zero
            return (np.arange(n) * n_children // n).astype(np.int32)
        splitter = BalancedKMeans(
            n_children,
            balance=self.balance,
            max_ratio=self.max_ratio,
            metric=metric,
            n_iter=self.n_iter,
            seed=seed,
        )
        found = splitter.fit_rows(part).labels_
        used, labels = np.unique(found, return_inverse=True)
        if used.size == 1:  # equal rows: nothing tells them apart, so they are cut in row order
            labels = np.arange(n) * n_children // n
        return labels.astype(np.int32)

    def _fill_leaves(self, n: int, members: list[np.ndarray]) -> None:
        """Set what is known of each leaf from the rows of each node (empty for inner nodes)."""
        nodes = np.flatnonzero(self.node_leaf_ >= 0)
        nodes = nodes[np.argsort(self.node_leaf_[nodes])]
        self.cluster_centers_ = self.node_centers_[nodes]
        self.leaf_sizes_ = np.array([members[node].size for node in nodes])
        self.labels_ = np.empty(n, dtype=np.int32)
        for leaf, node in enumerate(nodes):
            self.labels_[members[node]] = leaf

    def _descend(self, rows: np.ndarray, beam: int, metric: Metric) -> np.ndarray:
        """Best leaf node (n,) of each row, by following the `beam` best nodes of each level."""
        # List i holds the children of node i, or the node itself if it is a leaf: so leaves stay in the race.
        n_nodes = self.node_leaf_.size
        held = np.where(self.node_leaf_ >= 0, 1, np.diff(self.first_child_))
        offsets = np.concatenate([[0], np.cumsum(held)])
        start = np.where(self.node_leaf_ >= 0, np.arange(n_nodes), self.first_child_[:-1])
        nodes = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - start, held)
        stored = native.Codes.floats(self.node_centers_[nodes])
        lists = native.Lists(offsets, nodes)
        kernel = "l2" if metric == "l2" else "ip"
        frontier = np.zeros((rows.shape[0], 1), dtype=np.int64)
        for _ in range(self.depth_):
            _, frontier = native.scan(stored, lists, rows, frontier.astype(np.int32), beam, kernel)
        best: np.ndarray = frontier[:, 0]
        return best


def _means(rows: np.ndarray, labels: np.ndarray, n_clusters: int, metric: Metric) -> np.ndarray:
    """Mean (k, d) float32 of each cluster; cosine: the direction of the mean of the unit rows, or zero."""
    sums, counts = WeightedRows(rows, metric).sums(labels, n_clusters)
    means = normalize_rows(sums) if metric == "cosine" else sums / counts[:, None]
    return means.astype(np.float32)


def _leaf_numbers(first_child: np.ndarray) -> np.ndarray:
    """Leaf number (nodes,) int32 from left to right, -1 for inner nodes."""
    numbers = np.full(first_child.size - 1, -1, dtype=np.int32)
    stack, n_leaves = [0], 0
    while stack:
        node = stack.pop()
        children = range(first_child[node], first_child[node + 1])
        if children:
            stack.extend(reversed(children))
        else:
            numbers[node] = n_leaves
            n_leaves += 1
    return numbers
