"""Where a training stands: weights, the optimizer's moments and the step, so that a killed one goes on.

A folder beside the output: state.json names the step's two safetensors files and is replaced last, so that a
reader finds one whole checkpoint at any time.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluscomp.errors import CorruptIndexError, UsageError, require
from cluscomp.training.checkpoint import state_folder

STATE_NAME = "state.json"


class Checkpoint:
    """The unfinished training of `output`.

    settings: JSON values that decide the result; a checkpoint of others is refused.
    """

    def __init__(self, output: Path, settings: Mapping[str, Any]) -> None:
        self.folder = state_folder(output)
        self.settings = settings

    def save(self, step: int, losses: list[float], model: Any, optimizer: Any) -> None:
        """Write the state after `step` steps, and remove the one before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        save_file = require("safetensors.torch", extra="train", why="training").save_file
        save_file(_contiguous(model.state_dict()), self.folder / f"model-{step}.safetensors")
        save_file(_moments(optimizer), self.folder / f"optimizer-{step}.safetensors")
        state = {"settings": dict(self.settings), "step": step, "losses": losses}
        _replace(self.folder / STATE_NAME, json.dumps(state, indent=2) + "\n")
        for path in self.folder.glob("*.safetensors"):
            if not path.stem.endswith(f"-{step}"):
                path.unlink()

    def load(self, model: Any, optimizer: Any) -> tuple[int, list[float]]:
        """Put the stored state into model and optimizer; returns the step and the losses, (0, []) if none is
        stored. Raises UsageError (other settings), CorruptIndexError.
        """
        path = self.folder / STATE_NAME
        if not path.is_file():
            return 0, []
        load_file = require("safetensors.torch", extra="train", why="training").load_file
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            self._check(state["settings"])
            step = int(state["step"])
            model.load_state_dict(load_file(self.folder / f"model-{step}.safetensors"))
            _restore(optimizer, load_file(self.folder / f"optimizer-{step}.safetensors"))
            return step, [float(loss) for loss in state["losses"]]
        except (OSError, KeyError, TypeError, RuntimeError, json.JSONDecodeError) as exc:
            raise CorruptIndexError(
                f"the checkpoint {self.folder} cannot be read ({exc}); start again with if_exists='replace'"
            ) from exc

    def remove(self) -> None:
        """Remove what is stored."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check(self, stored: Mapping[str, Any]) -> None:
        other = [name for name in self.settings if stored.get(name) != self.settings[name]]
        if other:
            parts = [f"{name} {stored.get(name)!r} there, {self.settings[name]!r} here" for name in other]
            raise UsageError(
                f"the checkpoint {self.folder} has other settings ({'; '.join(parts)}); "
                "give the same ones, or start again with if_exists='replace'"
            )


def _contiguous(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def _moments(optimizer: Any) -> dict[str, Any]:
    """The optimizer's tensors as "number of the parameter.name"."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": value for i, values in state.items() for name, value in values.items()}


def _restore(optimizer: Any, tensors: Mapping[str, Any]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
