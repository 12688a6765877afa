"""Faults of clustered postings that a deep verification finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from cluscomp.indexes.segments.faults import floats_fault


def block_faults(arrays: Mapping[str, np.ndarray], n_rows: int) -> Iterator[tuple[str, str]]:
    """Array and fault of each that is wrong."""
    n_lists = len(arrays["list_scales"])
    totals = {
        "row_starts": len(arrays["row_terms"]),
        "list_blocks": len(arrays["block_starts"]) - 1,
        "block_starts": len(arrays["block_rows"]),
        "list_entries": len(arrays["entry_terms"]),
    }
    wrong = [name for name, total in totals.items() if not _rises(arrays[name], total)]
    for name in wrong:
        yield name, f"it does not rise from 0 to {totals[name]}"
    if wrong:
        return
    owners = _owners(arrays["row_starts"])
    yield from _ascending("row_terms", arrays["row_terms"], owners, n_lists, "terms of a row")
    blocks = _owners(arrays["block_starts"])
    yield from _ascending("block_rows", arrays["block_rows"], blocks, n_rows, "rows of a block")
    yield from _summary_faults(arrays, n_lists)
    for name in ("row_weights", "list_scales"):
        fault = floats_fault(arrays[name]) if arrays[name].dtype.kind == "f" else None
        if fault is not None:
            yield name, fault


def _summary_faults(arrays: Mapping[str, np.ndarray], n_lists: int) -> Iterator[tuple[str, str]]:
    lists = _owners(arrays["list_entries"])
    terms, blocks = (arrays[name].astype(np.int64) for name in ("entry_terms", "entry_blocks"))
    if len(terms) and not 0 <= terms.min() <= terms.max() < n_lists:
        yield "entry_terms", f"terms are {terms.min()} to {terms.max()}, but there are {n_lists}"
    if (blocks >= np.diff(arrays["list_blocks"].astype(np.int64))[lists]).any():
        yield "entry_blocks", "a summary belongs to a block that its term does not have"
    steps = np.diff(terms) * (1 << 16) + np.diff(blocks)
    if ((steps <= 0) & (np.diff(lists) == 0)).any():
        yield "entry_terms", "the summaries of a term do not rise by term, then by block"


def _rises(starts: np.ndarray, total: int) -> bool:
    return bool(starts[0] == 0 and starts[-1] == total and (np.diff(starts.astype(np.int64)) >= 0).all())


def _owners(starts: np.ndarray) -> np.ndarray:
    starts = starts.astype(np.int64)
    return np.repeat(np.arange(len(starts) - 1), starts[1:] - starts[:-1])


def _ascending(
    name: str, values: np.ndarray, owners: np.ndarray, limit: int, what: str
) -> Iterator[tuple[str, str]]:
    values = values.astype(np.int64)
    falls = ((np.diff(values) <= 0) & (np.diff(owners) == 0)).any()
    if falls or (len(values) and not 0 <= values.min() <= values.max() < limit):
        yield name, f"the {what} do not rise within 0 to {limit - 1}"
