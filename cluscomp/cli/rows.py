"""Rows of an index for commands: ids from flags and files, and where new rows come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cluscomp import errors, vocabulary
from cluscomp.cli.build_files import check_beside
from cluscomp.cli.common import flag, seconds
from cluscomp.cli.queries import index_encoder

if TYPE_CHECKING:
    from cluscomp.indexes.any_index import AnyIndex
    from cluscomp.indexes.build.appending import AppendReport, Facts
    from cluscomp.indexes.build.source import Given

Ids = Annotated[
    Path | None, flag("--ids", help="Ids: a text file with one a line, or a .npy file.", env=False)
]
Corpus = Annotated[
    Path | None,
    flag("--corpus", help="Texts: a BEIR folder, or a .jsonl, .tsv, .txt or .parquet file.", env=False),
]
Embeddings = Annotated[
    Path | None,
    flag("--embeddings", help="Vectors instead: .npy, .npz, .fvecs, .fbin, .parquet.", env=False),
]
Lengths = Annotated[
    Path | None,
    flag("--lengths", help="For keys with a pool: .npy, token vectors of each document.", env=False),
]
Terms = Annotated[
    Path | None,
    flag(
        "--terms",
        help="Of a hybrid index, weighted terms of the rows of --embeddings: .jsonl, .npz.",
        env=False,
    ),
]
Id = Annotated[
    list[str] | None, flag("--id", help="An id; may be given several times.", env=False, metavar="ID")
]

Missing = Annotated[
    vocabulary.Missing,
    flag("--missing", help="Ids that are not in the index: fail, or ignore them.", env=False),
]


@dataclass(frozen=True)
class Described:
    """Flags that say which attributes new rows have."""

    file: Path | None = None
    source: str | None = None
    new: bool = False

    def facts(self, corpus: Path | None, index: AnyIndex) -> Facts:
        """What they say. Raises what reading the file raises."""
        from cluscomp.indexes.build.appending import Facts
        from cluscomp.indexes.build.described import given_attributes

        kinds = dict(index.attribute_schema)
        return Facts(given_attributes(self.file, self.source, corpus, kinds), self.new)


@dataclass(frozen=True)
class RowFiles:
    """Flags that say where new rows come from."""

    corpus: Path | None
    embeddings: Path | None
    ids: Path | None
    lengths: Path | None
    described: Described = Described()
    terms: Path | None = None

    def check(self, index: AnyIndex) -> None:
        """Raise UsageError for flags that contradict each other or the index."""
        from cluscomp.indexes.kind import kind_of

        given, kind = [self.corpus, self.embeddings], kind_of(index.spec)
        if given.count(None) != 1 and not (kind.both and self.embeddings is not None):
            what = "neither is" if self.corpus is None else "both are"
            raise errors.UsageError(f"one of --corpus and --embeddings is needed, and {what} given")
        check_beside(index.spec, self.corpus, self.embeddings, self.terms)
        if self.embeddings is None and (self.ids, self.lengths) != (None, None):
            raise errors.UsageError(
                "--ids and --lengths belong to --embeddings; documents have their own ids"
            )
        if self.lengths is not None and not kind_of(index.spec.dense).ragged:
            raise errors.UsageError(
                f"--lengths belong to token vectors, but {index.key!r} stores single ones"
            )

    def open(self, index: AnyIndex, encoder: str | None) -> Given:
        """What is added, unread. Raises EncoderMismatchError, UsageError and what opening files raises."""
        from cluscomp.encoders.remembered import remembered_encoder
        from cluscomp.indexes.build.source import Given

        if self.embeddings is None:
            model = index_encoder(index, encoder, "pass --embeddings FILE")
            return Given(self.corpus, model, None, None, "fail")
        known = index.encoder if index.encoder is None else index.encoder.get("vectors", index.encoder)
        if encoder is not None and known is not None:  # it says what made the vectors
            remembered_encoder(known, encoder, "")
        given = _vectors(index, self.embeddings, self.ids, self.lengths)
        return replace(given, texts=self.corpus, terms=self.terms)

    def append(self, folder: Path, encoder: str | None, **options: Any) -> tuple[AnyIndex, AppendReport]:
        """Add the rows to an index folder. options: of `append_rows`; raises what that raises.

        Returns the index, and what was done.
        """
        from cluscomp.indexes.build.appending import append_rows
        from cluscomp.indexes.index import open_index

        index = open_index(folder)
        self.check(index)
        facts = self.described.facts(self.corpus, index)
        return index, append_rows(index, self.open(index, encoder), facts=facts, **options)


@contextmanager
def changing(folder: Path, wait: str, *, dry_run: bool = False) -> Iterator[AnyIndex]:
    """The index in a folder, which no other writer changes meanwhile; it is saved when left without an error.

    Raises IndexLockedError where another writer is still at work after `wait`. dry_run: nothing is locked or
    saved.
    """
    from cluscomp.indexes.index import open_index

    index = open_index(folder)
    if dry_run:
        yield index
        return
    with index.writer(wait=seconds("--wait", wait)):
        yield index


def _vectors(index: AnyIndex, embeddings: Any, ids: Path | None, lengths: Path | None) -> Given:
    """Vectors of rows or documents, or weighted terms of a .jsonl file, which has the ids."""
    from cluscomp.indexes.build.source import Given
    from cluscomp.indexes.kind import kind_of
    from cluscomp.inputs.ragged import open_ragged
    from cluscomp.inputs.term_matrix import is_term_matrix

    kind = kind_of(index.spec.dense)
    if kind.terms and ids is not None and not is_term_matrix(embeddings):
        raise errors.UsageError("--ids: the ids of weighted terms stand in their .jsonl file; leave it out")
    if not kind.ragged:
        return Given(embeddings, None, ids, None, "fail")
    source, numbers, names = open_ragged(embeddings, lengths, ids)
    return Given(source, None, names, numbers, "fail")


def ids_for(index: AnyIndex, names: Any) -> Any:
    """Ids as the index has them: files and flags give texts, which stand for integers where it has integers.

    Raises InputError for a text that is no integer then.
    """
    from cluscomp.inputs.ids import ids_of_kind

    return ids_of_kind(names, index.id_kind) if isinstance(names, list) else names


def named_ids(index: AnyIndex, ids: Path | None, names: Sequence[str] | None) -> Any:
    """Ids of --ids or --id. Raises UsageError unless one of both is given."""
    if (ids is None) == (not names):
        what = "neither is" if ids is None else "both are"
        raise errors.UsageError(f"one of --ids FILE and --id ID is needed, and {what} given")
    if ids is None:
        return ids_for(index, list(names or ()))
    from cluscomp.inputs.embeddings import read_ids

    return ids_for(index, read_ids(ids))
