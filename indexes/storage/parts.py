"""Parts of an index folder: what the bytes of each array are counted under."""

from __future__ import annotations

SEGMENT_PARTS = {
    "codes": "codes",
    "offsets": "list_offsets",
    "positions": "positions",
    "doc_offsets": "doc_offsets",
    "lists": "list_numbers",
    "refine": "refine",
    "shadow_values": "shadow",
    "shadow_terms": "shadow",
    "shadow_frame": "shadow",
    "ids": "ids",
    "ids_text": "ids",
    "ids_offsets": "ids",
    "deleted": "tombstones",
}
"""Array of a segment -> part of the folder that it is counted under."""


def parameter_part(stage: str, parameter: str) -> str:
    """Part of the folder that an array of a trained stage is counted under."""
    if stage.startswith("transform"):
        return "rotation"
    return {"partition": "centroids", "refine": "refine"}.get(stage, "codebooks")


def file_part(name: str) -> str:
    """Part of the folder that an array file is counted under, from its name."""
    stage, array = name.split(".")[:2]
    return SEGMENT_PARTS[array] if stage.startswith("segment") else parameter_part(stage, array)
