"""Last passes over the files of a segment: storage order of 4-bit codes, prescreen of float rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks
from cluscomp.files import flush
from cluscomp.indexes.stages.codec import Codec
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.prescreen import (
    PRESCREEN_ARRAYS,
    blockwise_mean,
    prescreen_arrays,
    prescreen_block_rows,
    prescreen_frame,
)
from cluscomp.indexes.storage.staging import HEADER_BYTES
from cluscomp.indexes.storage.stream import ArrayStream

GROUP_ROWS = 32


def arrange_file(
    codec: Codec, path: Path, spec: ArraySpec, offsets: np.ndarray, max_block_bytes: int
) -> None:
    """`arrange_codes` for a .npy file, holding max_block_bytes of codes at a time."""
    if not codec.interleaved:
        return
    width = spec.shape[1]
    with path.open("r+b") as file:
        for cuts in _pieces(offsets, max(1, max_block_bytes // (width * GROUP_ROWS)) * GROUP_ROWS):
            codes = np.empty((int(cuts[-1] - cuts[0]), width), dtype=np.uint8)
            place = HEADER_BYTES + int(cuts[0]) * width
            file.seek(place)
            file.readinto(memoryview(codes.reshape(-1)))
            native.interleave_codes(codes, cuts - cuts[0])
            file.seek(place)
            file.write(memoryview(codes.reshape(-1)))
        flush(file)


def _pieces(offsets: np.ndarray, max_rows: int) -> Iterator[np.ndarray]:
    """Cuts of the lists, in runs that span at most max_rows (whole groups); long lists are cut between."""
    bounds = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    starts = [np.arange(begin, end, max_rows, dtype=np.int64) for begin, end in bounds]
    cuts = np.concatenate([*starts, offsets[-1:]])
    first = 0
    while first + 1 < len(cuts):
        last = int(np.searchsorted(cuts, cuts[first] + max_rows, side="right")) - 1
        yield cuts[first : last + 1]
        first = last


def write_prescreen(
    rows: ArrayStream, paths: Mapping[str, Path], metric: str, block_bytes: int
) -> dict[str, ArraySpec]:
    """`build_prescreen` of rows in a finished file, block by block into other files; the same bytes."""
    dim = rows.row_shape[0]
    blocks = list(iter_blocks(rows.rows, prescreen_block_rows(dim, block_bytes)))
    mean, largest = blockwise_mean(rows.read, blocks, dim), 0.0
    specs = prescreen_arrays(rows.rows, dim)
    streams = {name: ArrayStream(paths[name], specs[name].dtype, ()) for name in PRESCREEN_ARRAYS}
    try:
        for block in blocks:
            values, terms, norm = native.build_prescreen(rows.read(block), mean, metric)
            streams["shadow_values"].append(values)
            streams["shadow_terms"].append(terms)
            largest = max(largest, norm)
        streams["shadow_frame"].append(prescreen_frame(mean, largest))
        return {name: stream.finish() for name, stream in streams.items()}
    finally:
        for stream in streams.values():
            stream.close()
