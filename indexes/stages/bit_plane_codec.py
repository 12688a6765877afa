"""Codecs whose rows are planes of bits, two factors that make scores of them, and an error bar."""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np

from cluscomp import native
from cluscomp.errors import CorruptIndexError, NotTrainedError
from cluscomp.indexes.keys.specs import CodecSpec
from cluscomp.indexes.stages.codec import CODES, CentredCodec, Codes, ListView, RowArray
from cluscomp.indexes.stages.kernel_codec import KernelRefiner
from cluscomp.indexes.stages.parameters import Parameters

FACTOR_BYTES = 10
"""Behind the bits of a row: two factors of float32 and an error bar of bfloat16."""
MOST_DIMS = 131072
MOVES = 40
"""Multiply-adds of the encoder for each dimension of several bits: six rounds of moves."""


class BitPlaneCodec(KernelRefiner, CentredCodec):
    """Codes of native.Rabitq; a subclass trains what makes their form. code_bytes: of the planes."""

    by_residual = True
    needs_training = True
    interleaved = True
    has_bars = True

    def __init__(self, spec: CodecSpec, dim: int, code_bytes: int) -> None:
        self.spec, self.dim = spec, dim
        self.arrays = {CODES: RowArray("|u1", code_bytes + FACTOR_BYTES)}
        self._form: native.Rabitq | None = None
        self._trained: Parameters = {}

    @abstractmethod
    def _made(self, trained: Parameters) -> native.Rabitq:
        """The form of these parameters, which are of `parameter_specs`."""

    def encode(self, x: np.ndarray) -> Codes:
        return self.encode_centred(x, x, "ip")

    def encode_centred(self, x: np.ndarray, whole: np.ndarray, metric: str) -> Codes:
        return {CODES: self.form.encode(x, whole, metric)}

    def decode(self, codes: Codes) -> np.ndarray:
        decoded: np.ndarray = self.form.decode(codes[CODES])
        return decoded

    def stored(self, codes: Codes) -> native.Codes:
        return native.Codes.rabitq(codes[CODES], self.form)

    def listed(self, lists: ListView) -> native.Codes:
        return native.Codes.rabitq(lists.codes[CODES], self.form, interleaved=True)

    def largest_error(self, codes: Codes) -> float:
        """Across the row, on which the factor is exact; a bar may have been rounded down to bfloat16."""
        bars = np.ascontiguousarray(codes[CODES][:, -2:]).view("<u2")  # none is negative: in their own order
        largest = float((bars.max(initial=0).astype("<u4") << 16).view("<f4"))
        return 1.01 * largest / self.form.bar * math.sqrt(max(self.dim - 1, 1))

    def score_error(self, queries: np.ndarray, largest: float, metric: str) -> np.ndarray:
        away = np.linalg.norm(queries - self.parameters()["mean"], axis=1)
        return (largest * (2 if metric == "l2" else 1) * away).astype(np.float32)

    @property
    def form(self) -> native.Rabitq:
        """What was trained as kernels take it."""
        if self._form is None:
            if not self._trained:
                raise NotTrainedError(f"{self.spec} has not been trained; call index.train(x) first")
            try:
                self._form = self._made(self._trained)  # once: all segments share it
            except ValueError as exc:  # arrays of a folder are not trusted
                raise CorruptIndexError(
                    f"{self.spec}: {exc}: the index is damaged; restore a copy or rebuild it"
                ) from exc
        return self._form

    def parameters(self) -> Parameters:
        return dict(self._trained)

    def load(self, parameters: Parameters) -> None:
        self._trained = {
            name: np.ascontiguousarray(parameters[name], dtype=spec.dtype)
            for name, spec in self.parameter_specs.items()
        }
        self._form = None
