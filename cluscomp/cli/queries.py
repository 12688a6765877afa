"""Queries for commands that search: texts through the index's encoder, or vectors from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluscomp import errors

if TYPE_CHECKING:
    import numpy as np

    from cluscomp.cli.progress import StageProgress
    from cluscomp.indexes.index import Index

BATCH = 1024


@dataclass(frozen=True)
class QuerySet:
    """Query ids, their vectors (n, dim), and their texts where known."""

    ids: list[str]
    vectors: np.ndarray
    texts: list[str] | None = None


def encode_queries(
    index: Index,
    ids: Sequence[str],
    texts: Sequence[str],
    encoder: str | None,
    progress: StageProgress | None,
) -> QuerySet:
    """Encode texts with the encoder that the index remembers.

    encoder: name that the caller asked for, or None; EncoderMismatchError if it is another than the index's.
    """
    model = _query_encoder(index, encoder)

    def tick(done: int, total: int) -> None:
        if progress is not None:
            progress("encode", done, total)

    return QuerySet(list(ids), model.encode_queries(list(texts), progress=tick), list(texts))


def read_query_vectors(index: Index, embeddings: Path, ids: Path | None) -> QuerySet:
    """Query vectors of a file, with ids from a second file (or row numbers from 0)."""
    from cluscomp.inputs.embeddings import open_embeddings

    source = open_embeddings(embeddings, ids)
    if source.dim != index.dim:
        raise errors.DimensionError(
            f"the index has dim {index.dim}, but the queries in {embeddings} have dim {source.dim}; "
            "encode them with the model that made the index"
        )
    names = [str(name) for name in (range(source.n) if source.ids is None else source.ids)]
    return QuerySet(names, source.read(0, source.n))


def search_in_batches(
    index: Index, queries: QuerySet, k: int, options: dict[str, Any], progress: StageProgress | None = None
) -> dict[str, dict[str, float]]:
    """The run {query id: {document id: score}} of all queries."""
    from cluscomp.eval.retrieval import run_from_results

    run: dict[str, dict[str, float]] = {}
    total = len(queries.ids)
    for start in range(0, total, BATCH):
        stop = min(start + BATCH, total)
        scores, ids = index.search(queries.vectors[start:stop], k, **options)
        run.update(run_from_results(queries.ids[start:stop], scores, ids))
        if progress is not None:
            progress("search", stop, total)
    return run


def search_options(nprobe: int | None, refine_factor: int | None) -> dict[str, Any]:
    """Keyword arguments of index.search for the flags that were given."""
    given = {"nprobe": nprobe, "refine_factor": refine_factor}
    return {name: value for name, value in given.items() if value is not None}


def check_k(k: int | None, default: int, size: int) -> int:
    """Results a query: as asked for, or the default, cut to the index size.

    Raises UsageError when more are asked for than the index holds.
    """
    if k is None:
        return min(default, size)
    if k > size:
        raise errors.UsageError(f"-k is {k}, but the index holds {size} documents; ask for at most {size}")
    return k


def _query_encoder(index: Index, name: str | None) -> Any:
    from cluscomp.encoders import check_same_encoder, load_encoder

    info = index.encoder
    if info is None:
        raise errors.UsageError(
            "the index was built from vectors and knows no encoder, so that texts cannot be searched; "
            "pass --query-embeddings FILE, or build it with --corpus and --encoder"
        )
    if name is not None:
        model = load_encoder(name, info["kind"])
    else:
        model = load_encoder(
            info["name"],
            info["kind"],
            max_seq_length=info.get("max_seq_length"),
            query_prompt=info.get("query_prompt"),
            document_prompt=info.get("document_prompt"),
        )
    check_same_encoder(info, model.info)
    return model
