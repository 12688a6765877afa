"""The folder of a collection that was made here: BEIR's files, and collection.json that says of what."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluscomp.errors import OutputExistsError
from cluscomp.folders import new_folder

DESCRIPTION = "collection.json"


@dataclass(frozen=True)
class MadeDocument:
    """A document; name is its id. query: the sentence that it is the answer to, "" for none."""

    name: str
    title: str
    text: str
    query: str


def description_of(folder: Path, kind: str) -> dict[str, Any] | None:
    """Description of the collection in the folder, None when there is no folder (or an empty one).

    kind: how the "format" of such a description begins. Raises OutputExistsError for anything else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        if description["format"].startswith(kind):
            return description
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise OutputExistsError(
        f"{folder} holds something else than a collection made by this function; "
        "give another folder or remove it"
    )


def publish(
    target: Path,
    documents: Sequence[MadeDocument],
    splits: Mapping[str, Sequence[MadeDocument]],
    description: Mapping[str, Any],
) -> None:
    """Write the collection beside `target`, then put it in its place.

    splits: the documents whose queries are judged, by split; each query has its document alone.
    """
    with new_folder(target) as draft:
        (draft / "qrels").mkdir()
        _write_lines(draft / "corpus.jsonl", map(corpus_line, documents))
        asked = [document for split in splits.values() for document in split]
        _write_lines(draft / "queries.jsonl", map(query_line, asked))
        for name, split in splits.items():
            judgements = (f"{query_id(document)}\t{document.name}\t1" for document in split)
            _write_lines(draft / "qrels" / f"{name}.tsv", ["query-id\tcorpus-id\tscore", *judgements])
        _write_lines(draft / DESCRIPTION, [json.dumps(description)])


def corpus_line(document: MadeDocument) -> str:
    """The document's line in corpus.jsonl."""
    return json.dumps({"_id": document.name, "title": document.title, "text": document.text})


def query_line(document: MadeDocument) -> str:
    """Its query's line in queries.jsonl."""
    return json.dumps({"_id": query_id(document), "text": document.query})


def query_id(document: MadeDocument) -> str:
    """Differs from the document's id: BEIR's evaluation drops hits whose id equals the query's."""
    return f"q:{document.name}"


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)
