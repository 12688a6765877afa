"""Texts of an index: `docs.sqlite`, written while the corpus is read and looked up when hits are shown.

During a build the same file is the spool from which documents are encoded in blocks, so that a corpus larger
than memory passes through.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from cluscomp import errors

if TYPE_CHECKING:
    from cluscomp.inputs.corpus import Document

FILE_NAME = "docs.sqlite"
# One transaction a batch: large enough that SQLite's commit does not dominate, small enough to be nothing in
# memory.
BATCH = 4096
# Texts kept to measure how fast the encoder is, and how much of each (models read no more).
SAMPLE, SAMPLE_CHARACTERS = 16, 4000
_TABLE = (
    "CREATE TABLE documents (position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT, text TEXT)"
)
_INSERT = "INSERT INTO documents VALUES (?, ?, ?, ?)"
_VARIABLES = 500  # of one statement; every SQLite takes 999
_RANGE = "FROM documents WHERE position >= ? AND position < ? ORDER BY position"


@dataclass(frozen=True)
class CorpusFacts:
    """What a pass over a corpus found. digest: of ids, titles and texts in order. sample: a few texts."""

    n: int
    characters: int
    longest: int
    id_bytes: int
    digest: str
    sample: tuple[str, ...]


def write_documents(path: Path, documents: Iterable[Document]) -> CorpusFacts:
    """Write documents in order to a new SQLite file and return what was found.

    Raises DuplicateIdError, EmptyInputError (no document at all), and what the iterable raises.
    """
    tally = _Tally()
    try:
        write_rows(path, ((d.id, d.title, d.text) for d in tally.count(documents)))
    except sqlite3.IntegrityError as exc:
        raise errors.DuplicateIdError(
            f"two documents have the id {tally.last_id!r}; ids must be unique"
        ) from exc
    return tally.facts()


def write_rows(path: Path, rows: Iterable[tuple[str, str | None, str | None]]) -> None:
    """Write id, title and text of rows in order to a new SQLite file.

    Raises sqlite3.IntegrityError where an id comes twice, DiskFullError, and what the iterable raises.
    """
    path.unlink(missing_ok=True)
    numbered = ((position, *row) for position, row in enumerate(rows))
    with closing(sqlite3.connect(path)) as database:
        # The file is written again after any interruption, so a journal would only cost time.
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        try:
            database.execute(_TABLE)
            while batch := list(itertools.islice(numbered, BATCH)):
                database.executemany(_INSERT, batch)
                database.commit()
        except sqlite3.OperationalError as exc:
            raise _disk_error(exc, path) from exc


def scan_documents(documents: Iterable[Document]) -> CorpusFacts:
    """Pass over a corpus without writing it, for a plan."""
    tally = _Tally()
    for _ in tally.count(documents):
        pass
    return tally.facts()


class _Tally:
    def __init__(self) -> None:
        self._n = self._characters = self._longest = self._id_bytes = 0
        self._hash = hashlib.blake2b(digest_size=16)
        self._sample: list[str] = []
        self._random = random.Random(0)
        self.last_id = ""

    def count(self, documents: Iterable[Document]) -> Iterator[Document]:
        for document in documents:
            self.last_id = document.id
            length = len(document.title) + len(document.text)
            self._n += 1
            self._characters += length
            self._longest = max(self._longest, length)
            self._id_bytes += len(document.id.encode("utf-8", "surrogatepass"))
            self._keep(document.content[:SAMPLE_CHARACTERS])
            self._hash.update(
                f"{document.id}\0{document.title}\0{document.text}\0".encode("utf-8", "surrogatepass")
            )
            yield document

    def _keep(self, text: str) -> None:
        """Reservoir sampling: every document has the same chance to be in the sample."""
        if len(self._sample) < SAMPLE:
            self._sample.append(text)
        elif (slot := self._random.randrange(self._n)) < SAMPLE:
            self._sample[slot] = text

    def facts(self) -> CorpusFacts:
        if self._n == 0:
            raise errors.EmptyInputError("the corpus has 0 documents, at least 1 is needed")
        return CorpusFacts(
            self._n,
            self._characters,
            self._longest,
            self._id_bytes,
            self._hash.hexdigest(),
            tuple(self._sample),
        )


class DocumentStore:
    """Read access to the documents of an index; use it as a context manager, and by one thread at a time."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise errors.IndexMissingError(f"{path} is missing; build the index with store_texts=True")
        self._path = path
        # immutable: no lock files are written, so that an index on a read-only device can be searched
        self._database = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
        )

    def __enter__(self) -> DocumentStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def iter_contents(self, n: int) -> Iterator[str]:
        """Title + " " + text of the first n documents in order, read in batches."""
        for start in range(0, n, BATCH):
            yield from self.contents(slice(start, min(start + BATCH, n)))

    def faults(self) -> list[str]:
        """What is wrong with the file: what SQLite says of it, at most 5 things, and rows that are missing.

        Rows are numbered from 0 without gaps.
        """
        found = [row[0] for row in self._rows("PRAGMA integrity_check(5)", ()) if row[0] != "ok"]
        (n, first, last), *_ = self._rows("SELECT COUNT(*), MIN(position), MAX(position) FROM documents", ())
        if not n:
            found.append("it holds 0 documents")
        elif (int(first), int(last)) != (0, int(n) - 1):
            found.append(f"it holds {n} documents at positions {first} to {last}, not at 0 to {int(n) - 1}")
        return found

    def batches(self) -> Iterator[list[Document]]:
        """All documents in order, some at a time."""
        from cluscomp.inputs.corpus import Document

        last = -1
        while rows := self._rows(
            "SELECT id, title, text, position FROM documents WHERE position > ? ORDER BY position LIMIT ?",
            (last, BATCH),
        ):
            yield [Document(name, title, text) for name, title, text, _ in rows]
            last = int(rows[-1][3])

    def contents(self, documents: slice) -> list[str]:
        """Title + " " + text of the documents at positions of a slice."""
        rows = self._rows(f"SELECT title, text {_RANGE}", (documents.start, documents.stop))
        return [f"{title} {text}".strip() for title, text in rows]

    def ids(self, start: int, stop: int) -> list[str]:
        """Ids of the documents at positions start..stop-1."""
        rows = self._rows(f"SELECT id {_RANGE}", (start, stop))
        return [row[0] for row in rows]

    def rows(self, start: int, stop: int) -> Iterator[tuple[str, str | None, str | None]]:
        """Id, title and text of the documents at positions start..stop-1, read in batches."""
        for first in range(start, stop, BATCH):
            yield from self._rows(f"SELECT id, title, text {_RANGE}", (first, min(first + BATCH, stop)))

    def take(self, positions: Sequence[int]) -> dict[int, tuple[str, str | None, str | None]]:
        """Position -> (id, title, text) for the positions that are here."""
        found: dict[int, tuple[str, str | None, str | None]] = {}
        for first in range(0, len(positions), _VARIABLES):
            some = tuple(positions[first : first + _VARIABLES])
            marks = ",".join("?" * len(some))
            query = f"SELECT position, id, title, text FROM documents WHERE position IN ({marks})"  # nosec B608
            found |= {int(row[0]): row[1:] for row in self._rows(query, some)}
        return found

    def lookup(self, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Id -> (title, text) for the ids that are here."""
        found = {}
        for name in ids:
            for title, text in self._rows("SELECT title, text FROM documents WHERE id = ?", (str(name),)):
                found[str(name)] = (title, text)
        return found

    def _rows(self, query: str, values: tuple[object, ...]) -> list[Any]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.DatabaseError as exc:
            raise errors.CorruptIndexError(
                f"{self._path} cannot be read ({exc}); build the index again"
            ) from exc


def _disk_error(exc: sqlite3.OperationalError, path: Path) -> Exception:
    if "full" in str(exc):
        return errors.DiskFullError(
            f"the disk is full while writing {path.name}; free some room and build again"
        )
    return exc
