"""Training encoders together with the codec of their vectors (torch is imported when something is used)."""

from __future__ import annotations

from typing import Any

_NAMES = {
    "train_repconc": "cluscomp.training.repconc.train",
    "TopicBatches": "cluscomp.training.repconc.tas_balanced",
    "load_training_set": "cluscomp.training.training_set",
    "stop_processes": "cluscomp.training.distributed",
}

__all__ = ["RepCONCLoss", *_NAMES]


def __getattr__(name: str) -> Any:
    import importlib

    if name == "RepCONCLoss":
        from cluscomp.training.trainer_loss import repconc_loss_class

        return repconc_loss_class()
    if name not in _NAMES:
        raise AttributeError(f"module 'cluscomp.training' has no attribute {name!r}")
    return getattr(importlib.import_module(_NAMES[name]), name)
