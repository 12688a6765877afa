"""Rows of an index for commands: ids from flags and files, and new rows from texts or vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cluscomp import errors
from cluscomp.cli.common import flag, seconds
from cluscomp.cli.queries import index_encoder

if TYPE_CHECKING:
    from cluscomp.cli.progress import StageProgress
    from cluscomp.indexes.any_index import AnyIndex

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
Id = Annotated[
    list[str] | None, flag("--id", help="An id; may be given several times.", env=False, metavar="ID")
]


@dataclass(frozen=True)
class NewRows:
    """Arguments of `add`: rows, their ids or None, and what belongs to them, such as lengths."""

    rows: Any
    ids: Any
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Described:
    """Flags that say which attributes new rows have."""

    file: Path | None = None
    source: str | None = None
    new: bool = False

    def options(self, corpus: Path | None, index: AnyIndex, ids: Any) -> dict[str, Any]:
        """Keyword arguments of `add`; nothing without such flags. Raises what reading the file raises."""
        from cluscomp.indexes.build.described import given_attributes, placed
        from cluscomp.indexes.segments.ids import make_ids

        kinds = dict(index.attribute_schema)
        found = given_attributes(self.file, self.source, corpus, kinds)
        if found is None:
            return {}
        names = range(index.next_id, index.next_id + found.table.n_rows) if ids is None else ids
        return {"attributes": placed(found, make_ids(names, len(names))), "new_attributes": self.new}


@dataclass(frozen=True)
class RowFiles:
    """Flags that say where new rows come from."""

    corpus: Path | None
    embeddings: Path | None
    ids: Path | None
    lengths: Path | None
    described: Described = Described()

    def check(self, index: AnyIndex) -> None:
        """Raise UsageError for flags that contradict each other or the index."""
        from cluscomp.indexes.kind import kind_of

        given = [self.corpus, self.embeddings]
        if given.count(None) != 1:
            what = "neither is" if self.corpus is None else "both are"
            raise errors.UsageError(f"one of --corpus and --embeddings is needed, and {what} given")
        if self.corpus is not None and (self.ids, self.lengths) != (None, None):
            raise errors.UsageError(
                "--ids and --lengths belong to --embeddings; documents have their own ids"
            )
        if self.lengths is not None and not kind_of(index.spec).ragged:
            raise errors.UsageError(
                f"--lengths belong to token vectors, but {index.key!r} stores single ones"
            )

    def read(self, index: AnyIndex, encoder: str | None, progress: StageProgress) -> NewRows:
        """Read all rows into memory. Raises EncoderMismatchError, DimensionError and what files raise."""
        new = self._read(index, encoder, progress)
        return replace(new, options=new.options | self.described.options(self.corpus, index, new.ids))

    def _read(self, index: AnyIndex, encoder: str | None, progress: StageProgress) -> NewRows:
        if self.corpus is not None:
            return _encoded(index, self.corpus, encoder, progress)
        assert self.embeddings is not None
        if encoder is not None and index.encoder is not None:  # it says what made the vectors
            index_encoder(index, encoder, "")
        return _read(index, self.embeddings, self.ids, self.lengths)


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


def given_ids(new: NewRows) -> Any:
    """Ids of new rows; UsageError where there are none."""
    if new.ids is None:
        raise errors.UsageError("--embeddings have no ids, which say what is replaced; pass --ids FILE")
    return new.ids


def _encoded(index: AnyIndex, corpus: Path, encoder: str | None, progress: StageProgress) -> NewRows:
    from cluscomp.inputs.corpus import iter_corpus

    model = index_encoder(index, encoder, "pass --embeddings FILE")
    documents = list(iter_corpus(corpus))
    encoded = model.encode_documents([document.content for document in documents], progress=progress)
    names = ids_for(index, [document.id for document in documents])
    options: dict[str, Any] = {"documents": documents} if index.has_texts else {}
    if isinstance(encoded, tuple):
        return NewRows(encoded[0], names, options | {"lengths": encoded[1]})
    return NewRows(encoded, names, options)


def _read(index: AnyIndex, embeddings: Path, ids: Path | None, lengths: Path | None) -> NewRows:
    from cluscomp.indexes.kind import kind_of
    from cluscomp.inputs.embeddings import open_embeddings
    from cluscomp.inputs.ragged import open_ragged

    kind = kind_of(index.spec)
    if kind.terms:
        return _read_terms(index, embeddings, ids)
    if kind.ragged:
        source, numbers, names = open_ragged(embeddings, lengths, ids)
        options = {"lengths": numbers}
    else:
        source = open_embeddings(embeddings, ids)
        names, options = source.ids, {}
    return NewRows(source.read(0, source.n), None if names is None else ids_for(index, names), options)


def _read_terms(index: AnyIndex, embeddings: Path, ids: Path | None) -> NewRows:
    """Weighted terms of a .jsonl file, which has the ids."""
    from cluscomp.inputs.terms import read_terms

    if ids is not None:
        raise errors.UsageError("--ids: the ids of weighted terms stand in their .jsonl file; leave it out")
    names, rows = read_terms(embeddings)
    return NewRows(rows, ids_for(index, names))


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
