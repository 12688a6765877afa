"""Titles and texts that a caller gives with new rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cluscomp.errors import DimensionError, DTypeError, InputError
from cluscomp.indexes.segments.ids import IdColumn
from cluscomp.indexes.segments.texts import GivenTexts

Given = tuple[Any, str | None, str | None]


def document_ids(documents: Any, ids: Any) -> Any:
    """Ids of new rows: those that were given, or else those of the documents, where each has one."""
    if ids is not None or documents is None:
        return ids
    names = [name for name, _, _ in map(_as_document, documents)]
    return names if names and all(name is not None for name in names) else None


def given_texts(documents: Any, ids: IdColumn) -> GivenTexts | None:
    """Titles and texts of new rows with these ids; None where no documents were given.

    documents: one a row: a text, (title, text), (id, title, text), or a mapping with "title", "text" and
    perhaps "id" or "_id". Raises DimensionError (count), DTypeError (form), InputError (another id).
    """
    if documents is None:
        return None
    found = [_as_document(item) for item in documents]
    if len(found) != len(ids):
        raise DimensionError(f"there are {len(ids)} rows, but {len(found)} documents; pass one a row")
    names = ids.take(np.arange(len(ids))).tolist()
    for row, ((own, _, _), name) in enumerate(zip(found, names, strict=True)):
        if own is not None and str(own) != str(name):
            raise InputError(
                f"document {row} has id {own!r}, but the row has id {name!r}; pass documents in the order of "
                "the rows"
            )
    return GivenTexts(tuple((title, text) for _, title, text in found))


def _as_document(item: Any) -> Given:
    """Id, title and text; None for what was not given."""
    if isinstance(item, str):
        parts: tuple[Any, ...] = (None, None, item)
    elif isinstance(item, Mapping):
        parts = (item.get("id", item.get("_id")), item.get("title"), item.get("text"))
    elif isinstance(item, Sequence) and len(item) in (2, 3):
        parts = (None, *item) if len(item) == 2 else tuple(item)
    else:
        parts = (None, item, item)
    name, title, text = parts
    if not all(value is None or isinstance(value, str) for value in (title, text)):
        raise DTypeError(
            f"a document is {item!r:.80}, but a text, (title, text), (id, title, text) or a mapping with "
            "title and text is needed"
        )
    return name, title, text
