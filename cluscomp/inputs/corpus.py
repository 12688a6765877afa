"""Documents from a BEIR folder or a jsonl, tsv, txt or parquet file, streamed in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cluscomp import checks
from cluscomp.errors import DuplicateIdError, EmptyInputError, MissingInputError
from cluscomp.inputs.columns import Columns
from cluscomp.inputs.files import fingerprint, open_bytes, require_file
from cluscomp.inputs.objects import local_input
from cluscomp.inputs.parquet import open_parquet
from cluscomp.inputs.records import DOCUMENT_FIELDS, Fields, Record, iter_records, named_fields, record_format
from cluscomp.inputs.unique import SeenIds
from cluscomp.vocabulary import EMPTY_DOCUMENTS, EmptyDocuments


class Document(NamedTuple):
    """One document. `content`, the text that is encoded, joins title and text by a space, as BEIR does."""

    id: str
    title: str
    text: str

    @property
    def content(self) -> str:
        """Title and text joined by a space, without outer white space."""
        return (self.title + " " + self.text).strip()


class CorpusSize(NamedTuple):
    """Number of documents and of (uncompressed) bytes of a corpus, for plans and progress bars."""

    documents: int
    bytes: int


def iter_corpus(
    path: str | Path, *, empty_documents: EmptyDocuments = "fail", columns: Columns | None = None
) -> Iterator[Document]:
    """Stream the documents of `path` in file order.

    path: a folder of BEIR (its corpus.jsonl) or MS MARCO (its collection.tsv), or a .jsonl, .tsv, .txt (each
    also .gz) or .parquet file, or an address of either in an object store; see `records.iter_records` for the
    layouts.
    empty_documents: what to do with a document without title and text: "fail", "skip" it, or "keep" it as "".

    columns: names of the fields "id", "title" and "text", where they are not the usual ones.

    Memory: one line, and 12 to 24 bytes a document to find repeated ids.
    Raises MissingInputError, MalformedFileError, DuplicateIdError, EmptyInputError (no document at all, or
    an empty one under "fail"), all naming file and line; UsageError for an unknown format or policy.
    """
    policy = checks.one_of("empty_documents", empty_documents, EMPTY_DOCUMENTS)
    return _iter_documents(corpus_file(path), policy, named_fields(DOCUMENT_FIELDS, columns))


def corpus_file(path: str | Path) -> Path:
    """The file that holds the documents: `path` itself, or the one of a BEIR or MS MARCO folder."""
    return file_of_folder(path, "corpus.jsonl", "collection.tsv")


def file_of_folder(path: str | Path, *names: str) -> Path:
    """`path`, or the first of `names` (each also with .gz) that the folder `path` holds.

    Raises MissingInputError listing the folder.
    """
    path = local_input("path", path, lambda name: name.removesuffix(".gz") in names)
    if not path.is_dir():
        return require_file(path)
    for name in names:
        for file in (path / name, path / f"{name}.gz"):
            if file.is_file():
                return require_file(file)
    entries = sorted(entry.name for entry in path.iterdir())
    listing = ", ".join(entries[:8]) + (", ..." if len(entries) > 8 else "")
    raise MissingInputError(
        f"the folder {path} has no {' and no '.join(names)}, so it is not in the layout of BEIR or MS MARCO "
        f"(it holds: {listing or 'nothing'}); name one .jsonl, .tsv, .txt or .parquet file instead"
    )


def corpus_size(path: str | Path) -> CorpusSize:
    """Count documents, empty ones included, and bytes, without parsing.

    The file is read once; of Parquet only its footer is.
    """
    file = corpus_file(path)
    kind = record_format(file)
    if kind == "parquet":
        return _parquet_size(file)
    documents = n_bytes = 0
    with open_bytes(file) as handle:
        for line in handle:
            n_bytes += len(line)
            documents += kind == "txt" or not line.isspace()
    if kind == "tsv" and documents:
        documents -= _has_header(file)
    return CorpusSize(documents, n_bytes)


def count_documents(path: str | Path) -> int:
    """Number of documents of a corpus, empty ones included; see `corpus_size`."""
    return corpus_size(path).documents


def corpus_fingerprint(path: str | Path) -> str:
    """Hash of the bytes of the corpus file; see `files.fingerprint`."""
    return fingerprint(corpus_file(path))


def unique_records(file: Path, fields: Fields) -> Iterator[Record]:
    """Records of `file`; raises DuplicateIdError naming both lines of a repeated id."""
    seen = SeenIds()
    for record in iter_records(file, fields):
        if seen.add(record.id):
            _confirm_duplicate(file, fields, record)
        yield record


def _iter_documents(file: Path, empty_documents: EmptyDocuments, fields: Fields) -> Iterator[Document]:
    count = 0
    for line, doc_id, title, text in unique_records(file, fields):
        count += 1
        if empty_documents != "keep" and not text.strip() and not title.strip():
            if empty_documents == "skip":
                continue
            raise EmptyInputError(
                f"{file}:{line}: document {doc_id!r} has neither title nor text; remove it, or pass "
                "empty_documents='skip' or empty_documents='keep'"
            )
        yield Document(doc_id, title, text)
    if count == 0:
        raise EmptyInputError(f"{file} holds 0 documents, at least 1 is needed")


def _confirm_duplicate(file: Path, fields: Fields, record: Record) -> None:
    """Find the first line that used the id; a mere collision of hashes finds none and is harmless."""
    for earlier in iter_records(file, fields):
        if earlier.line >= record.line:
            return
        if earlier.id == record.id:
            raise DuplicateIdError(
                f"{file}:{record.line}: id {record.id!r} was already used in line {earlier.line}; ids "
                "must be unique"
            )


def _parquet_size(file: Path) -> CorpusSize:
    meta = open_parquet(file, why=f"reading {file.name}").metadata
    groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
    return CorpusSize(meta.num_rows, sum(group.total_byte_size for group in groups))


def _has_header(file: Path) -> bool:
    first = next(iter_records(file, DOCUMENT_FIELDS), None)
    if first is None:
        return True
    with open_bytes(file) as handle:
        blank = 0
        while handle.readline().isspace():
            blank += 1
    return first.line > blank + 1
