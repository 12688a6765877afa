"""A retrieval collection in BEIR layout out of the sources of installed packages, with queries to train on.

Document: a public class, function or method; text = signature, the rest of the docstring and the body (of a
class, the signatures of its methods), without the definition's own name. Query: the first sentence of the
docstring, which is taken out of the document. Near copies of a document are left out, and so are queries
that several documents would answer. Packages are either in the train or in the test split.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluscomp import checks
from cluscomp.demo.beir_folder import MadeDocument, corpus_line, description_of, publish, query_line
from cluscomp.demo.choosing import name_hash, spread, spread_asked_first, with_clear_queries
from cluscomp.demo.definitions import Entry
from cluscomp.demo.near_equal import first_of_each
from cluscomp.demo.package_source import Package, installed_packages
from cluscomp.demo.sentences import as_query, one_line, own_name, split_docstring
from cluscomp.errors import TooFewRowsError
from cluscomp.progress import Progress, Ticker

KIND = "cluscomp package collection"
FORMAT = f"{KIND} 1"
MAX_CHARACTERS = 450
MIN_CHARACTERS = 100
RESEMBLANCE = 0.7
"""Documents that share so much are near copies: two of a class for another model, or of a vendored module."""
HIDDEN = "_"
"""Stands for the definition's own name, which says too often what the query says."""
LARGEST_TEST_SHARE = 0.25
"""Of the test queries, that one package may have: larger packages are in the train split."""

_RULE = re.compile(r"[-=~^*#_]{3,}")  # of headings in docstrings, and of comments


@dataclass(frozen=True)
class PackageCollectionInfo:
    """What was made. test_packages: those that no train query is about. checksum: sha256 of all texts."""

    folder: Path
    n_documents: int
    n_train_queries: int
    n_test_queries: int
    packages: dict[str, str]
    test_packages: list[str]
    checksum: str


def build_package_collection(
    folder: str | os.PathLike[str],
    *,
    max_documents: int = 50_000,
    min_train_queries: int = 20_000,
    n_test_queries: int = 2000,
    path: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> PackageCollectionInfo:
    """Write corpus.jsonl, queries.jsonl, qrels/train.tsv, qrels/test.tsv and collection.json into `folder`.

    The same versions of Python and packages give the same bytes; collection.json lists them. Documents with
    a query come first where not all have room. Test queries are those of packages in an order by hash, none
    with more than a quarter of them; all other queries are train queries. path: folders of packages
    (default: those of the running Python, and its library). progress: a file counts as one.

    A folder made by an earlier call with the same arguments and packages is left as it is; one made with
    others is replaced. Everything is written beside the folder and renamed.

    Raises UsageError (numbers below 1), OutputExistsError (the folder holds something else), TooFewRowsError
    (the packages give fewer queries than asked for).
    """
    asked = {"max_documents": max_documents, "min_train_queries": min_train_queries,
             "n_test_queries": n_test_queries}  # fmt: skip
    for name, value in asked.items():
        checks.integer(name, value, 1)
    target = checks.path("folder", folder)
    packages = installed_packages(path)
    versions = {package.name: package.version for package in packages}
    wanted = {"format": FORMAT, "python": platform.python_version(), **asked, "packages": versions}
    present = description_of(target, KIND)
    if present is None or {key: present.get(key) for key in wanted} != wanted:
        documents = _documents(packages, max_documents, progress)
        train, test = _split(documents, min_train_queries, n_test_queries)
        present = {
            **wanted, "documents": len(documents), "train_queries": len(train), "test_queries": len(test),
            "test_packages": sorted({package_of(document) for document in test}),
            "checksum": _checksum(documents, train + test),
        }  # fmt: skip
        publish(target, documents, {"train": train, "test": test}, present)
    return _info(target, present)


def package_of(document: MadeDocument) -> str:
    """The package's name; ids are package:dotted.name."""
    return document.name.partition(":")[0]


def _documents(packages: Sequence[Package], limit: int, progress: Progress | None) -> list[MadeDocument]:
    """Documents sorted by name, no two near copies."""
    ticker = Ticker(progress, "sources", sum(len(package.files) for package in packages))
    found: dict[str, MadeDocument] = {}
    for package in packages:
        for file in package.files:
            for entry in package.entries(file):
                document = _document(entry, package.name)
                if document is not None:
                    found.setdefault(document.name, document)
            ticker.advance(1)
    # Of near copies the first is kept: one with a query if there is one.
    ordered = sorted(found.values(), key=lambda document: (not document.query, document.name))
    kept = first_of_each((document.text for document in ordered), resemblance=RESEMBLANCE)
    return spread_asked_first(with_clear_queries([ordered[i] for i in kept]), limit)


def _document(entry: Entry, package: str) -> MadeDocument | None:
    """The document of an entry, or None when nothing worth searching is left of it."""
    sentence, rest = split_docstring(entry.docstring)
    said = _RULE.sub(" ", f"{entry.signature} {rest} {entry.body}")
    text = one_line(re.sub(rf"\b{re.escape(own_name(entry))}\b", HIDDEN, said), MAX_CHARACTERS)
    if len(text) < MIN_CHARACTERS:
        return None
    return MadeDocument(f"{package}:{entry.name}", "", text, as_query(sentence, text))


def _split(
    documents: Sequence[MadeDocument], min_train: int, n_test: int
) -> tuple[list[MadeDocument], list[MadeDocument]]:
    """Documents whose queries train, and those whose queries test: of different packages."""
    asked = [document for document in documents if document.query]
    counts = Counter(map(package_of, asked))
    chosen: set[str] = set()
    for package in sorted(counts, key=name_hash):
        if sum(counts[name] for name in chosen) < n_test and counts[package] <= LARGEST_TEST_SHARE * n_test:
            chosen.add(package)
    test = [document for document in asked if package_of(document) in chosen]
    train = [document for document in asked if package_of(document) not in chosen]
    if len(test) < n_test or len(train) < min_train:
        raise TooFewRowsError(
            f"{len(counts)} installed packages give {len(train)} train and {len(test)} test queries, but "
            f"{min_train} and {n_test} are needed; install more packages (pip install 'cluscomp[test]' "
            "brings enough) or ask for fewer queries"
        )
    return train, spread(test, n_test)


def _checksum(documents: Iterable[MadeDocument], asked: Iterable[MadeDocument]) -> str:
    digest = hashlib.sha256()
    for line in (*map(corpus_line, documents), *map(query_line, asked)):
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _info(folder: Path, description: dict[str, Any]) -> PackageCollectionInfo:
    return PackageCollectionInfo(
        folder, description["documents"], description["train_queries"], description["test_queries"],
        description["packages"], description["test_packages"], description["checksum"],
    )  # fmt: skip
