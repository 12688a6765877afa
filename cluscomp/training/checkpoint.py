"""Where a training run keeps what it has finished: beside its output, until that is complete."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cluscomp import checks
from cluscomp.errors import CorruptIndexError, OutputExistsError, UsageError, require
from cluscomp.files import atomic_path, real_path, require_free
from cluscomp.folders import exists_already, is_free
from cluscomp.resume import Record
from cluscomp.training.distributed import barrier
from cluscomp.vocabulary import IF_EXISTS

if TYPE_CHECKING:
    from torch import Tensor

REPORT_NAME = "training.json"
_REMEDY = "free some space and go on with if_exists='resume'"


def state_folder(target: Path) -> Path:
    """Where the run that will make `target` keeps its state."""
    target = real_path(target)
    return target.parent / f".{target.name}.cluscomp-training"


def check_output(target: Path, if_exists: str) -> None:
    """Check the output and its unfinished run by `if_exists`. Raises UnknownKeyError, OutputExistsError."""
    checks.one_of("if_exists", if_exists, IF_EXISTS)
    if not is_free(real_path(target)):
        if not (target / REPORT_NAME).is_file():
            raise OutputExistsError(
                f"{target} was not made by training and is not replaced; choose another path"
            )
        if if_exists != "replace":
            raise exists_already(target)
    if if_exists == "fail" and state_folder(target).exists():
        raise OutputExistsError(
            f"there is an unfinished training run of {target}; go on with it (if_exists='resume') or begin "
            "anew (if_exists='replace')"
        )


def prepare(target: Path, if_exists: str) -> None:
    """`check_output`; under "replace" an unfinished run is removed."""
    check_output(target, if_exists)
    if if_exists == "replace":
        shutil.rmtree(state_folder(target), ignore_errors=True)


class RunState:
    """Named results of a run; each is on disk as a whole or not at all.

    identity: JSON values that must be the same for a run to go on.
    Raises UsageError naming what differs from the unfinished run.
    """

    def __init__(self, target: Path, identity: Mapping[str, Any]) -> None:
        self.folder = state_folder(target)
        self._record = Record(self.folder / "state.jsonl", identity)
        barrier()  # so that no process finds what another has saved since
        difference = self._record.difference()
        if difference is not None:
            raise UsageError(
                f"the unfinished run of {target} had other settings ({difference}); repeat them, or begin "
                "anew with if_exists='replace'"
            )

    def save(self, name: str, arrays: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Keep arrays (torch or NumPy) and JSON values under a name, in place of earlier ones.

        Raises DiskFullError.
        """
        write = require("safetensors.torch", extra="train", why="training").save_file
        tensors = {key: _plain(value) for key, value in arrays.items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}-{secrets.token_hex(4)}.safetensors"
        require_free(self.folder, sum(tensor.nbytes for tensor in tensors.values()), path, _REMEDY)
        with atomic_path(path) as draft:
            write(tensors, draft)
        self._record.finish(name, {"arrays": path.name, **facts})
        for other in self.folder.glob(f"{name}-*.safetensors"):
            if other != path:
                other.unlink()

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What was kept under the name, or None. Raises CorruptIndexError."""
        library = require("safetensors.torch", extra="train", why="training")
        damaged = require("safetensors", extra="train", why="training").SafetensorError
        self._record.reload()
        facts = self._record.done(name)
        if facts is None:
            return None
        try:
            return library.load_file(self.folder / facts["arrays"]), facts
        except (OSError, KeyError, TypeError, damaged) as exc:
            raise CorruptIndexError(
                f"the checkpoint {self.folder} cannot be read ({exc}); start again with if_exists='replace'"
            ) from exc

    def remove(self) -> None:
        """Drop everything: the output is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _plain(value: Tensor | np.ndarray) -> Tensor:
    """A tensor on the CPU that shares its memory with no other, as the format asks for."""
    import torch

    if isinstance(value, np.ndarray):
        return torch.tensor(value)
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)
