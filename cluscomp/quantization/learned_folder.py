"""The folder of a learned codec: codec.json and codec.safetensors, checked before anything is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.errors import (
    DTypeError,
    MalformedFileError,
    MissingInputError,
    NewerFormatError,
)
from cluscomp.folders import check_target

FORMAT, VERSION = "cluscomp-codec", 1
SETTINGS_NAME, ARRAYS_NAME = "codec.json", "codec.safetensors"
REQUIRED = ("rotation", "document_centroids", "query_centroids")
ADAPTER = ("query_adapter.weight", "query_adapter.bias")
MAX_SETTINGS_BYTES = 16 << 20


def check_codec_target(target: Path, if_exists: str) -> None:
    """Raise OutputExistsError unless `target` is free, empty, or a codec folder that may be replaced."""
    check_target(target, if_exists, "a codec", lambda folder: (folder / SETTINGS_NAME).is_file())


def read_settings(folder: Path) -> dict[str, Any]:
    """codec.json of a codec folder, checked field by field; raises what `LearnedCodec.load` does."""
    if not folder.is_dir():
        fault = "is a file" if folder.exists() else "does not exist"
        raise MissingInputError(f"codec folder {folder} {fault}; pass the output of cluscomp train repconc")
    path = folder / SETTINGS_NAME
    if not path.is_file():
        raise MissingInputError(
            f"{folder} has no {SETTINGS_NAME}: it is no codec of cluscomp, or part of one"
        )
    with path.open("rb") as file:
        raw = file.read(MAX_SETTINGS_BYTES + 1)
    try:
        settings = json.loads(raw) if len(raw) <= MAX_SETTINGS_BYTES else None
    except (ValueError, RecursionError) as exc:
        raise MalformedFileError(f"{path} is not valid JSON ({exc}); restore a copy or train again") from exc
    if not isinstance(settings, dict) or settings.get("format") != FORMAT:
        raise MalformedFileError(f"{path} does not say format {FORMAT!r}: it belongs to another tool")
    _check_fields(path, settings)
    return settings


def _check_fields(path: Path, settings: dict[str, Any]) -> None:
    wanted: dict[str, type] = {
        "version": int, "dim": int, "m": int, "nbits": int, "metric": str, "kind": str, "provenance": dict,
    }  # fmt: skip
    for name, kind in wanted.items():
        if type(settings.get(name)) is not kind:
            raise MalformedFileError(
                f"{path}: {name!r} must be of type {kind.__name__}, "
                f"but is {settings.get(name, 'missing')!r:.60}"
            )
    if settings["version"] > VERSION:
        raise NewerFormatError(
            f"{path} has version {settings['version']}, but this cluscomp reads version {VERSION}; upgrade it"
        )


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The known arrays of the file; names, types and shapes are looked at before anything is read."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise MissingInputError(f"{path} is missing: the codec folder was not copied as a whole")
    try:
        with safe_open(path, "np") as file:
            names = set(file.keys())
            _check_names(path, names)
            for name in names:
                dtype = file.get_slice(name).get_dtype()
                if dtype != "F32":
                    raise DTypeError(f"{path}: {name} is {dtype}, but F32 is needed")
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as exc:
        raise MalformedFileError(
            f"{path} is no whole safetensors file ({exc}); it is truncated, another tool's file or a git-LFS "
            "pointer: restore a copy or train again"
        ) from exc


def _check_names(path: Path, names: set[str]) -> None:
    missing, surplus = set(REQUIRED) - names, names - set(REQUIRED) - set(ADAPTER)
    if missing or surplus or len(names & set(ADAPTER)) == 1:
        raise MalformedFileError(
            f"{path} holds {sorted(names)}, but {sorted(REQUIRED)} are needed, and {' and '.join(ADAPTER)} "
            "may stand beside them, both or neither"
        )
