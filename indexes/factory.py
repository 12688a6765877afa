"""index_factory: from a key to an empty index."""

from __future__ import annotations

from typing import TypeAlias

from cluscomp.checks import integer
from cluscomp.indexes.index import Index
from cluscomp.indexes.keys.grammar import parse_key
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.multivector.index import MultiVectorIndex
from cluscomp.indexes.storage.manifest import MAX_DIM

AnyIndex: TypeAlias = Index | MultiVectorIndex
"""An index of either kind, for annotations and `isinstance`."""


def index_factory(key: str, dim: int, metric: str = "ip", *, seed: int = 0) -> Index | MultiVectorIndex:
    """Make an empty index: an `Index`, or a `MultiVectorIndex` for keys with a pool, such as
    "Pool16,IVF1024,PQ96".

    key: such as "Flat", "SQ8", "OPQ48,IVF1024,PQ48" or "IVF256,PQ24x4,RFlat". dim: of the
    vectors. metric: "ip" (inner product), "l2" or "cosine". seed: of all random choices of training; the same
    seed, rows and version give the same index, bit for bit, for any number of threads.

    Raises UnknownKeyError (key or metric; names the nearest known key), UsageError (the key does not fit the
    dim), and for RepCONC(folder) what `LearnedCodec.load` does.
    """
    spec = parse_key(key).resolved()
    index: Index | MultiVectorIndex = kind_of(spec).index(
        spec, integer("dim", dim, 1, MAX_DIM), metric, seed=integer("seed", seed, 0, 2**128 - 1)
    )
    return index
