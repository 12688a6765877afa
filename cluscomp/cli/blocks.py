"""Flags of searches in clustered postings (keys Seismic)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cluscomp import errors
from cluscomp.cli.common import flag

if TYPE_CHECKING:
    from cluscomp.indexes.any_index import AnyIndex

QueryCut = Annotated[
    int | None, flag("--query-cut", help="Terms of a query that lead a Seismic index to rows; 0: all.", min=0)
]
HeapFactor = Annotated[
    float | None,
    flag(
        "--heap-factor",
        help="What a block of a Seismic index must promise, in parts of the k-th score; less finds more.",
        min=0,
    ),
]


def block_options(index: AnyIndex, query_cut: int | None, heap_factor: float | None) -> dict[str, Any]:
    """Keyword arguments of index.search for the flags that were given. Raises UsageError where they have no
    effect on the index.
    """
    given = {"query_cut": query_cut, "heap_factor": heap_factor}
    options = {name: value for name, value in given.items() if value is not None}
    if options and not index.spec.term_codec.approximate:
        flags = ", ".join("--" + name.replace("_", "-") for name in options)
        raise errors.UsageError(
            f"{flags}: for clustered postings, whose keys begin with Seismic; this one is {str(index.key)!r}"
        )
    return options
