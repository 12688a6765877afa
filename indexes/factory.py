"""index_factory: from a key to an empty index."""

from __future__ import annotations

from cluscomp.errors import UsageError
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
    if isinstance(dim, bool) or not isinstance(dim, int) or not 1 <= dim <= MAX_DIM:
        raise UsageError(f"dim must be an integer from 1 to {MAX_DIM}, but is {dim!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**128:
        raise UsageError(f"seed must be an integer from 0 to 2**128 - 1, but is {seed!r}")
    return Index(parse_key(key), dim, metric, seed=seed)
