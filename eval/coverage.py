"""What judgements name that is not there: queries without text or vector, documents that the index lacks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from cluscomp.errors import IncompleteInputWarning, InputError
from cluscomp.eval.qrels import Qrels
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.segments.id_lookup import positions_of
from cluscomp.indexes.segments.ids import MAX_ID, TEXT, make_ids


def report_missing_queries(missing: Sequence[str], judged: int, source: str) -> None:
    """Say which judged queries are not there: all of them is an InputError, some count as not answered, and
    IncompleteInputWarning says how many.
    """
    if not missing:
        return
    if len(missing) == judged:
        raise InputError(
            f"none of the {judged} judged queries is in {source} (such as {missing[0]!r}); do judgements and "
            "queries belong together?"
        )
    warnings.warn(
        f"{len(missing)} of {judged} judged queries are not in {source} and count 0, such as {missing[0]!r}",
        IncompleteInputWarning,
        stacklevel=3,
    )


def report_missing_documents(index: StoredIndex[Any], qrels: Qrels) -> None:
    """Say which relevant documents are not in the index: all of them is an InputError, some count as not
    found, and IncompleteInputWarning says how many.
    """
    relevant = sorted({name for levels in qrels.values() for name, level in levels.items() if level > 0})
    known = _contains(index, relevant).tolist()
    missing = [name for name, is_here in zip(relevant, known, strict=True) if not is_here]
    if not missing:
        return
    if len(missing) == len(relevant):
        example = str(index.ids[:1].tolist()[0])
        raise InputError(
            f"none of the {len(relevant)} relevant documents is in the index (such as {missing[0]!r}; an id "
            f"of the index is {example!r}); build it with the ids that the judgements use (--ids)"
        )
    warnings.warn(
        f"{len(missing)} of {len(relevant)} relevant documents are not in the index and count as not found, "
        f"such as {missing[0]!r}",
        IncompleteInputWarning,
        stacklevel=2,
    )


def _contains(index: StoredIndex[Any], names: list[str]) -> np.ndarray:
    """Whether the index has each name (n,) bool; integer ids count by their digits, as in runs."""
    if not names or not len(index):
        return np.zeros(len(names), dtype=bool)
    if index.id_kind == TEXT:
        return positions_of(index.segments, make_ids(names, len(names))) >= 0
    numbers = [int(name) if _is_decimal(name) else -1 for name in names]
    known = np.zeros(len(names), dtype=bool)
    asked = [row for row, number in enumerate(numbers) if number >= 0]
    if asked:
        wanted = make_ids([numbers[row] for row in asked], len(asked))
        known[asked] = positions_of(index.segments, wanted) >= 0
    return known


def _is_decimal(name: str) -> bool:
    return name.isascii() and name.isdigit() and str(int(name)) == name and int(name) <= MAX_ID
