"""Three small retrieval tasks with a training side that never sees the judgements they are scored by."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from cluscomp.eval import load_beir

SCIFACT_DISTRACTORS = (
    16  # of the documents no test query is judged for, every 16th stays: encoding is the cost
)


@dataclass(frozen=True)
class Task:
    """Training pairs (query, document, group) and a judged collection; pairs of a group are no negatives."""

    name: str
    pairs: list[tuple[str, str, str]]
    documents: dict[str, str]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]
    doc_tokens: int


def all_tasks(data: Path) -> list[Task]:
    """The tasks of the table: `data` holds scifact, cranfield and limit-small in BEIR layout."""
    return [scifact(data / "scifact"), cranfield(data / "cranfield"), limit(data / "limit-small")]


def scifact(folder: Path) -> Task:
    """Trained on the train split; scored on the test split over a part of the collection."""
    corpus, train_queries, train = load_beir(folder, "train")
    _, queries, qrels = load_beir(folder, "test")
    texts = {name: _text(doc) for name, doc in corpus.items()}
    pairs = [
        (train_queries[q], texts[d], d) for q, docs in train.items() for d, level in docs.items() if level
    ]
    judged = {d for docs in qrels.values() for d in docs}
    kept = {
        name: text
        for row, (name, text) in enumerate(texts.items())
        if name in judged or row % SCIFACT_DISTRACTORS == 0
    }
    return Task("scifact", pairs, kept, queries, qrels, 48)


def cranfield(folder: Path) -> Task:
    """Trained on title -> abstract; scored on all judged queries, none of which was seen."""
    corpus, queries, qrels = load_beir(folder)
    bodies = {name: doc["text"].removeprefix(doc["title"]).strip() for name, doc in corpus.items()}
    pairs = [(doc["title"], bodies[n], n) for n, doc in corpus.items() if doc["title"] and bodies[n]]
    texts = {name: _text(doc) for name, doc in corpus.items()}
    return Task("cranfield", pairs, texts, queries, qrels, 40)


def limit(folder: Path) -> Task:
    """Trained on a random half of the queries, scored on the other half."""
    corpus, queries, qrels = load_beir(folder)
    texts = {name: _text(doc) for name, doc in corpus.items()}
    names = sorted(queries)
    random.Random(0).shuffle(names)
    half = len(names) // 2
    # A query has two relevant documents: `group` is the query, so that the other one is no negative.
    pairs = [(queries[q], texts[d], q) for q in names[:half] for d in qrels[q]]
    held_out = {q: queries[q] for q in names[half:]}
    return Task("limit-small", pairs, texts, held_out, {q: qrels[q] for q in held_out}, 170)


def _text(doc: dict[str, str]) -> str:
    return f"{doc['title']} {doc['text']}".strip()
