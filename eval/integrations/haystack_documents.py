"""Documents of Haystack as rows of a store, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cluscomp.errors import require
from cluscomp.eval.integrations.haystack_filter import PREFIX
from cluscomp.eval.integrations.rows import StoredRow

BARE = "_bare"
"""Column that marks documents without an embedding; their row of the index is zero."""
PARTS = "_parts"
"""Name under which blobs and sparse embeddings are kept among the metadata."""
WHY = "CluscompDocumentStore"


def columns_of(columns: Sequence[str] | Mapping[str, str] | None) -> Any:
    """Columns of the store for names of metadata that filters may use, with or without "meta."."""
    if columns is None:
        return None
    names = [name.removeprefix(PREFIX) for name in columns]
    if isinstance(columns, Mapping):
        return {**dict(zip(names, columns.values(), strict=True)), BARE: "bool"}
    return [*names, BARE]


def metadata_of_document(document: Any) -> dict[str, Any]:
    """What a store keeps of a document beside its id, content and embedding."""
    whole = document.to_dict(flatten=False)
    parts = {name: whole[name] for name in ("blob", "sparse_embedding") if whole.get(name) is not None}
    marks: dict[str, Any] = {PARTS: parts} if parts else {}
    if document.embedding is None:
        marks[BARE] = True
    return {**document.meta, **marks}


def document_of(row: StoredRow) -> Any:
    """The document that a row was made of; a score where it was searched for."""
    meta = dict(row.metadata)
    is_bare = meta.pop(BARE, False)
    fields = {"id": row.id, "content": row.text, **meta.pop(PARTS, {}), "meta": meta}
    if row.vector is not None and not is_bare:
        fields["embedding"] = row.vector.tolist()
    if row.score == row.score:  # not NaN: it was searched for
        fields["score"] = row.score
    return require("haystack.dataclasses", extra="haystack", why=WHY).Document.from_dict(fields)
