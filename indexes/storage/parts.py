"""Parts of an index folder: what each array file is counted under, and the bytes of the parts beforehand.

Figures are exact for integer ids. Headers of the .npy files are counted.
"""

from __future__ import annotations

from collections.abc import Mapping

from cluscomp.attributes.table import PREFIX
from cluscomp.indexes.segments.id_keys import KEYS, ROWS, key_specs
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.storage.deletions import deletions_spec
from cluscomp.indexes.storage.staging import HEADER_BYTES

COMMON_PARTS = {
    **dict.fromkeys(("ids", "ids_text", "ids_offsets", KEYS, ROWS), "ids"),
    "deleted": "tombstones",
}
"""Array that segments of every kind may have -> part; `StoredSegment.parts` says it of the others."""


def parameter_part(stage: str, parameter: str) -> str:
    """Part of the folder that an array of a trained stage is counted under."""
    if stage.startswith("transform"):
        return "rotation"
    return {"partition": "centroids", "refine": "refine", "pool": "pool", "words": "words"}.get(
        stage, "codebooks"
    )


def array_part(stage: str | None, array: str, segment: type[StoredSegment]) -> str:
    """Part of the folder that an array is counted under. stage: that it belongs to; None: to a segment, whose
    class is `segment`.
    """
    if stage is not None:
        return parameter_part(stage, array)
    if array.startswith(PREFIX):
        return "attributes"
    return COMMON_PARTS.get(array) or segment.part_of(array)


def part_bytes(
    segment: type[StoredSegment],
    arrays: Mapping[str, ArraySpec],
    n_rows: int,
    *,
    id_bytes: float = 0.0,
    deleted: int = 0,
) -> dict[str, int]:
    """Bytes on disk, by part as in `Index.nbytes()`, of one segment of n_rows rows with these arrays.

    segment: class of the segment. id_bytes: mean bytes of an id: 0 for consecutive integers (nothing stored),
    8 for other integers, and the mean UTF-8 length + 8 for texts.
    """
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        part = segment.part_of(name)
        sizes[part] = sizes.get(part, 0) + HEADER_BYTES + array.nbytes
    if id_bytes:
        keys = sum(HEADER_BYTES + spec.nbytes for spec in key_specs("<u8", n_rows).values())
        sizes["ids"] = round(2 * HEADER_BYTES + 8 + n_rows * id_bytes) + keys
    if deleted:
        sizes["tombstones"] = HEADER_BYTES + deletions_spec(n_rows, deleted).nbytes
    return sizes


def trained_bytes(pipeline: Pipeline) -> dict[str, int]:
    """Bytes on disk, by part, of the trained stages: they do not grow with the rows."""
    sizes: dict[str, int] = {}
    for name, stage in pipeline.stages().items():
        for parameter, array in stage.parameter_specs.items():
            part = parameter_part(name, parameter)
            sizes[part] = sizes.get(part, 0) + HEADER_BYTES + array.nbytes
    return sizes
