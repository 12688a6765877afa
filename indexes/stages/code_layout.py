"""Storage order of 4-bit codes: within every list, each run of 32 rows, and what is left over at its end, is
transposed from [rows][bytes] to [bytes][rows], so that byte shuffles look up 32 rows at once.

Interleaving changes neither size nor list boundaries nor results; it only makes scans faster. Where lists
have few rows, runs of 32 rows may go across them, as if all rows were one list: in memory only, for rows that
were taken out.
Source of the idea: Andre, Kermarrec, Le Scouarnec, "Cache locality is not enough: high-performance nearest
neighbor search with product quantization fast scan", VLDB 2015.
"""

from __future__ import annotations

import numpy as np

from cluscomp import native
from cluscomp.indexes.stages.codec import CODES, Codec, Codes

INTERLEAVED_ROWS = 32
"""Rows of one run."""


def arrange_codes(codec: Codec, codes: Codes, offsets: np.ndarray, *, across_lists: bool = False) -> None:
    """Bring plain codes, grouped by list, into storage order, in place."""
    if codec.interleaved:
        native.interleave_codes(codes[CODES], offsets[[0, -1]] if across_lists else offsets)


def plain_codes(codec: Codec, codes: Codes, offsets: np.ndarray) -> Codes:
    """Stored codes as `Codec.encode` made them; a copy where the layout differs."""
    if not codec.interleaved:
        return codes
    plain = np.array(codes[CODES])
    native.interleave_codes(plain, offsets, undo=True)
    return {**codes, CODES: plain}


def plain_rows(codec: Codec, codes: Codes, offsets: np.ndarray, rows: np.ndarray) -> Codes:
    """Codes of some stored rows (m,) as `Codec.encode` made them; nothing but these is read."""
    if not codec.interleaved:
        return {name: np.ascontiguousarray(array[rows]) for name, array in codes.items()}
    picked = {name: np.ascontiguousarray(array[rows]) for name, array in codes.items() if name != CODES}
    rows = np.ascontiguousarray(rows, dtype=np.int64)
    return {**picked, CODES: native.take_interleaved(codes[CODES], offsets, rows)}
