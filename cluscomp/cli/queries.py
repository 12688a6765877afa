"""Queries for commands that search: texts through the index's encoder, or vectors from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluscomp import errors
from cluscomp.vocabulary import KBeyond

if TYPE_CHECKING:
    from cluscomp.cli.progress import StageProgress
    from cluscomp.indexes.any_index import AnyIndex

BATCH = 1024


@dataclass(frozen=True)
class QuerySet:
    """Query ids, their vectors (n, dim) or weighted terms, and their texts where known. lengths: (n,) where a
    query has several vectors, which stand below each other.
    """

    ids: list[str]
    vectors: Any
    texts: list[str] | None = None
    lengths: Any = None

    def select(self, kept: list[int]) -> QuerySet:
        """The queries with these numbers, without their texts."""
        ids = [self.ids[row] for row in kept]
        if self.lengths is None:
            return QuerySet(ids, self.vectors[kept])
        import numpy as np

        from cluscomp.multivector import as_ragged

        taken = as_ragged(self.vectors, self.lengths, check_finite=False).take(np.array(kept, dtype=np.int64))
        return QuerySet(ids, taken.rows, lengths=taken.lengths)

    def part(self, start: int, stop: int) -> tuple[Any, dict[str, Any]]:
        """Vectors of some queries, and the arguments of a search that belong to them."""
        if self.lengths is None:
            return self.vectors[start:stop], {}
        first, last = int(self.lengths[:start].sum()), int(self.lengths[:stop].sum())
        return self.vectors[first:last], {"lengths": self.lengths[start:stop]}


def encode_queries(
    index: AnyIndex,
    ids: Sequence[str],
    texts: Sequence[str],
    encoder: str | None,
    progress: StageProgress | None,
) -> QuerySet:
    """Encode texts with the encoder that the index remembers.

    encoder: name that the caller asked for, or None; EncoderMismatchError if it is another than the index's.
    """
    model = index_encoder(index, encoder, "pass --query-embeddings FILE")
    encoded = model.encode_queries(list(texts), progress=progress)
    vectors, lengths = encoded if isinstance(encoded, tuple) else (encoded, None)
    return QuerySet(list(ids), vectors, list(texts), lengths)


def read_query_vectors(
    index: Any, embeddings: Path, ids: Path | None, query_lengths: Path | None = None
) -> QuerySet:
    """Query vectors of a file, with ids from a second file (or row numbers from 0); of hybrid indexes only
    these.

    query_lengths: for multi-vector indexes, .npy with the number of vectors of each query.
    """
    from cluscomp.indexes.kind import kind_of
    from cluscomp.inputs.embeddings import open_embeddings
    from cluscomp.inputs.ragged import open_ragged

    kind, lengths = kind_of(index.spec.dense), None
    if kind.terms:
        return read_query_terms(embeddings, ids)
    if kind.ragged:
        source, lengths, names_of = open_ragged(embeddings, query_lengths, ids)
        source.ids = names_of
    else:
        source = open_embeddings(embeddings, ids)
    if source.dim != index.dim:
        raise errors.DimensionError(
            f"the index has dim {index.dim}, but the queries in {embeddings} have dim {source.dim}; "
            "encode them with the model that made the index"
        )
    n = source.n if lengths is None else len(lengths)
    names = [str(name) for name in (range(n) if source.ids is None else source.ids)]
    return QuerySet(names, source.read(0, source.n), lengths=lengths)


def read_query_terms(embeddings: Path, ids: Path | None) -> QuerySet:
    """Weighted terms of a .jsonl file, which has the ids, or of a .npz file of a matrix, which has none."""
    from cluscomp.inputs.embeddings import read_ids
    from cluscomp.inputs.term_matrix import is_term_matrix, read_term_matrix
    from cluscomp.inputs.terms import read_terms

    if is_term_matrix(embeddings):
        rows = read_term_matrix(embeddings)
        names = range(len(rows)) if ids is None else read_ids(ids, len(rows))
        return QuerySet([str(name) for name in names], rows)
    if ids is not None:
        raise errors.UsageError(
            "--query-ids: the ids of weighted terms stand in their .jsonl file; leave it out"
        )
    return QuerySet(*read_terms(embeddings))


def search_in_batches(
    index: AnyIndex, queries: QuerySet, k: int, options: dict[str, Any], progress: StageProgress | None = None
) -> dict[str, dict[str, float]]:
    """The run {query id: {document id: score}} of all queries."""
    from cluscomp.eval.retrieval import run_from_results

    run: dict[str, dict[str, float]] = {}
    total = len(queries.ids)
    for start in range(0, total, BATCH):
        stop = min(start + BATCH, total)
        vectors, belonging = queries.part(start, stop)
        scores, ids = index.search(vectors, k, **belonging, **options)
        run.update(run_from_results(queries.ids[start:stop], scores, ids))
        if progress is not None:
            progress("search", stop, total)
    return run


def search_options(index: AnyIndex, nprobe: int | None, refine_factor: str | None) -> dict[str, Any]:
    """Keyword arguments of index.search for the flags that were given. Raises UsageError where rows are terms
    alone, which have neither lists nor finer codes.
    """
    from cluscomp.indexes.kind import kind_of

    is_number = refine_factor is not None and refine_factor.removeprefix("-").isdecimal()
    given = {"nprobe": nprobe, "refine_factor": int(str(refine_factor)) if is_number else refine_factor}
    options = {name: value for name, value in given.items() if value is not None}
    if options and kind_of(index.spec).terms:
        flags = ", ".join("--" + name.replace("_", "-") for name in options)
        raise errors.UsageError(
            f"{flags}: for keys of vectors; the rows of {str(index.key)!r} are weighted terms: leave it out"
        )
    return options


def check_k(k: int | None, default: int, size: int, k_beyond: KBeyond = "fail") -> int:
    """Results a query: as asked for, or the default, cut to the index size.

    Raises UsageError when more are asked for than the index holds and k_beyond is "fail".
    """
    if k is not None and k > size and k_beyond == "fail":
        raise errors.UsageError(
            f"-k is {k}, but the index holds {size} documents; ask for at most {size}, or pass "
            "--k-beyond clip"
        )
    return min(default if k is None else k, size)


def index_encoder(index: AnyIndex, name: str | None, remedy: str) -> Any:
    """The encoder that made the index; EncoderMismatchError if `name` is another. remedy: for an index that
    knows none.
    """
    from cluscomp.encoders.remembered import remembered_encoder

    return remembered_encoder(index.encoder, name, remedy)
