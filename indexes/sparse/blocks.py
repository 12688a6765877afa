"""The arrays of clustered postings: rows of terms, and for each term blocks of similar rows with summaries
(term_blocks.h).

An entry of a row takes the bytes of its term, 2 where the segment has at most 65 536 of them and 4 beyond,
and those of its weight. A row in a block takes 4 bytes, a value of a summary 3 and those of its term.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks
from cluscomp.errors import TooLargeError
from cluscomp.indexes.sparse.postings import start_dtype, starts_of, term_ranges
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.seismic_codec import Seismic

ROW_ARRAYS = ("row_starts", "row_terms", "row_weights")
BLOCK_ARRAYS = ("list_blocks", "block_starts", "block_rows")
SUMMARY_ARRAYS = ("list_entries", "entry_terms", "entry_blocks", "entry_codes", "list_scales")
ARRAYS = (*ROW_ARRAYS, *BLOCK_ARRAYS, *SUMMARY_ARRAYS)
STREAMED = ("block_rows", "entry_terms", "entry_blocks", "entry_codes")
"""What is made of some terms after the other; the rest is small and comes in the end."""
MOST_ROWS = (1 << 31) - 1
_BLOCK = 1 << 20
Gather = Callable[[slice], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Postings of a run of terms: number of the term, row, stored weight, ascending by term, then row."""


def term_dtype(n_lists: int) -> str:
    """Dtype of numbers of terms."""
    return "<u2" if n_lists <= 1 << 16 else "<i4"


@dataclass(frozen=True)
class Lengths:
    """Lengths of the arrays of a segment."""

    rows: int
    entries: int
    lists: int
    blocks: int
    places: int
    summaries: int

    @classmethod
    def listed(cls, n_rows: int, n_lists: int, listed: Mapping[str, tuple[int, ...]]) -> Lengths:
        """Of arrays that a manifest lists."""
        names = ("row_terms", "block_starts", "block_rows", "entry_codes")
        entries, blocks, places, summaries = ((listed.get(name) or (0,))[0] for name in names)
        return cls(n_rows, entries, n_lists, max(0, blocks - 1), places, summaries)

    @classmethod
    def estimated(cls, n_rows: int, n_postings: int, spec: Seismic) -> Lengths:
        """Of words of texts, by measurement of sentences, questions and abstracts of 10 to 103 words."""
        lists = n_postings // 15 + 1
        places = min(n_postings, spec.n_postings * lists or n_postings)
        blocks = int(places * (0.05 + 0.8 * spec.centroid_fraction)) + 1
        return cls(
            n_rows, n_postings, lists, blocks, places, int(places * _summarised(n_rows, n_postings, spec))
        )

    def specs(self, weight: str) -> dict[str, ArraySpec]:
        """Dtype and shape of all arrays. weight: dtype of a stored weight."""
        terms = term_dtype(self.lists)
        return {
            "row_starts": ArraySpec(start_dtype(self.entries), (self.rows + 1,)),
            "row_terms": ArraySpec(terms, (self.entries,)),
            "row_weights": ArraySpec(weight, (self.entries,)),
            "list_blocks": ArraySpec(start_dtype(self.places), (self.lists + 1,)),
            "block_starts": ArraySpec(start_dtype(self.places), (self.blocks + 1,)),
            "block_rows": ArraySpec("<i4", (self.places,)),
            "list_entries": ArraySpec(start_dtype(self.summaries), (self.lists + 1,)),
            "entry_terms": ArraySpec(terms, (self.summaries,)),
            "entry_blocks": ArraySpec("<u2", (self.summaries,)),
            "entry_codes": ArraySpec("|u1", (self.summaries,)),
            "list_scales": ArraySpec("<f4", (self.lists,)),
        }


def _summarised(n_rows: int, n_postings: int, spec: Seismic) -> float:
    """Values of summaries for each row in a block: by the length of rows, as many as the energy asks for."""
    wanted = 0.27 * (spec.summary_energy / 0.4) ** 1.17 * (n_postings / max(1, n_rows)) ** 0.915
    if not spec.summary_terms or spec.summary_energy >= 1:
        return wanted
    return min(wanted, 0.82 * spec.summary_terms)  # about .82 of the rows are in blocks that have a summary


def streamed_dtypes(n_lists: int) -> dict[str, str]:
    """Dtypes of the arrays STREAMED."""
    dtypes = ("<i4", term_dtype(n_lists), "<u2", "|u1")
    return dict(zip(STREAMED, dtypes, strict=True))


def row_starts(counts: np.ndarray) -> np.ndarray:
    """Where the terms of each row begin, from how many it has. Raises TooLargeError."""
    if len(counts) > MOST_ROWS:
        raise TooLargeError(f"{len(counts)} rows are too many for one segment; at most {MOST_ROWS}")
    return starts_of(counts, int(counts.sum()))


def row_arrays(
    counts: np.ndarray, lists: np.ndarray, weights: np.ndarray, n_lists: int
) -> dict[str, np.ndarray]:
    """The arrays of rows. counts: (n,) terms of each. lists: (N,) numbers, ascending within a row. weights:
    (N,) as stored. Raises TooLargeError.
    """
    stored = row_starts(counts), lists.astype(term_dtype(n_lists)), weights
    return dict(zip(ROW_ARRAYS, stored, strict=True))


@dataclass
class Divider:
    """Divides the terms of rows into blocks, some at a time.

    rows: the arrays of rows. counts: (n_lists,) rows that hold each term.
    """

    spec: Seismic
    seed: int
    rows: Mapping[str, np.ndarray]
    counts: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.counts)
        self._blocks, self._entries = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        self._scales = np.zeros(n, dtype=np.float32)
        self._sizes: list[np.ndarray] = []
        self._forward = native.ForwardRows(**self.rows, n_lists=n)
        self._least = self._least_weight()

    def pieces(self, gather: Gather, postings: int) -> Iterator[dict[str, np.ndarray]]:
        """What `STREAMED` has of about so many postings at a time."""
        for terms in term_ranges(self.counts, postings):
            lists, rows, weights = gather(terms)
            yield self._piece(terms, *self._kept(lists, rows, weights))

    def _piece(self, terms: slice, lists: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        sizes = np.bincount(lists - terms.start, minlength=terms.stop - terms.start)
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        spec = self.spec
        blocks, block_sizes, block_rows, entries, entry_terms, entry_blocks, codes, scales = (
            self._forward.divide(
                starts, rows.astype(np.int32), spec.centroid_fraction, spec.summary_energy,
                spec.summary_terms, spec.min_cluster_size, spec.doc_cut, self.seed,
            )
        )  # fmt: skip
        self._blocks[terms], self._entries[terms], self._scales[terms] = blocks, entries, scales
        self._sizes.append(block_sizes)
        made = (block_rows, entry_terms, entry_blocks, codes)
        dtypes = streamed_dtypes(len(self.counts)).values()
        return {n: a.astype(d) for n, a, d in zip(STREAMED, made, dtypes, strict=True)}

    def small(self) -> dict[str, np.ndarray]:
        """The arrays of starts and scales, when all pieces are made."""
        sizes = np.concatenate([np.empty(0, dtype=np.int64), *self._sizes])
        places = int(sizes.sum())
        return {
            "list_blocks": starts_of(self._blocks, places),
            "block_starts": starts_of(sizes, places),
            "list_entries": starts_of(self._entries, int(self._entries.sum())),
            "list_scales": self._scales,
        }

    # ---- which postings are kept ----

    def _least_weight(self) -> float:
        """The least weight that is kept, so that n_postings are kept for each term on average; of equal ones
        all are.
        """
        total, terms = int(self.counts.sum()), int(np.count_nonzero(self.counts))
        wanted = self.spec.n_postings * terms
        if not wanted or total <= wanted:
            return 0.0
        high = self._counted(lambda bits: bits >> 16)
        first, above = _reached(high, wanted)
        low = self._counted(lambda bits: (bits & 0xFFFF)[bits >> 16 == first])
        second, _ = _reached(low, wanted - above)
        return float(np.array(first << 16 | second, dtype=np.uint32).view(np.float32))

    def _counted(self, part: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """How often each number of 16 bits occurs in a part of the bits of the weights."""
        counts, weights = np.zeros(1 << 16, dtype=np.int64), self.rows["row_weights"]
        for block in iter_blocks(len(weights), _BLOCK):
            bits = np.asarray(weights[block]).astype(np.float32).view(np.uint32)
            counts += np.bincount(part(bits), minlength=1 << 16)
        return counts

    def _kept(
        self, lists: np.ndarray, rows: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Terms and rows of the postings that are kept: heavy ones, and of each term not too many."""
        here = np.flatnonzero(weights.astype(np.float32) >= self._least)
        lists, rows, weights = lists[here], rows[here], weights[here].astype(np.float32)
        limit = int(self.spec.n_postings * self.spec.max_fraction)
        sizes = np.bincount(lists)
        kept = np.ones(len(lists), dtype=bool)
        for term in np.flatnonzero(sizes > limit) if limit else ():
            own = slice(*np.searchsorted(lists, [term, term + 1]))
            kept[own] = _largest(weights[own], limit)
        return lists[kept], rows[kept]


def _largest(weights: np.ndarray, n: int) -> np.ndarray:
    """Mask (m,) of the n largest weights, the first among equals."""
    mask = np.zeros(len(weights), dtype=bool)
    mask[np.argsort(-weights, kind="stable")[:n]] = True
    return mask


def _reached(counts: np.ndarray, wanted: int) -> tuple[int, int]:
    """The largest number from which on upwards at least `wanted` are counted, and how many lie above it."""
    above = np.cumsum(counts[::-1])[::-1]
    number = int(np.flatnonzero(above >= wanted)[-1])
    return number, int(above[number] - counts[number])


def divided(divider: Divider, postings: int) -> dict[str, np.ndarray]:
    """All arrays, from rows in memory; about so many postings are put in order at a time."""
    rows, n_lists = divider.rows, len(divider.counts)
    owners = np.repeat(np.arange(len(rows["row_starts"]) - 1), np.diff(rows["row_starts"]))

    def gather(terms: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        numbers = rows["row_terms"]
        here = np.flatnonzero((numbers >= terms.start) & (numbers < terms.stop))
        here = here[np.argsort(numbers[here], kind="stable")]
        return numbers[here].astype(np.int64), owners[here], rows["row_weights"][here]

    nothing: dict[str, Any] = {name: np.empty(0, dtype) for name, dtype in streamed_dtypes(n_lists).items()}
    parts = [nothing, *divider.pieces(gather, postings)]
    made = {name: np.concatenate([part[name] for part in parts]) for name in STREAMED}
    made |= divider.small()
    return {name: ({**rows, **made})[name] for name in ARRAYS}
