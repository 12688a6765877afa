"""A retrieval collection in BEIR layout out of the running Python's standard library, for the demo.

Document: a public class, function or method; title = its dotted name, text = signature and the rest of the
docstring, or the source where the docstring says no more. Query: the first sentence of the docstring, which
is taken out of the document. So a query has one relevant document, described in other words or not described
at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluscomp import checks
from cluscomp.demo.stdlib_source import Entry, stdlib_entries
from cluscomp.errors import OutputExistsError
from cluscomp.folders import new_folder

FORMAT = "cluscomp stdlib collection 1"
DESCRIPTION = "collection.json"
MAX_CHARACTERS = 450
"""Length of a document's text: about 130 tokens, so that a small model on two cores encodes 40 a second."""
MIN_CHARACTERS = 60
MIN_QUERY_WORDS = 4
MAX_QUERY_CHARACTERS = 200

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`'\"(])|\n\s*\n")
_SIGNATURE_LINE = re.compile(r"^[\w.]+\([^)]*\)\s*(->.*)?$")


@dataclass(frozen=True)
class CollectionInfo:
    """What was made: the folder, how many documents and judged queries it holds, and for which Python."""

    folder: Path
    n_documents: int
    n_queries: int
    python_version: str


@dataclass(frozen=True)
class _Document:
    name: str
    text: str
    query: str  # "" when the docstring has no usable first sentence


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
    present = _present(target)
    if present is None or {key: present.get(key) for key in wanted} != wanted:
        documents = _choose_documents(stdlib_entries(), max_documents)
        queries = _choose_queries(documents, max_queries)
        present = {**wanted, "documents": len(documents), "queries": len(queries)}
        _publish(target, documents, queries, present)
    return CollectionInfo(target, present["documents"], present["queries"], present["python"])


def _choose_documents(entries: Iterable[Entry], limit: int) -> list[_Document]:
    """Documents sorted by name. Those with a query come first where not all have room."""
    documents: dict[str, _Document] = {}
    for entry in entries:
        document = _document(entry)
        if document is not None:
            documents.setdefault(entry.name, document)
    repeated = {text for text, n in Counter(d.query.casefold() for d in documents.values()).items() if n > 1}
    unique = [d if d.query.casefold() not in repeated else _without_query(d) for d in documents.values()]
    chosen = _spread([d for d in unique if d.query], limit)
    chosen += _spread([d for d in unique if not d.query], limit - len(chosen))
    return sorted(chosen, key=lambda document: document.name)


def _without_query(document: _Document) -> _Document:
    return _Document(document.name, document.text, "")


def _choose_queries(documents: Sequence[_Document], limit: int) -> list[_Document]:
    return _spread([document for document in documents if document.query], limit)


def _spread(documents: Sequence[_Document], limit: int) -> list[_Document]:
    """At most `limit` of the documents, by a hash of the name: no part of the library is preferred."""
    by_hash = sorted(documents, key=lambda document: hashlib.sha256(document.name.encode()).digest())
    return sorted(by_hash[: max(limit, 0)], key=lambda document: document.name)


def _document(entry: Entry) -> _Document | None:
    """The document of an entry, or None when nothing worth searching is left of it."""
    sentence, rest = split_docstring(entry.docstring)
    said = " ".join(rest.split())
    text = f"{entry.signature} {said}" if len(said) >= MIN_CHARACTERS else f"{entry.signature} {entry.body}"
    text = _cut(" ".join(text.split()), MAX_CHARACTERS)
    if len(text) < MIN_CHARACTERS:
        return None
    usable = _is_query(sentence) and sentence.casefold() not in text.casefold()
    return _Document(entry.name, text, sentence if usable else "")


def split_docstring(docstring: str) -> tuple[str, str]:
    """(first sentence on one line, all after it). A first line that only repeats the signature is dropped."""
    lines = docstring.strip().splitlines()
    if lines and _SIGNATURE_LINE.match(lines[0].strip()):
        lines = lines[1:]
    text = "\n".join(lines).strip()
    end = _SENTENCE_END.search(text)
    if end is None:
        return " ".join(text.split()), ""
    return " ".join(text[: end.start()].split()), text[end.end() :]


def _is_query(sentence: str) -> bool:
    words = re.findall(r"[A-Za-z]{2,}", sentence)
    return len(words) >= MIN_QUERY_WORDS and len(sentence) <= MAX_QUERY_CHARACTERS


def _cut(text: str, length: int) -> str:
    """At most `length` characters, ending with a whole word."""
    return text if len(text) <= length else text[: length + 1].rsplit(" ", 1)[0][:length]


def _present(folder: Path) -> dict[str, Any] | None:
    """Description of the collection in the folder, None when there is no folder (or an empty one)."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        if description["format"].startswith("cluscomp stdlib collection"):
            return description
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise OutputExistsError(
        f"{folder} holds something else than a collection made by this function; "
        "give another folder or remove it"
    )


def _publish(
    target: Path, documents: Sequence[_Document], queries: Sequence[_Document], description: Mapping[str, Any]
) -> None:
    """Write the collection beside `target`, then put it in its place."""
    with new_folder(target) as draft:
        _write(draft, documents, queries, description)


def _write(
    folder: Path, documents: Sequence[_Document], queries: Sequence[_Document], description: Mapping[str, Any]
) -> None:
    (folder / "qrels").mkdir()
    _write_lines(
        folder / "corpus.jsonl",
        (json.dumps({"_id": d.name, "title": d.name, "text": d.text}) for d in documents),
    )
    _write_lines(
        folder / "queries.jsonl", (json.dumps({"_id": _query_id(d), "text": d.query}) for d in queries)
    )
    judgements = (f"{_query_id(d)}\t{d.name}\t1" for d in queries)
    _write_lines(folder / "qrels" / "test.tsv", ["query-id\tcorpus-id\tscore", *judgements])
    _write_lines(folder / DESCRIPTION, [json.dumps(description)])


def _query_id(document: _Document) -> str:
    """Differs from the document's id: BEIR's evaluation drops hits whose id equals the query's."""
    return f"q:{document.name}"


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)
