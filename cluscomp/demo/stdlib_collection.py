"""A retrieval collection in BEIR layout out of the running Python's standard library, for the demo.

Document: a public class, function or method; title = its dotted name, text = signature and the rest of the
docstring, or the source where the docstring says no more. Query: the first sentence of the docstring, which
is taken out of the document. So a query has one relevant document, described in other words or not described
at all.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cluscomp import checks
from cluscomp.demo.beir_folder import MadeDocument, description_of, publish
from cluscomp.demo.choosing import spread, spread_asked_first, with_clear_queries
from cluscomp.demo.definitions import Entry
from cluscomp.demo.sentences import as_query, one_line, split_docstring
from cluscomp.demo.stdlib_source import stdlib_entries

KIND = "cluscomp stdlib collection"
FORMAT = f"{KIND} 1"
MAX_CHARACTERS = 450
"""Length of a document's text: about 130 tokens, so that a small model on two cores encodes 40 a second."""
MIN_CHARACTERS = 60


@dataclass(frozen=True)
class CollectionInfo:
    """What was made: the folder, how many documents and judged queries it holds, and for which Python."""

    folder: Path
    n_documents: int
    n_queries: int
    python_version: str


def build_stdlib_collection(
    folder: str | os.PathLike[str], *, max_documents: int = 5000, max_queries: int = 500
) -> CollectionInfo:
    """Write corpus.jsonl, queries.jsonl and qrels/test.tsv into `folder`; one Python version, one content.

    A folder made by an earlier call with the same numbers and Python is left as it is; one made with others
    is replaced. Everything is written beside the folder and renamed.

    Raises UsageError (numbers below 1), OutputExistsError (the folder holds something else),
    MissingInputError (a Python without library sources).
    """
    for name, value in (("max_documents", max_documents), ("max_queries", max_queries)):
        checks.integer(name, value, 1)
    target = checks.path("folder", folder)
    wanted = {
        "format": FORMAT,
        "python": platform.python_version(),
        "max_documents": max_documents,
        "max_queries": max_queries,
    }
    present = description_of(target, KIND)
    if present is None or {key: present.get(key) for key in wanted} != wanted:
        documents = _choose_documents(stdlib_entries(), max_documents)
        asked = spread((document for document in documents if document.query), max_queries)
        present = {**wanted, "documents": len(documents), "queries": len(asked)}
        publish(target, documents, {"test": asked}, present)
    return CollectionInfo(target, present["documents"], present["queries"], present["python"])


def _choose_documents(entries: Iterable[Entry], limit: int) -> list[MadeDocument]:
    """Documents sorted by name. Those with a query come first where not all have room."""
    documents: dict[str, MadeDocument] = {}
    for entry in entries:
        document = _document(entry)
        if document is not None:
            documents.setdefault(entry.name, document)
    return spread_asked_first(with_clear_queries(list(documents.values())), limit)


def _document(entry: Entry) -> MadeDocument | None:
    """The document of an entry, or None when nothing worth searching is left of it."""
    sentence, rest = split_docstring(entry.docstring)
    said = " ".join(rest.split())
    text = one_line(
        f"{entry.signature} {said if len(said) >= MIN_CHARACTERS else entry.body}", MAX_CHARACTERS
    )
    if len(text) < MIN_CHARACTERS:
        return None
    return MadeDocument(entry.name, entry.name, text, as_query(sentence, text))
