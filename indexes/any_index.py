"""AnyIndex: what `index_factory` and `open_index` return, as one name."""

from __future__ import annotations

from typing import TypeAlias

from cluscomp.indexes.hybrid.index import HybridIndex
from cluscomp.indexes.index import Index
from cluscomp.indexes.multivector.index import MultiVectorIndex
from cluscomp.indexes.sparse.index import SparseIndex

AnyIndex: TypeAlias = Index | MultiVectorIndex | SparseIndex | HybridIndex
"""An index of any kind, for annotations and `isinstance`."""
