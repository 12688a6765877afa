"""Codecs that keep every value of a row: float32, float16 and 8-bit scalar codes."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.errors import InputError
from cluscomp.indexes.keys.forms import Form
from cluscomp.indexes.keys.specs import CodecSpec
from cluscomp.indexes.stages.codec import CODES, Codes, ListView, RowArray
from cluscomp.indexes.stages.cost import Cost, Shape
from cluscomp.indexes.stages.faiss_parts import faiss_metric
from cluscomp.indexes.stages.ivf import Ivf
from cluscomp.indexes.stages.kernel_codec import KernelRefiner
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters
from cluscomp.progress import Progress

FLOAT16_MAX = 65504.0


@dataclass(frozen=True)
class Flat(CodecSpec):
    """float32 values as they are. shadow: without lists, 8-bit codes beside them make exact search fast."""

    shadow: bool = True
    dtype = "<f4"

    def __str__(self) -> str:
        return "Flat" if self.shadow else "Flat(noshadow)"

    @property
    def has_prescreen(self) -> bool:  # type: ignore[override]
        """shadow, as keys name it."""
        return self.shadow

    def without_prescreen(self) -> Flat:
        return Flat()

    def in_rerank(self) -> str:
        return "RFlat"


@dataclass(frozen=True)
class SQfp16(CodecSpec):
    """float16 values. shadow: as in Flat."""

    shadow: bool = False
    dtype = "<f2"

    def __str__(self) -> str:
        return "SQfp16(shadow)" if self.shadow else "SQfp16"

    @property
    def has_prescreen(self) -> bool:  # type: ignore[override]
        """shadow, as keys name it."""
        return self.shadow

    def without_prescreen(self) -> SQfp16:
        return SQfp16()


@dataclass(frozen=True)
class SQ8(CodecSpec):
    """One byte a value, uniform between the minimum and maximum of its dimension."""

    def __str__(self) -> str:
        return "SQ8"


FLAT_FORMS = (
    Form("codec", r"Flat", "Flat", Flat, "Flat"),
    Form(
        "codec",
        r"Flat\(noshadow\)",
        "Flat(noshadow)",
        lambda: Flat(False),
        "Flat(noshadow)",
        rerank=False,
        meaning="float32 values without the 8-bit codes that make exact search fast",
    ),
    Form(
        "refine",
        r"RFlat",
        "RFlat",
        Flat,
        "RFlat",
        meaning="the best candidates are scored again by their float32 values, as Refine(Flat) does",
    ),
)
HALF_FORMS = (
    Form("codec", r"SQfp16", "SQfp16", SQfp16, "SQfp16"),
    Form(
        "codec",
        r"SQfp16\(shadow\)",
        "SQfp16(shadow)",
        lambda: SQfp16(True),
        "SQfp16(shadow)",
        rerank=False,
        meaning="float16 values, with 8-bit codes beside them that make exact search fast",
    ),
    Form("refine", r"RSQfp16", "Refine(SQfp16)", SQfp16),
)
SQ8_FORMS = (
    Form("codec", r"SQ8", "SQ8", SQ8, "SQ8"),
    Form("refine", r"RSQ8", "Refine(SQ8)", SQ8),
)


class FloatCodec(KernelRefiner):
    """Values stored as float32 or float16."""

    def __init__(self, spec: Flat | SQfp16, dim: int) -> None:
        self.spec = spec
        self.dim = dim
        self.code_dtype = spec.dtype
        self.exact = spec.dtype == "<f4"
        self.scan_rate = 88e9 if self.exact else 15e9
        self.arrays = {CODES: RowArray(spec.dtype, dim)}

    def cost(self, shape: Shape) -> Cost:
        """Absolute values, to see whether rows fit float16; float32 rows are their own codes."""
        return Cost(add_row_bytes=0 if self.code_dtype == "<f4" else 4 * self.dim)

    def encode(self, x: np.ndarray) -> Codes:
        if self.code_dtype == "<f4":
            return {CODES: x}
        largest = float(np.abs(x).max(initial=0.0))
        if largest > FLOAT16_MAX:
            raise InputError(
                f"value {largest:g} does not fit float16 (largest 65504); scale the rows, or use Flat or SQ8"
            )
        return {CODES: x.astype(np.float16)}

    def decode(self, codes: Codes) -> np.ndarray:
        return codes[CODES].astype(np.float32, copy=False)

    def stored(self, codes: Codes) -> native.Codes:
        return native.Codes.floats(codes[CODES])

    def listed(self, lists: ListView) -> native.Codes:
        rows, prescreen = lists.codes[CODES], lists.prescreen
        return self.stored(lists.codes) if prescreen is None else prescreen.over(rows)

    def to_faiss(self, faiss: ModuleType, metric: str) -> Any:
        if self.code_dtype == "<f4":
            return faiss.IndexFlat(self.dim, faiss_metric(faiss, metric))
        kind = faiss.ScalarQuantizer.QT_fp16
        scalar = faiss.IndexScalarQuantizer(self.dim, kind, faiss_metric(faiss, metric))
        scalar.is_trained = True
        return scalar

    def to_faiss_lists(self, faiss: ModuleType, partition: Ivf, metric: str) -> Any:
        size = (partition.to_faiss(faiss), self.dim, partition.nlist)
        if self.code_dtype == "<f4":
            lists = faiss.IndexIVFFlat(*size, faiss_metric(faiss, metric))
        else:
            lists = _scalar_lists(faiss, size, faiss.ScalarQuantizer.QT_fp16, metric)
        lists.is_trained = True
        return lists


class ScalarCodec(KernelRefiner):
    """One byte a value: vmin + (code + 0.5) / 255 * vdiff, per dimension."""

    needs_training = True

    def __init__(self, spec: CodecSpec, dim: int) -> None:
        from cluscomp.quantization.scalar import ScalarQuantizer8

        self.spec = spec
        self.dim = dim
        self.arrays = {CODES: RowArray("|u1", dim)}
        self.codewords = 256
        self.quantizer = ScalarQuantizer8(dim)

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        self.quantizer.train_rows(x, progress)

    def cost(self, shape: Shape) -> Cost:
        """Rows scaled to their range; the ranges themselves are read off block by block."""
        return Cost(add_row_bytes=8 * self.dim)

    def encode(self, x: np.ndarray) -> Codes:
        return {CODES: self.quantizer.encode(x)}

    def decode(self, codes: Codes) -> np.ndarray:
        return self.quantizer.decode(codes[CODES])

    def stored(self, codes: Codes) -> native.Codes:
        return native.Codes.sq8(codes[CODES], self.quantizer.vmin, self.quantizer.vdiff)

    def to_faiss(self, faiss: ModuleType, metric: str) -> Any:
        kind = faiss.ScalarQuantizer.QT_8bit
        return self._with_ranges(
            faiss, faiss.IndexScalarQuantizer(self.dim, kind, faiss_metric(faiss, metric))
        )

    def to_faiss_lists(self, faiss: ModuleType, partition: Ivf, metric: str) -> Any:
        size = (partition.to_faiss(faiss), self.dim, partition.nlist)
        return self._with_ranges(faiss, _scalar_lists(faiss, size, faiss.ScalarQuantizer.QT_8bit, metric))

    def _with_ranges(self, faiss: ModuleType, scalar: Any) -> Any:
        ranges = np.concatenate([self.quantizer.vmin, self.quantizer.vdiff])
        faiss.copy_array_to_vector(ranges, scalar.sq.trained)
        scalar.is_trained = True
        return scalar

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        return {"vmin": ArraySpec("<f4", (self.dim,)), "vdiff": ArraySpec("<f4", (self.dim,))}

    def parameters(self) -> Parameters:
        return (
            {"vmin": self.quantizer.vmin, "vdiff": self.quantizer.vdiff} if self.quantizer.is_trained else {}
        )

    def load(self, parameters: Parameters) -> None:
        self.quantizer = type(self.quantizer).from_ranges(parameters["vmin"], parameters["vdiff"])


def _scalar_lists(faiss: ModuleType, size: tuple[Any, int, int], kind: Any, metric: str) -> Any:
    """Faiss lists of scalar codes of the rows, not of residuals. size: quantizer, dim, nlist."""
    return faiss.IndexIVFScalarQuantizer(*size, kind, faiss_metric(faiss, metric), False)
