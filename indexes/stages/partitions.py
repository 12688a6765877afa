"""Partitions: the division of rows into lists, and the choice of lists that a query visits.

To add one: a spec in keys/specs.py, a form in grammar.py, a class with the attributes of `Ivf`, a line in
`PARTITIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from cluscomp.indexes.keys.grammar import BIVF, IVF, PartitionSpec
from cluscomp.indexes.stages.balanced_ivf import BalancedIvf
from cluscomp.indexes.stages.ivf import Ivf

MAX_POINTS_PER_LIST = 256
"""Training rows a list, at most."""

PARTITIONS: dict[type, Callable[[Any, int, str], Ivf]] = {IVF: Ivf, BIVF: BalancedIvf}


def make_partition(spec: PartitionSpec | None, dim: int, metric: str) -> Ivf | None:
    """The untrained partition that a key part stands for, or None for one list."""
    return None if spec is None else PARTITIONS[type(spec)](spec, dim, metric)


def default_nprobe(nlist: int) -> int:
    """Lists probed unless said otherwise: 4 * ceil(sqrt(nlist)), at most nlist.

    32 of 64, 128 of 1024, 1024 of 65536: the share falls as lists become more.
    """
    return min(nlist, 4 * math.isqrt(nlist - 1) + 4)
