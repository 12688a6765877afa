"""Reading an adapter folder: factors of one module at a time, straight from the mapped file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.arrays import require_finite, to_float32
from cluscomp.errors import DimensionError, EmptyInputError, InputError, MalformedFileError, MissingInputError
from cluscomp.inputs.files import require_file
from cluscomp.lora.config import AdapterConfig, read_config

WEIGHTS_NAME = "adapter_model.safetensors"
PICKLED_NAME = "adapter_model.bin"
PREFIX = "base_model.model."
# bfloat16 travels as its bits, as everywhere behind the array gate.
DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "F64": np.dtype("<f8"),
}
_NAME = re.compile(r"(?P<module>.+)\.(?:lora_(?P<side>[AB])\.weight|lora_embedding_(?P<embedding>[AB]))")


@dataclass(frozen=True)
class Tensor:
    """Where a matrix lies in the file."""

    dtype: str
    shape: tuple[int, int]
    offset: int


@dataclass(frozen=True)
class Module:
    """The two factors of one module: A (r, d_in) and B (d_out, r)."""

    name: str
    a: Tensor
    b: Tensor
    is_embedding: bool

    @property
    def rank(self) -> int:
        """Number of rank units."""
        return self.a.shape[0]

    @property
    def widths(self) -> tuple[int, int]:
        """(d_in, d_out)."""
        return self.a.shape[1], self.b.shape[0]


@dataclass(frozen=True)
class Adapter:
    """An adapter folder that has been checked; modules by name, in the order of the file."""

    config: AdapterConfig
    file: Path
    modules: Mapping[str, Module]

    def units(self, module: Module, weight: float) -> np.ndarray:
        """Rank units (r, d_in + d_out) float32: row i of A beside weight * scale * column i of B."""
        d_in, d_out = module.widths
        units = np.empty((module.rank, d_in + d_out), np.float32)
        units[:, :d_in] = self._read(module.a)
        units[:, d_in:] = self._read(module.b).T
        require_finite(units, name=f"{self.config.path}, module {module.name}, rank unit")
        units[:, d_in:] *= np.float64(weight * self.config.scale(module.name))
        require_finite(units, name=f"{self.config.path}, module {module.name}, scaled rank unit")
        return units

    def _read(self, tensor: Tensor) -> np.ndarray:
        dtype = DTYPES[tensor.dtype]
        mapped = np.memmap(self.file, dtype=dtype, mode="r", offset=tensor.offset, shape=tensor.shape)
        return to_float32(mapped)


def open_adapter(folder: str | Path) -> Adapter:
    """Check an adapter folder as PEFT saves it; nothing but headers is read.

    Raises MissingInputError, MalformedFileError (corrupt, truncated, or LFS pointer), InputError (not plain
    LoRA, pickled weights), DimensionError (factors that do not fit each other or the configuration),
    EmptyInputError (no factors).
    """
    folder = checks.path("folder", folder)
    if not folder.is_dir():
        raise MissingInputError(f"{folder} is no adapter folder (adapter_config.json, {WEIGHTS_NAME})")
    config = read_config(folder)
    file = folder / WEIGHTS_NAME
    if not file.exists() and (folder / PICKLED_NAME).exists():
        raise InputError(
            f"{folder} has its weights in {PICKLED_NAME}, a pickle, which can run code and is never read; "
            "convert it: load it with PEFT and save_pretrained(..., safe_serialization=True)"
        )
    require_file(file)
    tensors = _read_header(file)
    return Adapter(config, file, _pair_up(folder, config, tensors))


def _read_header(file: Path) -> dict[str, Tensor]:
    """Tensors by name; the safetensors library checks header, lengths and overlaps first."""
    import safetensors

    try:
        with safetensors.safe_open(file, framework="np"):
            pass
    except (safetensors.SafetensorError, OSError) as exc:
        raise MalformedFileError(
            f"{file} is no intact safetensors file ({exc}); copy or save it again"
        ) from None
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return {name: _tensor(file, name, entry, 8 + length) for name, entry in header.items()}


def _tensor(file: Path, name: str, entry: dict[str, Any], start: int) -> Tensor:
    shape, dtype = entry["shape"], entry["dtype"]
    if _NAME.fullmatch(name) is None:
        raise InputError(
            f"{file} holds the tensor {name!r}, which is no factor of a LoRA module and would be lost; "
            "merge adapters that consist of lora_A and lora_B alone"
        )
    if dtype not in DTYPES:
        raise MalformedFileError(
            f"{file}: {name} has dtype {dtype}, but one of {', '.join(DTYPES)} is needed"
        )
    if len(shape) != 2 or 0 in shape:
        raise DimensionError(
            f"{file}: {name} has shape {shape}, but only matrices (linear, embedding) can merge"
        )
    return Tensor(dtype, (shape[0], shape[1]), start + entry["data_offsets"][0])


def _pair_up(folder: Path, config: AdapterConfig, tensors: dict[str, Tensor]) -> dict[str, Module]:
    sides: dict[str, dict[str, Tensor]] = {}
    embeddings = set()
    for name, tensor in tensors.items():
        match = _NAME.fullmatch(name)
        assert match is not None  # _tensor has refused the others
        module = match["module"].removeprefix(PREFIX)
        sides.setdefault(module, {})[match["side"] or match["embedding"]] = tensor
        if match["embedding"]:
            embeddings.add(module)
    if not sides:
        raise EmptyInputError(f"{folder} holds no LoRA factors; was it trained and saved?")
    return {name: _module(folder, config, name, pair, name in embeddings) for name, pair in sides.items()}


def _module(
    folder: Path, config: AdapterConfig, name: str, pair: dict[str, Tensor], is_embedding: bool
) -> Module:
    if len(pair) != 2:
        have, lacks = ("A", "B") if "A" in pair else ("B", "A")
        raise MalformedFileError(
            f"{folder}: module {name} has lora_{have} but no lora_{lacks}; save it again"
        )
    module = Module(name, pair["A"], pair["B"], is_embedding)
    want = config.module_rank(name)
    if not module.a.shape[0] == module.b.shape[1] == want:
        raise DimensionError(
            f"{folder}: module {name} has A of shape {module.a.shape} and B of shape {module.b.shape}, but "
            f"adapter_config.json gives it rank {want}; do configuration and weights belong together?"
        )
    return module
