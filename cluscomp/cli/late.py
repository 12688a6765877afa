"""Flags of searches in indexes of several vectors a document (keys that begin with Pool)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cluscomp import errors
from cluscomp.cli.common import flag
from cluscomp.cli.queries import QuerySet, read_query_vectors
from cluscomp.vocabulary import CandidatesBy

if TYPE_CHECKING:
    from cluscomp.indexes.any_index import AnyIndex

PANEL = "Several vectors a document"


QueryLengths = Annotated[
    Path | None, flag("--query-lengths", help=".npy with the number of vectors of each query.", panel=PANEL)
]
Candidates = Annotated[
    int | None,
    flag("--candidates", help="Documents that are scored for a query. (default: 384)", panel=PANEL, min=1),
]
CandidatesFrom = Annotated[
    CandidatesBy | None,
    flag(
        "--candidates-by",
        help="Choose them by the lists of their vectors, or by MUVERA's encodings. (default: lists)",
        panel=PANEL,
    ),
]
Softmax = Annotated[
    float | None,
    flag(
        "--softmax",
        help="Score hits again by softmax of this temperature instead of the maximum.",
        panel=PANEL,
        metavar="TEMPERATURE",
    ),
]
Keep = Annotated[
    float | None,
    flag(
        "--keep",
        help="Share of each query's vectors to search with: those of the largest --salience.",
        panel=PANEL,
        metavar="SHARE",
    ),
]
Salience = Annotated[
    Path | None,
    flag("--salience", help=".npy with a number for each vector of --query-embeddings.", panel=PANEL),
]


def late_options(
    index: AnyIndex, candidates: int | None, candidates_by: CandidatesBy | None, softmax: float | None
) -> dict[str, Any]:
    """Keyword arguments of the index's search for the flags that were given.

    Raises UsageError where the index has one vector a document.
    """
    given = {
        "candidates": candidates,
        "candidates_by": candidates_by,
        "softmax": softmax,
    }
    options = {name: value for name, value in given.items() if value is not None}
    _require_several(index, [_flag_of(name) for name in options])
    return options


@dataclass(frozen=True)
class QueryFiles:
    """What the flags name: vectors of queries, their ids, the number of each, which of them to keep, and the
    terms of the queries.
    """

    embeddings: Path | None
    ids: Path | None
    lengths: Path | None
    keep: float | None
    salience: Path | None
    terms: Path | None = None

    def check(self, index: AnyIndex) -> None:
        """Raise UsageError where flags do not go with each other or with the index."""
        if self.ids is not None and self.embeddings is None:
            raise errors.UsageError("--query-ids belongs to --query-embeddings")
        given = {"--query-lengths": self.lengths, "--keep": self.keep, "--salience": self.salience}
        flags = [name for name, value in given.items() if value is not None]
        _require_several(index, flags)
        self._check_terms(index)
        if (self.keep is None) != (self.salience is None):
            raise errors.UsageError(
                "--keep, the share of query vectors that stay, and --salience, a file with a number for each "
                "vector, come together"
            )
        if flags and self.embeddings is None:
            belong = "belongs" if len(flags) == 1 else "belong"
            raise errors.UsageError(f"{' and '.join(flags)} {belong} to --query-embeddings")

    def _check_terms(self, index: AnyIndex) -> None:
        if self.terms is None:
            return
        from cluscomp.indexes.kind import kind_of

        if not kind_of(index.spec).both:
            raise errors.UsageError(
                f"--query-terms is for hybrid indexes, and {str(index.key)!r} is the key of none; weighted "
                "terms of queries of a Sparse index are --query-embeddings"
            )
        if self.embeddings is None:
            raise errors.UsageError("--query-terms stands beside --query-embeddings, which are not given")

    def read(self, index: AnyIndex) -> QuerySet:
        """The queries of --query-embeddings, pruned, without their terms.

        Raises MalformedFileError, DimensionError, DTypeError, NonFiniteError, UsageError (no lengths, a share
        outside 0 to 1).
        """
        assert self.embeddings is not None
        queries = read_query_vectors(index, self.embeddings, self.ids, self.lengths)
        if self.keep is None or self.salience is None:
            return queries
        from cluscomp.indexes.multivector.queries import pruned
        from cluscomp.inputs.ragged import read_numbers
        from cluscomp.multivector import as_ragged

        numbers = read_numbers(self.salience, "salience", "one number a query vector")
        kept = pruned(as_ragged(queries.vectors, queries.lengths, check_finite=False), self.keep, numbers)
        return QuerySet(queries.ids, kept.rows, lengths=kept.lengths)


def _require_several(index: AnyIndex, flags: list[str]) -> None:
    if flags and not index.spec.sums_tokens:
        raise errors.UsageError(
            f"{', '.join(flags)}: for indexes of several vectors a document, whose keys begin with Pool; "
            f"this one is {str(index.key)!r}"
        )


def _flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")
