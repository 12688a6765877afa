"""AnyIndex: what `index_factory` and `open_index` return, as one name."""

from __future__ import annotations

from typing import TypeAlias

from cluscomp.indexes.index import Index
from cluscomp.indexes.multivector.index import MultiVectorIndex

AnyIndex: TypeAlias = Index | MultiVectorIndex
"""An index of either kind, for annotations and `isinstance`."""
