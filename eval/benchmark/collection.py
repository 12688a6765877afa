"""The vectors and judgements of a dataset, encoded once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.errors import DimensionError, InputError
from cluscomp.eval.beir import split_file
from cluscomp.eval.benchmark.config import DatasetSpec
from cluscomp.eval.benchmark.exact import exact_search
from cluscomp.eval.hub import dataset_folder
from cluscomp.eval.qrels import Qrels, read_qrels
from cluscomp.inputs.corpus import iter_corpus
from cluscomp.inputs.embeddings import open_embeddings
from cluscomp.inputs.queries import iter_queries

Progress = Callable[[str, int, int], None]
NEIGHBOURS = 10


@dataclass(frozen=True)
class Collection:
    """A dataset as it is searched.

    documents: (n, d) and queries: (nq, d) float32. qrels: judgements, None where there are none. neighbours:
    the exact 10 nearest documents of each query as judgements of level 1. fingerprint: of everything above.
    flags: of `cluscomp build-index` for the same documents. eval_flags: of `cluscomp eval`.
    """

    name: str
    metric: str
    document_ids: np.ndarray
    documents: np.ndarray
    query_ids: list[str]
    queries: np.ndarray
    qrels: Qrels | None
    neighbours: Qrels
    fingerprint: str
    split: str | None = None
    flags: str = ""
    eval_flags: str = ""
    encoder: str | None = None


def load_collection(
    spec: DatasetSpec, encoders: dict[str, Any], progress: Progress | None = None
) -> Collection:
    """Load or encode a dataset. encoders: loaded so far, by name; a new one is added.

    Raises MissingInputError, InputError, DimensionError and the errors of encoders.
    """
    folder = None if spec.path is None else dataset_folder(spec.path, base=spec.base)
    qrels = None if folder is None else read_qrels(split_file(folder, spec.split))
    if spec.encoder is not None:
        assert folder is not None  # the config says so
        ids, documents, query_ids, queries = _encoded(spec, folder, qrels or {}, encoders, progress)
    else:
        ids, documents, query_ids, queries = _stored(spec, qrels)
    collection = make_collection(spec.name, documents, ids, queries, query_ids, qrels, metric=spec.metric)
    return replace(
        collection,
        split=spec.split,
        flags=_build_flags(spec, folder),
        eval_flags=_eval_flags(spec, folder),
        encoder=spec.encoder,
    )


def make_collection(
    name: str,
    documents: np.ndarray,
    ids: Any,
    queries: np.ndarray,
    query_ids: Any,
    qrels: Qrels | None,
    *,
    metric: str,
) -> Collection:
    """A collection of arrays in memory: documents (n, d) with n ids, queries (nq, d) with nq ids.

    Raises DimensionError where they do not belong together.
    """
    if documents.shape[1] != queries.shape[1]:
        raise DimensionError(
            f"dataset {name!r}: documents have dim {documents.shape[1]}, queries {queries.shape[1]}; "
            "both must come from one model"
        )
    column, names = _text_ids(ids), [str(query_id) for query_id in query_ids]
    return Collection(
        name=name,
        metric=metric,
        document_ids=column,
        documents=documents,
        query_ids=names,
        queries=queries,
        qrels=qrels,
        neighbours=_neighbours(documents, column, queries, names, metric),
        fingerprint=_fingerprint(documents, queries, column, names, qrels, metric),
    )


def _encoded(
    spec: DatasetSpec, folder: Path, qrels: Qrels, encoders: dict[str, Any], progress: Progress | None
) -> tuple[Any, np.ndarray, list[str], np.ndarray]:
    from cluscomp.encoders import encode_cached, load_encoder

    name = str(spec.encoder)
    if name not in encoders:
        encoders[name] = load_encoder(name)
    documents = [(doc.id, doc.content) for doc in iter_corpus(folder, empty="keep")]
    texts = {query.id: query.text for query in iter_queries(folder, spec.split) if query.id in qrels}
    _require_queries(spec, qrels, texts.keys())

    def encode(what: list[str], side: str) -> np.ndarray:
        tick = None
        if progress is not None:
            tick = lambda done, total: progress(f"{spec.name}: encode {side}", done, total)  # noqa: E731
        return np.asarray(encode_cached(encoders[name], what, side=side, progress=tick))  # type: ignore[arg-type]

    vectors = encode([text for _, text in documents], "document")
    queries = encode([*texts.values()], "query")
    return [name for name, _ in documents], vectors, list(texts), queries


def _stored(spec: DatasetSpec, qrels: Qrels | None) -> tuple[Any, np.ndarray, list[str], np.ndarray]:
    assert spec.embeddings is not None and spec.query_embeddings is not None
    source = open_embeddings(spec.embeddings, spec.ids)
    found = open_embeddings(spec.query_embeddings, spec.query_ids)
    names = [str(name) for name in (range(found.n) if found.ids is None else found.ids)]
    queries = found.read(0, found.n)
    if qrels is not None:
        kept = [row for row, name in enumerate(names) if name in qrels]
        _require_queries(spec, qrels, {names[row] for row in kept})
        names, queries = [names[row] for row in kept], queries[kept]
    ids = range(source.n) if source.ids is None else source.ids
    return ids, source.read(0, source.n), names, queries


def _require_queries(spec: DatasetSpec, qrels: Qrels, have: Any) -> None:
    missing = [name for name in qrels if name not in have]
    if missing:
        raise InputError(
            f"dataset {spec.name!r}: {len(missing)} of {len(qrels)} judged queries have no vector or text, "
            f"such as {missing[0]!r}; do queries and judgements belong together?"
        )


def _text_ids(ids: Any) -> np.ndarray:
    column = np.empty(len(ids), dtype=object)
    column[:] = [str(name) for name in ids]
    return column


def _neighbours(
    documents: np.ndarray, ids: np.ndarray, queries: np.ndarray, query_ids: list[str], metric: str
) -> dict[str, dict[str, int]]:
    k = min(NEIGHBOURS, len(documents))
    _, positions = exact_search(queries, documents, k, metric)
    return {name: dict.fromkeys(ids[row], 1) for name, row in zip(query_ids, positions, strict=True)}


def _fingerprint(
    documents: np.ndarray, queries: np.ndarray, ids: np.ndarray, query_ids: list[str], qrels: Qrels | None,
    metric: str,
) -> str:  # fmt: skip
    digest = hashlib.blake2b(metric.encode(), digest_size=16)
    for array in (documents, queries):
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    digest.update(repr((ids.tolist(), query_ids, qrels)).encode())
    return digest.hexdigest()


def shown_path(path: Path | str) -> str:
    """A path as it is written in commands: relative to the working folder where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(os.path.abspath(path)) else os.path.abspath(path)


def _build_flags(spec: DatasetSpec, folder: Path | None) -> str:
    if spec.embeddings is None:
        return f"--corpus {shown_path(folder or '')} --encoder {spec.encoder} --empty-documents keep"
    ids = "" if spec.ids is None else f" --ids {shown_path(spec.ids)}"
    return f"--embeddings {shown_path(spec.embeddings)}{ids}"


def _eval_flags(spec: DatasetSpec, folder: Path | None) -> str:
    flags = "" if folder is None else f"--dataset {shown_path(folder)} --split {spec.split}"
    if spec.query_embeddings is not None:
        flags += f" --query-embeddings {shown_path(spec.query_embeddings)}"
    if spec.query_ids is not None:
        flags += f" --query-ids {shown_path(spec.query_ids)}"
    return flags.strip()
