"""Loading a dataset of a comparison: texts encoded once, or vectors from files."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.errors import InputError
from cluscomp.eval.beir import split_file
from cluscomp.eval.compare.collection import Collection, Vectors, make_collection, rows_of
from cluscomp.eval.compare.config import WORDS, DatasetSpec, Form
from cluscomp.eval.hub import dataset_folder
from cluscomp.eval.qrels import Qrels, read_qrels
from cluscomp.inputs.corpus import iter_corpus
from cluscomp.inputs.embeddings import open_embeddings
from cluscomp.inputs.queries import iter_queries
from cluscomp.inputs.ragged import open_ragged
from cluscomp.multivector import Ragged, as_ragged
from cluscomp.progress import Progress, as_stage
from cluscomp.terms import HybridRows, TermRows


def load_collection(
    spec: DatasetSpec, encoders: dict[tuple[str, str], Any], progress: Progress | None = None
) -> Collection:
    """Load or encode a dataset. encoders: loaded so far, by name and kind; a new one is added.

    Raises MissingInputError, InputError, DimensionError and the errors of encoders.
    """
    if spec.both and spec.terms is not None:
        parts = (load_collection(one, encoders, progress) for one in (spec.alone(), spec.terms))
        return _joined(*parts)
    folder = None if spec.path is None else dataset_folder(spec.path, base=spec.base)
    qrels = None if folder is None else read_qrels(split_file(folder, spec.split))
    if spec.encoder is not None:
        assert folder is not None  # the config says so
        found = _encoded(spec, folder, qrels or {}, encoders, progress)
    else:
        found = _stored(spec, qrels)
    collection = make_collection(
        spec.name, found.documents, found.ids, found.queries, found.query_ids, qrels, metric=spec.metric
    )
    other = spec.elsewhere
    return replace(
        collection,
        elsewhere=None if other is None else partial(load_collection, other, encoders, progress),
        split=spec.split,
        flags=_build_flags(spec, folder),
        eval_flags=_eval_flags(spec, folder),
        encoder=spec.encoder,
        terms="sparse" if spec.form == "sparse" else "terms",
    )


def _joined(dense: Collection, terms: Collection) -> Collection:
    """Vectors and terms of the same texts. Raises InputError where one lacks a text of the other."""
    rows = [
        HybridRows(
            rows_of(vectors),
            _in_order(dense.name, there, of_terms, names),
            vectors.lengths if isinstance(vectors, Ragged) else None,
        )
        for vectors, names, of_terms, there in (
            (dense.documents, dense.document_ids, terms.documents, terms.document_ids),
            (dense.queries, dense.query_ids, terms.queries, terms.query_ids),
        )
    ]
    made = make_collection(
        dense.name, rows[0], dense.document_ids, rows[1], dense.query_ids, dense.qrels, metric=dense.metric
    )
    word_encoder = "" if terms.encoder is None else f" --word-encoder {shlex.quote(terms.encoder)}"
    return replace(
        made,
        split=dense.split,
        flags=dense.flags + word_encoder,
        eval_flags=dense.eval_flags,
        encoder=dense.encoder,
        terms=terms.terms,
    )


def _in_order(
    name: str, there: Sequence[str] | np.ndarray, terms: Any, wanted: Sequence[str] | np.ndarray
) -> TermRows:
    """Terms of the texts with the wanted ids. there: ids of `terms`."""
    place = {one: number for number, one in enumerate(there)}
    missing = [one for one in wanted if one not in place]
    if missing:
        raise InputError(
            f"dataset {name!r}: {len(missing)} of {len(wanted)} texts have vectors and no terms, such as "
            f"{missing[0]!r}; do both belong together?"
        )
    found: TermRows = terms[np.array([place[one] for one in wanted], dtype=np.int64)]
    return found


@dataclass(frozen=True)
class _Found:
    ids: Any
    documents: Vectors
    query_ids: list[str]
    queries: Vectors


def _encoded(
    spec: DatasetSpec, folder: Path, qrels: Qrels, encoders: dict[tuple[str, str], Any],
    progress: Progress | None,
) -> _Found:  # fmt: skip
    from cluscomp.encoders import encode_cached, encode_tokens_cached, load_encoder

    name = str(spec.encoder)
    if (name, spec.kind) not in encoders:
        encoders[name, spec.kind] = load_encoder(name, spec.kind)
    documents = [(doc.id, doc.content) for doc in iter_corpus(folder, empty_documents="keep")]
    texts = {query.id: query.text for query in iter_queries(folder, spec.split) if query.id in qrels}
    _require_queries(spec, qrels, texts.keys())

    def encode(what: list[str], side: Any) -> Vectors:
        named = as_stage(progress, f"{spec.name}: encode {side}")
        if spec.form in ("terms", "sparse"):
            model = encoders[name, spec.kind]
            encode_all = model.encode_documents if side == "document" else model.encode_queries
            terms: TermRows = encode_all(what, named)
            return terms
        if spec.form == "tokens":
            rows, lengths = encode_tokens_cached(encoders[name, spec.kind], what, side=side, progress=named)
            return as_ragged(rows, lengths)
        return np.asarray(encode_cached(encoders[name, spec.kind], what, side=side, progress=named))

    vectors = encode([text for _, text in documents], "document")
    return _Found([i for i, _ in documents], vectors, list(texts), encode([*texts.values()], "query"))


def _stored(spec: DatasetSpec, qrels: Qrels | None) -> _Found:
    assert spec.embeddings is not None and spec.query_embeddings is not None
    documents, ids = _from_file(spec.embeddings, spec.lengths, spec.ids, spec.form)
    queries, found = _from_file(spec.query_embeddings, spec.query_lengths, spec.query_ids, spec.form)
    names = [str(name) for name in found]
    if qrels is None:
        return _Found(ids, documents, names, queries)
    kept = [row for row, name in enumerate(names) if name in qrels]
    _require_queries(spec, qrels, {names[row] for row in kept})
    rows = np.array(kept, dtype=np.int64)
    return _Found(
        ids,
        documents,
        [names[row] for row in kept],
        queries.take(rows) if isinstance(queries, Ragged) else queries[rows],
    )


def _from_file(
    file: Path, lengths_file: Path | None, ids_file: Path | None, form: Form
) -> tuple[Vectors, Any]:
    """Vectors of a file and their ids, which are row numbers where there are none."""
    if form == "sparse":
        from cluscomp.inputs.terms import read_terms

        names, terms = read_terms(file)
        return terms, names
    if form == "tokens":
        source, lengths, ids = open_ragged(file, lengths_file, ids_file)
        vectors: Vectors = as_ragged(source.read(0, source.n), lengths, name=str(file))
    else:
        source = open_embeddings(file, ids_file)
        vectors, ids = source.read(0, source.n), source.ids
    return vectors, range(len(vectors)) if ids is None else ids


def _require_queries(spec: DatasetSpec, qrels: Qrels, have: Any) -> None:
    missing = [name for name in qrels if name not in have]
    if missing:
        raise InputError(
            f"dataset {spec.name!r}: {len(missing)} of {len(qrels)} judged queries have no vector or text, "
            f"such as {missing[0]!r}; do queries and judgements belong together?"
        )


def shown_path(path: Path | str) -> str:
    """A path as it is written in commands: relative to the working folder where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(os.path.abspath(path)) else os.path.abspath(path)


def _build_flags(spec: DatasetSpec, folder: Path | None) -> str:
    if spec.embeddings is None:
        if spec.form in ("terms", "sparse"):
            usual = spec.encoder == WORDS
            made = "" if usual else f" --encoder {shlex.quote(str(spec.encoder))} --encoder-kind {spec.kind}"
            return f"--corpus {shown_path(folder or '')}{made} --empty-documents keep"
        kind = f" --encoder-kind {spec.kind}" if spec.form == "tokens" else ""
        return f"--corpus {shown_path(folder or '')} --encoder {spec.encoder}{kind} --empty-documents keep"
    return "".join(
        f"{flag} {shown_path(file)}"
        for flag, file in (
            ("--embeddings", spec.embeddings), (" --lengths", spec.lengths), (" --ids", spec.ids)
        )
        if file is not None
    )  # fmt: skip


def _eval_flags(spec: DatasetSpec, folder: Path | None) -> str:
    flags = [] if folder is None else [f"--dataset {shown_path(folder)} --split {spec.split}"]
    for flag, file in (
        ("--query-embeddings", spec.query_embeddings),
        ("--query-lengths", spec.query_lengths),
        ("--query-ids", spec.query_ids),
    ):
        if file is not None:
            flags.append(f"{flag} {shown_path(file)}")
    return " ".join(flags)
