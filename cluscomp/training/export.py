"""The output folder: encoder/, codec/, training.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cluscomp.folders import new_folder, write_json
from cluscomp.quantization.learned import LearnedCodec
from cluscomp.training.checkpoint import REPORT_NAME

ENCODER, CODEC = "encoder", "codec"
_BYTES_PER_PARAMETER = 4


def export(output: Path, model: Any, codec: LearnedCodec, facts: dict[str, Any]) -> None:
    """Write the folder, all or nothing, in place of what stands there. facts: JSON values."""
    parameters = sum(p.numel() for p in model.parameters())
    with new_folder(output, _BYTES_PER_PARAMETER * parameters) as draft:
        model.save(str(draft / ENCODER))
        (draft / CODEC).mkdir()
        codec.write_into(draft / CODEC)
        write_json(draft / REPORT_NAME, facts)
