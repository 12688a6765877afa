"""What a build reads: vectors from a file or array, or texts with the encoder that makes them vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cluscomp import errors

if TYPE_CHECKING:
    from cluscomp.encoders import Encoder
    from cluscomp.indexes.build.documents_source import RaggedInput
    from cluscomp.inputs.corpus import Document
    from cluscomp.inputs.sources import VectorSource

_HASH_ROWS = 16_384


@dataclass(frozen=True)
class VectorInput:
    """Vectors that are there already. encoder: what made them, if known."""

    vectors: VectorSource
    identity: dict[str, Any]
    encoder: dict[str, Any] | None


@dataclass(frozen=True)
class TextInput:
    """Texts to encode. documents: starts a new pass over the corpus."""

    documents: Callable[[], Iterator[Document]]
    identity: dict[str, Any]
    encoder: Encoder


def open_input(
    source: Any, encoder: Encoder | None, ids: Any, empty_documents: str
) -> VectorInput | TextInput:
    """Recognise a source.

    source: path of a corpus (with an encoder) or of vectors (without), VectorSource, array (n, d), or
    iterable of Documents (with an encoder). Raises UsageError for combinations that make no sense, and what
    opening raises.
    """
    if encoder is not None and encoder.info.kind != "dense":
        raise errors.UsageError(
            f"encoder {encoder.info.name!r} gives several vectors a text (kind {encoder.info.kind!r}); use a "
            "key that begins with a pool, such as Pool16,IVF1024,PQ96"
        )
    if encoder is not None and not _is_vectors(source):
        if ids is not None:
            raise errors.UsageError("ids belong to vectors; documents have their own ids")
        return _text_input(source, encoder, empty_documents)
    vectors = _open_vectors(source, ids)
    info = None if encoder is None else encoder.info.to_json()
    if encoder is not None and encoder.info.dim != vectors.dim:
        raise errors.DimensionError(
            f"the vectors have dim {vectors.dim}, but the encoder {encoder.info.name!r} makes dim "
            f"{encoder.info.dim}; name the encoder that made them, or none"
        )
    return VectorInput(vectors, _vector_identity(source, vectors), info)


def open_document_input(
    source: Any, encoder: Encoder | None, lengths: Any, ids: Any, empty_documents: str
) -> TextInput | RaggedInput:
    """Recognise the source of a multi-vector index: texts, or token vectors (N, dim) with lengths.

    Raises UsageError (an encoder of one vector a text, no lengths), and what opening raises.
    """
    from cluscomp.indexes.build.documents_source import ragged_input

    if encoder is not None and encoder.info.kind == "dense":
        raise errors.UsageError(
            f"the key begins with a pool of token vectors, but encoder {encoder.info.name!r} gives one "
            "vector a text; load it with kind 'tokens', or a multi-vector model with kind 'multivector'"
        )
    if encoder is not None and not _is_vectors(source):
        if ids is not None or lengths is not None:
            raise errors.UsageError("ids and lengths belong to vectors; documents have their own")
        return _text_input(source, encoder, empty_documents)
    vectors = _open_vectors(source, None)
    info = None if encoder is None else encoder.info.to_json()
    identity = _vector_identity(source, vectors) | {"ids": None if ids is None else _ids_digest(ids)}
    return ragged_input(vectors, lengths, ids, identity, info)


def _is_vectors(source: Any) -> bool:
    return hasattr(source, "shape") or hasattr(source, "blocks")


def _text_input(source: Any, encoder: Encoder, empty_documents: str) -> TextInput:
    if isinstance(source, str | Path):
        from cluscomp.inputs.corpus import corpus_file, iter_corpus

        file = corpus_file(source)
        identity = {"kind": "corpus", **_file_identity(file), "empty_documents": empty_documents}
        return TextInput(lambda: iter_corpus(source, empty_documents=empty_documents), identity, encoder)  # type: ignore[arg-type]
    if not isinstance(source, Iterable):
        raise errors.UsageError(
            f"cannot read documents from a {type(source).__name__}; pass a path or documents"
        )
    documents = source if isinstance(source, list | tuple) else list(source)
    return TextInput(lambda: _check_documents(documents, empty_documents), {"kind": "documents"}, encoder)


def _check_documents(documents: Iterable[Any], empty_documents: str) -> Iterator[Document]:
    from cluscomp.inputs.corpus import Document

    for position, item in enumerate(documents):
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


def _open_vectors(source: Any, ids: Any) -> VectorSource:
    from cluscomp.inputs.embeddings import open_embeddings
    from cluscomp.inputs.sources import ArraySource, check_ids

    if isinstance(source, str | Path):
        vectors = open_embeddings(source, ids if isinstance(ids, str | Path) else None)
        if ids is not None and not isinstance(ids, str | Path):
            vectors.ids = check_ids(ids, vectors.n, "ids")
        return vectors
    if hasattr(source, "blocks"):
        vectors = source
        if ids is not None:
            vectors.ids = check_ids(ids, vectors.n, "ids")
        return vectors
    return ArraySource(source, ids)


def _vector_identity(source: Any, vectors: VectorSource) -> dict[str, Any]:
    """What must be equal for a build to go on: size and time of files, the contents of arrays."""
    shape = {"n": vectors.n, "dim": vectors.dim, "dtype": str(vectors.dtype), "ids": _ids_digest(vectors.ids)}
    path = source if isinstance(source, str | Path) else getattr(vectors, "path", None)
    if path is not None:
        return {"kind": "vectors", **shape, **_file_identity(Path(path))}
    digest = hashlib.blake2b(digest_size=16)
    for block in vectors.blocks(_HASH_ROWS):
        digest.update(np.ascontiguousarray(block).view(np.uint8))
    return {"kind": "array", **shape, "digest": digest.hexdigest()}


def _ids_digest(ids: Any) -> str | None:
    if ids is None:
        return None
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(ids, np.ndarray):
        digest.update(np.ascontiguousarray(ids).view(np.uint8))
    else:
        for name in ids:
            digest.update(name.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def _file_identity(path: Path) -> dict[str, Any]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    return {
        "file": path.name,
        "bytes": sum(s.st_size for s in stats),
        "modified": max(s.st_mtime_ns for s in stats),
    }
