"""index_factory: from a key to an empty index."""

from __future__ import annotations

from cluscomp.indexes.checks import integer
from cluscomp.indexes.index import Index
from cluscomp.indexes.key import parse_key
from cluscomp.indexes.manifest import MAX_DIM


def index_factory(key: str, dim: int, metric: str = "ip", *, seed: int = 0) -> Index:
    """Make an empty index.

    key: such as "Flat", "SQ8", "OPQ48,IVF1024,PQ48" or "IVF256,PQ24x4,RFlat" (grammar: key.py). dim: of the
    vectors. metric: "ip" (inner product), "l2" or "cosine". seed: of all random choices of training; the same
    seed, rows and version give the same index, bit for bit, for any number of threads.

    Raises UnknownKeyError (key or metric; names the nearest known key), UsageError (the key does not fit the
    dim).
    """
    return Index(
        parse_key(key), integer("dim", dim, 1, MAX_DIM), metric, seed=integer("seed", seed, 0, 2**128 - 1)
    )
