"""index_factory: from a key to an empty index."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from cluscomp.checks import integer
from cluscomp.indexes.index import Index
from cluscomp.indexes.keys.grammar import parse_key
from cluscomp.indexes.keys.table import ORDER, key_table
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.storage.manifest import MAX_DIM

if TYPE_CHECKING:
    from cluscomp.indexes.hybrid.index import HybridIndex
    from cluscomp.indexes.multivector.index import MultiVectorIndex
    from cluscomp.indexes.sparse.index import SparseIndex


def index_factory(
    key: str, dim: int, metric: str = "ip", *, seed: int = 0
) -> Index | MultiVectorIndex | SparseIndex | HybridIndex:
    """Make an empty index of the kind that the key names.

    Args:
        key: parts of the table below, such as "Flat", "SQ8", "OPQ48,IVF1024,PQ48" or
            "IVF256,PQ24x4,RFlat". Keys with a pool in front, such as "Pool16,IVF1024,PQ96", are for documents
            of several vectors each; "Sparse" and "Sparse(bm25)" are for weighted terms and for words. A
            key of vectors and one of terms with + between them make a hybrid index.
        dim: of the vectors; 1 for terms, which have no dimension.
        metric: "ip" (inner product), "l2" (squared Euclidean distance, also written "euclidean") or "cosine".
        seed: of all random choices of training; the same seed, rows and version give the same index, bit for
            bit, for any number of threads.

    Returns:
        An `Index`, a `MultiVectorIndex` for keys with a pool, a `SparseIndex` for terms, or a `HybridIndex`
        for keys of two parts: untrained, without rows.

    Raises:
        UnknownKeyError: a part of the key or the metric does not exist; the message names the nearest one.
        UsageError: the key does not fit the dim or the metric.
        MissingInputError, MalformedFileError: the folder of RepCONC(folder) holds no codec.

    """
    spec = parse_key(key).resolved()
    index: Index | MultiVectorIndex | SparseIndex | HybridIndex = kind_of(spec).index(
        spec, integer("dim", dim, 1, MAX_DIM), metric, seed=integer("seed", seed, 0, 2**128 - 1)
    )
    return index


index_factory.__doc__ = f"""{inspect.getdoc(index_factory)}

A key reads {ORDER}, with these parts (`cluscomp keys KEY` explains one):

{key_table()}
"""
