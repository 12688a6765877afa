"""Where a training run keeps what it has finished: beside its output, until that is complete."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cluscomp import checks
from cluscomp.errors import OutputExistsError, UsageError
from cluscomp.folders import new_file, new_folder, write_json
from cluscomp.training.distributed import barrier, rank_and_size
from cluscomp.vocabulary import IF_EXISTS

if TYPE_CHECKING:
    from torch import Tensor

REPORT_NAME = "training.json"


def state_folder(target: Path) -> Path:
    """Where the run that will make `target` keeps its state."""
    target = target.absolute()
    return target.parent / f".{target.name}.cluscomp-training"


def prepare(target: Path, if_exists: str) -> None:
    """Check the output and its unfinished run by `if_exists`; removes an unfinished run under "replace".

    Raises UsageError, OutputExistsError.
    """
    checks.one_of("if_exists", if_exists, IF_EXISTS)
    state = state_folder(target)
    taken = target.exists() and not (target.is_dir() and not any(target.iterdir()))
    if taken and if_exists != "replace":
        raise OutputExistsError(
            f"{target} exists already; choose another path, or replace it with if_exists='replace'"
        )
    if taken and not (target / REPORT_NAME).is_file():
        raise OutputExistsError(f"{target} was not made by training and is not replaced; choose another path")
    if state.exists() and if_exists == "fail":
        raise OutputExistsError(
            f"there is an unfinished training run of {target}; go on with it (if_exists='resume') or begin "
            "anew (if_exists='replace')"
        )
    if if_exists == "replace":
        shutil.rmtree(state, ignore_errors=True)


class RunState:
    """Named results of a run; each is on disk as a whole or not at all.

    identity: JSON values that must be the same for a run to go on.
    Raises UsageError naming what differs from the unfinished run.
    """

    def __init__(self, target: Path, identity: dict[str, Any]) -> None:
        self.folder = state_folder(target)
        path = self.folder / "identity" / "identity.json"
        if not path.is_file() and rank_and_size()[0] == 0:
            with new_folder(path.parent, 0) as draft:
                write_json(draft / path.name, identity)
        barrier()
        before = json.loads(path.read_text(encoding="utf-8"))
        now = json.loads(json.dumps(identity))
        changed = [
            f"{name} was {before.get(name)!r} and is {now.get(name)!r}"
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        ]
        if changed:
            raise UsageError(
                f"the unfinished run of {target} had other settings ({'; '.join(changed)}); repeat them, or "
                "begin anew with if_exists='replace'"
            )

    def save(self, name: str, arrays: dict[str, Any], facts: dict[str, Any]) -> None:
        """Keep arrays (torch or NumPy) and JSON values under a name, in place of earlier ones."""
        from safetensors.numpy import save

        plain = {key: _plain(value) for key, value in arrays.items()}
        with new_folder(self.folder / name, sum(array.nbytes for array in plain.values())) as draft:
            with new_file(draft / "arrays.safetensors") as file:
                file.write(save(plain))
            write_json(draft / "facts.json", facts)

    def load(self, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """What was kept under the name, or None."""
        from safetensors.numpy import load_file

        folder = self.folder / name
        if not folder.is_dir():
            return None
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        return load_file(folder / "arrays.safetensors"), facts

    def remove(self) -> None:
        """Drop everything: the output is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _plain(value: Tensor | np.ndarray) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return np.asarray(value, order="C")
    return np.asarray(value.detach().cpu().numpy(), order="C")
