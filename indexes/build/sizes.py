"""Bytes of an index before it is written: on disk by part, and in memory while it is built or trained.

Disk figures are exact for integer ids. Memory figures count the arrays that the stages hold at the same time;
the interpreter and the libraries come on top.
"""

from __future__ import annotations

import numpy as np

from cluscomp.indexes.keys.grammar import PQ, IndexSpec
from cluscomp.indexes.segments.segment import segment_arrays
from cluscomp.indexes.stages.pipeline import MIN_TRAINING_SAMPLE, Pipeline, training_rows
from cluscomp.indexes.stages.prescreen import prescreen_arrays, prescreen_block_rows
from cluscomp.indexes.storage.folder import HEADER_BYTES
from cluscomp.indexes.storage.parts import SEGMENT_PARTS, parameter_part

LABEL_BYTES = 4
ORDER_BYTES = 8


def segment_bytes(
    spec: IndexSpec, dim: int, n_rows: int, *, metric: str = "ip", id_bytes: float = 0.0, deleted: int = 0
) -> dict[str, int]:
    """Bytes on disk, by part as in `Index.nbytes()`, of one segment of n_rows rows.

    id_bytes: mean bytes of an id: 0 for consecutive integers (nothing stored), 8 for other integers, and the
    mean UTF-8 length + 8 for texts. Headers of the .npy files are counted.
    """
    arrays = segment_arrays(Pipeline(spec, dim, metric, 0), n_rows)
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        part = SEGMENT_PARTS[name]
        sizes[part] = sizes.get(part, 0) + HEADER_BYTES + array.nbytes
    if id_bytes:
        sizes["ids"] = round(2 * HEADER_BYTES + 8 + n_rows * id_bytes)
    if deleted:
        sizes["tombstones"] = HEADER_BYTES + 8 * deleted
    return sizes


def trained_bytes(spec: IndexSpec, dim: int, *, metric: str = "ip") -> dict[str, int]:
    """Bytes on disk, by part, of the trained stages: they do not grow with the rows."""
    sizes: dict[str, int] = {}
    for name, stage in Pipeline(spec, dim, metric, 0).stages().items():
        for parameter, array in stage.parameter_specs.items():
            part = parameter_part(name, parameter)
            sizes[part] = sizes.get(part, 0) + HEADER_BYTES + array.nbytes
    return sizes


def training_memory(spec: IndexSpec, dim: int, n_rows: int) -> int:
    """Peak bytes that `Index.train` holds for a sample of n_rows float32 rows, the sample itself counted."""
    rows = min(n_rows, training_rows(spec))
    widest = max(spec.stage_dims(dim))
    copies = 2 + len(spec.transforms)  # sample and its normalised or projected forms, plus residuals
    # Bytes for each of at most 65536 x widest values: unit rows in two precisions that start the lists; then
    # what codebooks look at: a choice of the rows, centroids of their lists and residuals, and rotated forms.
    lists = 0 if spec.partition is None else 16
    codebooks = 8 + lists // 4 + 8 * bool(spec.transforms) if isinstance(spec.codec, PQ) else 0
    chosen = max(lists, codebooks) * min(rows, MIN_TRAINING_SAMPLE) * widest
    return rows * (copies * widest * 4 + LABEL_BYTES + 8) + chosen + 3 * spec.nlist * widest * 8


def encoding_memory(spec: IndexSpec, dim: int, block_rows: int) -> int:
    """Peak bytes that encoding one block of rows holds: the float32 rows, their projected form, residuals and
    codes.
    """
    widest = max(spec.stage_dims(dim))
    arrays = segment_arrays(Pipeline(spec, dim, "ip", 0), block_rows)
    codes = sum(arrays[name].nbytes for name in ("codes", "refine") if name in arrays)
    doubles = 2 * widest * 8 if spec.transforms else 0  # transforms multiply in float64
    return block_rows * (3 * widest * 4 + doubles + LABEL_BYTES) + codes


def grouping_memory(spec: IndexSpec, dim: int, n_rows: int, block_bytes: int) -> int:
    """Peak bytes of the last passes of a streamed build, which read `block_bytes` of codes at a time.

    They group codes by list, bring 4-bit codes into storage order (code_layout.py) and make the prescreen.
    """
    width = code_row_bytes(spec, dim)
    rows = min(n_rows, max(1, block_bytes // width))
    if spec.has_prescreen:
        rows = min(n_rows, prescreen_block_rows(spec.stage_dims(dim)[-1], block_bytes))
        prescreens = 2 * sum(
            array.nbytes for array in prescreen_arrays(rows, spec.stage_dims(dim)[-1]).values()
        )
        return rows * width + prescreens  # the last block's is there until the next one is made
    if spec.partition is None:
        return rows * width
    return rows * (2 * width + LABEL_BYTES + ORDER_BYTES * 3) + spec.nlist * ORDER_BYTES * 4


def temporary_bytes(spec: IndexSpec, dim: int, n_rows: int) -> int:
    """Bytes on disk that a streamed build needs beside the index: codes and lists in order of adding."""
    return 0 if spec.partition is None else n_rows * (code_row_bytes(spec, dim) + LABEL_BYTES)


def code_row_bytes(spec: IndexSpec, dim: int) -> int:
    """Bytes of the code of one row, as `Index.code_size`."""
    codec = Pipeline(spec, dim, "ip", 0).codec
    return int(codec.code_width * np.dtype(codec.code_dtype).itemsize)
