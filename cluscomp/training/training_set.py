"""What is trained on: documents, queries, and which documents answer which query."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cluscomp import checks
from cluscomp.errors import EmptyInputError, InputError, MalformedFileError, UsageError
from cluscomp.eval.beir import available_splits, load_beir
from cluscomp.inputs.corpus import iter_corpus
from cluscomp.inputs.files import iter_lines, require_file
from cluscomp.vocabulary import PSEUDO_QUERIES

QUERY_NAMES = ("query", "anchor", "question", "sentence1")
POSITIVE_NAMES = ("positive", "answer", "document", "passage", "sentence2")

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_PSEUDO_WORDS = 32


@dataclass(frozen=True)
class TrainingSet:
    """Documents and queries as texts; positives are rows of `documents`.

    documents: contents that are encoded. bodies: the same without titles. positives: one tuple a query, at
    least one row each. is_pseudo: one bool a query; a pseudo-query was cut from its positive.
    """

    documents: list[str]
    bodies: list[str]
    queries: list[str]
    positives: list[tuple[int, ...]]
    is_pseudo: list[bool]

    def describe(self) -> dict[str, int]:
        """Counts, for reports."""
        pseudo = sum(self.is_pseudo)
        return {
            "documents": len(self.documents),
            "queries": len(self.queries) - pseudo,
            "pseudo_queries": pseudo,
            "positives": sum(map(len, self.positives)),
        }


def load_training_set(source: Any, *, split: str = "train", pseudo_queries: str = "auto") -> TrainingSet:
    """Read a training set.

    source: a BEIR folder (corpus, queries, qrels/SPLIT.tsv; without that split only its corpus is used); a
    .jsonl file (also .gz) of pairs {"query", "positive"}, whose positives are the documents; or a
    datasets.Dataset, or any iterable of mappings, with such columns.
    pseudo_queries: titles (or else first sentences) as queries of their documents: "auto", when there are no
    queries; "add", in addition; "none".

    Raises UsageError, MissingInputError, MalformedFileError, InputError, EmptyInputError.
    """
    checks.one_of("pseudo_queries", pseudo_queries, PSEUDO_QUERIES)
    if isinstance(source, str | Path):
        path = Path(source)
        found = _from_beir(path, split) if path.is_dir() else _from_pairs(_pairs_of_file(path))
    else:
        found = _from_pairs(_pairs_of_rows(source))
    if pseudo_queries == "add" or (pseudo_queries == "auto" and not found.queries):
        found = with_pseudo_queries(found)
    if not found.queries:
        have = f" (it has: {', '.join(available_splits(source)) or 'none'})" if _is_folder(source) else ""
        raise EmptyInputError(
            f"{source} has no queries with positives in split {split!r}{have}; name another split, or let "
            "titles stand for queries (pseudo_queries='auto')"
        )
    return found


def with_pseudo_queries(found: TrainingSet) -> TrainingSet:
    """Add one query a document: its title, or else its first sentence of at most 32 words."""
    queries, positives = list(found.queries), list(found.positives)
    for row, (content, body) in enumerate(zip(found.documents, found.bodies, strict=True)):
        title = content[: len(content) - len(body)].strip() if content.endswith(body) else ""
        query = title or " ".join(_SENTENCE_END.split(body.strip(), 1)[0].split()[:_PSEUDO_WORDS])
        if query:
            queries.append(query)
            positives.append((row,))
    n_pseudo = len(queries) - len(found.queries)
    return replace(found, queries=queries, positives=positives, is_pseudo=found.is_pseudo + [True] * n_pseudo)


def _from_beir(folder: Path, split: str) -> TrainingSet:
    """The documents of the folder and, where the split exists, its queries with their relevant documents."""
    if split not in available_splits(folder):
        documents = list(iter_corpus(folder, empty_documents="keep"))
        contents = [document.content for document in documents]
        return TrainingSet(contents, [document.text.strip() for document in documents], [], [], [])
    corpus, texts, qrels = load_beir(folder, split)
    rows = {doc_id: row for row, doc_id in enumerate(corpus)}
    queries, positives = [], []
    for query_id, text in texts.items():
        relevant = [doc_id for doc_id, level in qrels[query_id].items() if level > 0]
        unknown = [doc_id for doc_id in relevant if doc_id not in rows]
        if unknown:
            raise InputError(
                f"{folder}: query {query_id!r} of split {split!r} has the relevant document {unknown[0]!r}, "
                "which the corpus lacks; do the two files belong together?"
            )
        if relevant:
            queries.append(text)
            positives.append(tuple(rows[doc_id] for doc_id in relevant))
    contents = [(doc["title"] + " " + doc["text"]).strip() for doc in corpus.values()]
    bodies = [doc["text"].strip() for doc in corpus.values()]
    return TrainingSet(contents, bodies, queries, positives, [False] * len(queries))


def _from_pairs(pairs: Iterable[tuple[str, str]]) -> TrainingSet:
    documents: dict[str, int] = {}
    positives: dict[str, dict[int, None]] = {}
    for query, positive in pairs:
        row = documents.setdefault(positive, len(documents))
        positives.setdefault(query, {})[row] = None
    if not positives:
        raise EmptyInputError("there are 0 pairs to train on, at least 1 is needed")
    contents, queries = list(documents), list(positives)
    return TrainingSet(
        contents, list(contents), queries, [tuple(positives[q]) for q in queries], [False] * len(queries)
    )


def _pairs_of_file(path: Path) -> Iterator[tuple[str, str]]:
    path = require_file(path)
    for number, line in iter_lines(path):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            record = json.loads(line)
        except json.JSONDecodeError as exc:
            raise MalformedFileError(f"{where}: is no JSON ({exc.msg} at column {exc.colno})") from None
        if not isinstance(record, dict):
            raise MalformedFileError(f"{where}: is no object; a pair is {{'query': ..., 'positive': ...}}")
        yield _pair(record, where)


def _pairs_of_rows(rows: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(rows, Iterable):
        raise UsageError(
            f"training data of type {type(rows).__name__} cannot be used; pass a folder, a .jsonl file, or "
            "a datasets.Dataset with the columns query and positive"
        )
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InputError(f"row {number} is a {type(row).__name__}, but a mapping is needed")
        yield _pair(row, f"row {number}")


def _pair(record: Mapping[str, Any], where: str) -> tuple[str, str]:
    return _text(record, QUERY_NAMES, where), _text(record, POSITIVE_NAMES, where)


def _text(record: Mapping[str, Any], names: tuple[str, ...], where: str) -> str:
    for name in names:
        if name in record:
            value = record[name]
            if isinstance(value, str) and value.strip():
                return value.strip()
            raise InputError(f"{where}: {name!r} holds {value!r}, but a text is needed")
    raise MalformedFileError(
        f"{where}: has none of {', '.join(names)}; it has: {', '.join(map(str, record)) or 'nothing'}"
    )


def _is_folder(source: Any) -> bool:
    return isinstance(source, str | Path) and Path(source).is_dir()
