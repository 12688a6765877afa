"""What a build reads: vectors or token vectors from a file or array, or texts with the encoder of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cluscomp import errors
from cluscomp.inputs.embeddings import read_ids
from cluscomp.inputs.sources import Ids, check_ids
from cluscomp.inputs.stretch import Stretch
from cluscomp.multivector import Ragged
from cluscomp.multivector.ragged import document_blocks, offsets_of

if TYPE_CHECKING:
    from cluscomp.indexes.keys.specs import IndexSpec
    from cluscomp.inputs.corpus import Document
    from cluscomp.inputs.sources import VectorSource

_HASH_ROWS = 16_384


class Source(Protocol):
    """What a build reads.

    identity: JSON value that must be equal for a build to go on. dim: of the vectors. info: description of
    the model that made or makes them (EncoderInfo as JSON), None where it is not known.
    """

    @property
    def identity(self) -> dict[str, Any]: ...

    @property
    def dim(self) -> int: ...

    @property
    def info(self) -> dict[str, Any] | None: ...


@dataclass(frozen=True)
class VectorInput:
    """Vectors that are there already."""

    vectors: VectorSource
    identity: dict[str, Any]
    info: dict[str, Any] | None

    @property
    def dim(self) -> int:
        """Of the vectors."""
        return self.vectors.dim

    @property
    def n(self) -> int:
        """Rows."""
        return self.vectors.n

    def part(self, rows: slice) -> VectorInput:
        """The rows of a slice alone, under the ids that they have in the whole."""
        return replace(self, vectors=Stretch(self.vectors, rows))


@dataclass(frozen=True)
class TextInput:
    """Texts to encode. documents: starts a new pass over the corpus."""

    documents: Callable[[], Iterator[Document]]
    identity: dict[str, Any]
    encoder: Any

    @property
    def dim(self) -> int:
        """Of the vectors that the encoder makes."""
        return int(self.encoder.info.dim)

    @property
    def info(self) -> dict[str, Any]:
        """The encoder."""
        described: dict[str, Any] = self.encoder.info.to_json()
        return described


@dataclass(frozen=True)
class RaggedInput:
    """Token vectors of documents that are there already.

    vectors: (N, dim) of all documents below each other. offsets: (n + 1,) int64. ids: of the documents, or
    None.
    """

    vectors: VectorSource
    offsets: np.ndarray
    ids: Any
    identity: dict[str, Any]
    info: dict[str, Any] | None

    @property
    def dim(self) -> int:
        """Of the token vectors."""
        return self.vectors.dim

    @property
    def n(self) -> int:
        """Documents."""
        return self.offsets.shape[0] - 1

    def part(self, documents: slice) -> RaggedInput:
        """The documents of a slice alone, under the ids that they have in the whole."""
        ids = np.arange(documents.start, documents.stop) if self.ids is None else self.ids[documents]
        offsets = self.offsets[documents.start : documents.stop + 1]
        vectors = Stretch(self.vectors, slice(int(offsets[0]), int(offsets[-1])))
        return replace(self, vectors=vectors, offsets=offsets - offsets[0], ids=ids)

    def blocks(self, documents: slice, max_vectors: int) -> Iterator[tuple[slice, Ragged]]:
        """The documents of a slice in order, in blocks of at most max_vectors vectors, or single ones."""
        bounds = self.offsets[documents.start : documents.stop + 1]
        for block in document_blocks(np.diff(bounds), max_vectors):
            offsets = bounds[block.start : block.stop + 1]
            rows = self.vectors.read(int(offsets[0]), int(offsets[-1]))
            part = slice(block.start + documents.start, block.stop + documents.start)
            yield part, Ragged(rows, offsets - offsets[0])


@dataclass(frozen=True)
class Given:
    """What a caller gives a build to read, as the arguments of `build_index`."""

    source: Any
    encoder: Any
    ids: Any
    lengths: Any
    empty_documents: str
    columns: Mapping[str, str] | None = None
    texts: Any = None
    terms: Any = None


def open_vectors(spec: IndexSpec, given: Given) -> VectorInput | TextInput:
    """The source of an index of single vectors.

    given.source: path of a corpus (with an encoder) or of vectors (without), VectorSource, array (n, d), or
    iterable of Documents (with an encoder). Raises UsageError for arguments that contradict each other,
    and what opening raises.
    """
    source, encoder, ids = given.source, given.encoder, given.ids
    if given.lengths is not None:
        raise errors.UsageError(
            f"lengths belong to token vectors, but the rows of {str(spec)!r} are single vectors; "
            "use a key that begins with a pool, such as Pool16,IVF1024,PQ96"
        )
    if encoder is not None and encoder.info.kind != "dense":
        raise errors.UsageError(
            f"encoder {encoder.info.name!r} gives several vectors a text (kind {encoder.info.kind!r}); use a "
            "key that begins with a pool, such as Pool16,IVF1024,PQ96"
        )
    if encoder is not None and not _is_vectors(source):
        if ids is not None:
            raise errors.UsageError("ids belong to vectors; documents have their own ids")
        return text_input(source, encoder, given)
    vectors = _open_vectors(source, ids, given.columns)
    info = None if encoder is None else encoder.info.to_json()
    if encoder is not None and encoder.info.dim != vectors.dim:
        raise errors.DimensionError(
            f"the vectors have dim {vectors.dim}, but the encoder {encoder.info.name!r} makes dim "
            f"{encoder.info.dim}; name the encoder that made them, or none"
        )
    return VectorInput(vectors, _vector_identity(source, vectors), info)


def open_documents(spec: IndexSpec, given: Given) -> TextInput | RaggedInput:
    """The source of a multi-vector index: texts, or token vectors (N, dim) with lengths.

    Raises UsageError (an encoder of one vector a text, no lengths), and what opening raises.
    """
    source, encoder, ids, lengths = given.source, given.encoder, given.ids, given.lengths
    if encoder is not None and encoder.info.kind == "dense":
        raise errors.UsageError(
            f"the key begins with a pool of token vectors, but encoder {encoder.info.name!r} gives one "
            "vector a text; load it with kind 'tokens', or a multi-vector model with kind 'multivector'"
        )
    if encoder is not None and not _is_vectors(source):
        if ids is not None or lengths is not None:
            raise errors.UsageError("ids and lengths belong to vectors; documents have their own")
        return text_input(source, encoder, given)
    if lengths is None:
        raise errors.UsageError(
            "the key begins with a pool, so the vectors are those of documents: say how many each document "
            "has, by lengths= or an array 'lengths' in the .npz file"
        )
    vectors = _open_vectors(source, None, given.columns)
    offsets = offsets_of(lengths, vectors.n)
    names = None if ids is None else checked_ids(ids, offsets.shape[0] - 1)
    identity = _vector_identity(source, vectors) | {"ids": ids_digest(names)}
    identity["lengths"] = hashlib.blake2b(offsets.tobytes(), digest_size=16).hexdigest()
    info = None if encoder is None else encoder.info.to_json()
    return RaggedInput(vectors, offsets, names, identity, info)


def _is_vectors(source: Any) -> bool:
    return hasattr(source, "shape") or hasattr(source, "blocks")


def text_input(source: Any, encoder: Any, given: Given) -> TextInput:
    """Texts of a path or of an iterable of documents, with their encoder."""
    empty_documents, columns = given.empty_documents, given.columns
    if isinstance(source, str | Path):
        from cluscomp.inputs.corpus import corpus_file, iter_corpus

        file = corpus_file(source)
        identity = {"kind": "corpus", **file_identity(file), "empty_documents": empty_documents}
        if columns:
            identity["columns"] = dict(columns)
        options: dict[str, Any] = {"empty_documents": empty_documents, "columns": columns}
        return TextInput(lambda: iter_corpus(source, **options), identity, encoder)
    refuse_columns(columns, source)
    if not isinstance(source, Iterable):
        raise errors.UsageError(
            f"cannot read documents from a {type(source).__name__}; pass a path or documents"
        )
    documents = source if isinstance(source, list | tuple) else list(source)
    return TextInput(lambda: _check_documents(documents, empty_documents), {"kind": "documents"}, encoder)


def _check_documents(documents: Iterable[Any], empty_documents: str) -> Iterator[Document]:
    from cluscomp.inputs.corpus import Document

    for position, item in enumerate(documents):
        if isinstance(item, str):
            raise errors.DTypeError(
                f"document {position} is a text alone; pass (id, title, text), or a mapping with these"
            )
        if isinstance(item, Mapping):
            item = (item.get("id", item.get("_id", "")), item.get("title", ""), item.get("text", ""))
        document = Document(*item)
        if empty_documents != "keep" and not document.content:
            if empty_documents == "skip":
                continue
            raise errors.EmptyInputError(
                f"document {document.id!r} (number {position}) has neither title nor text; remove it, "
                "or pass empty_documents='skip' or 'keep'"
            )
        yield document


def refuse_columns(columns: Mapping[str, str] | None, source: Any) -> None:
    """Raise UsageError for names of fields where nothing has fields."""
    if columns:
        raise errors.UsageError(f"columns name fields of a file, but the source is a {type(source).__name__}")


def _open_vectors(source: Any, ids: Any, columns: Mapping[str, str] | None) -> VectorSource:
    from cluscomp.inputs.embeddings import open_embeddings
    from cluscomp.inputs.sources import ArraySource

    if isinstance(source, str | Path):
        vectors = open_embeddings(source, columns=columns)
    else:
        refuse_columns(columns, source)
        vectors = source if hasattr(source, "blocks") else ArraySource(source)
    if ids is not None:
        vectors.ids = checked_ids(ids, vectors.n)
    return vectors


def checked_ids(ids: Any, n: int) -> Ids:
    """N ids that a caller gave: as such, or the path of their file."""
    return read_ids(Path(ids), n) if isinstance(ids, str | os.PathLike) else check_ids(ids, n, "ids")


def _vector_identity(source: Any, vectors: VectorSource) -> dict[str, Any]:
    """What must be equal for a build to go on: size and time of files, the contents of arrays."""
    shape = {"n": vectors.n, "dim": vectors.dim, "dtype": str(vectors.dtype), "ids": ids_digest(vectors.ids)}
    path = getattr(vectors, "path", None)
    if path is not None:
        return {"kind": "vectors", **shape, **file_identity(Path(path))}
    digest = hashlib.blake2b(digest_size=16)
    for block in vectors.blocks(_HASH_ROWS):
        digest.update(np.ascontiguousarray(block).view(np.uint8))
    return {"kind": "array", **shape, "digest": digest.hexdigest()}


def stored_id_bytes(ids: Any) -> int:
    """Bytes that ids take in the folder; nothing where rows are numbered."""
    if ids is None:
        return 0
    if isinstance(ids, list):
        return sum(len(name.encode("utf-8", "surrogatepass")) for name in ids) + 8 * (len(ids) + 1)
    return 8 * len(ids)


def ids_digest(ids: Any) -> str | None:
    """Hash of ids, None for none."""
    if ids is None:
        return None
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(ids, np.ndarray):
        digest.update(np.ascontiguousarray(ids).view(np.uint8))
    else:
        for name in ids:
            digest.update(name.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def file_identity(path: Path) -> dict[str, Any]:
    """Name, size and time of a file, or of the files of a folder."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    return {
        "file": path.name,
        "bytes": sum(s.st_size for s in stats),
        "modified": max(s.st_mtime_ns for s in stats),
    }
