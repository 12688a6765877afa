"""The output folder: encoder/, codec/, training.json."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluscomp.files import atomic_json
from cluscomp.folders import new_folder
from cluscomp.quantization.learned import LearnedCodec
from cluscomp.training.checkpoint import REPORT_NAME

ENCODER, CODEC = "encoder", "codec"
_BYTES_PER_PARAMETER = 4


@contextmanager
def _no_bars() -> Iterator[None]:
    """Hold back transformers' own progress bars."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def export(output: Path, model: Any, codec: LearnedCodec, facts: dict[str, Any]) -> None:
    """Write the folder, all or nothing, in place of what stands there. facts: JSON values."""
    parameters = sum(p.numel() for p in model.parameters())
    with new_folder(output, _BYTES_PER_PARAMETER * parameters) as draft:
        with _no_bars():
            model.save(str(draft / ENCODER))
        (draft / CODEC).mkdir()
        codec.write_into(draft / CODEC)
        atomic_json(draft / REPORT_NAME, facts)
