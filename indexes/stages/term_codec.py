"""How weights of terms are stored, and what BM25 keeps of the documents that an index was trained with.

BM25 splits into what a word adds to a document (`saturation`, between 0 and 1, computed when the document is
added) and how rare the word is, which weighs the query. Both use the statistics of training: numbers of
documents and words, and how many documents held each word. Documents that are added later are weighed by the
same statistics, and a word that training has not seen counts as one that no document held.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from cluscomp.errors import (
    NotTrainedError,
    SaturatedValuesWarning,
    TooLargeError,
    UsageError,
)
from cluscomp.indexes.stages.codec import CODES, Codec, Codes, RowArray
from cluscomp.indexes.stages.cost import Cost, Shape
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters
from cluscomp.indexes.stages.term_spec import Sparse
from cluscomp.terms import inverse_document_frequency, saturation

DTYPES = {8: "|u1", 16: "<f2", 32: "<f4"}
_LARGEST_CODE = 255
_LARGEST_HALF = 65504.0


class TermCodec(Codec):
    """Stores one weight of one term; its position takes position_bytes more (sparse/postings.py).

    terms, term_offsets: names of the terms of training, UTF-8 one after the other. document_counts: documents
    that held each. totals: documents and words of training. scale: of whole numbers.
    """

    arrays: Mapping[str, RowArray]
    position_bytes = 1

    def __init__(self, spec: Sparse, dim: int) -> None:
        self.spec: Sparse = spec
        self.dim = dim
        self.dtype = DTYPES[spec.bits]
        self.arrays = {CODES: RowArray("|u1", self.position_bytes + np.dtype(self.dtype).itemsize)}
        self.needs_training = spec.bm25 or spec.bits == 8
        self._sizes = spec.sizes
        self._parameters: Parameters = {}
        self._rarity: np.ndarray | None = None

    def cost(self, shape: Shape) -> Cost:
        """Next to nothing besides the rows."""
        return Cost(add_row_bytes=40)

    @property
    def can_drift(self) -> bool:
        """Weights have no errors that health could compare."""
        return False

    # ---- what training learned ----

    @property
    def n_terms(self) -> int:
        """Terms of training: those of BM25, whose names and statistics are kept."""
        return self._sizes[0]

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        n, name_bytes = self._sizes
        if self.spec.bm25:
            return {
                "terms": ArraySpec("|u1", (name_bytes,)),
                "term_offsets": ArraySpec("<i4", (n + 1,)),
                "document_counts": ArraySpec("<i4", (n,)),
                "totals": ArraySpec("<i8", (2,)),
            }
        return {"scale": ArraySpec("<f4", (1,))} if self.spec.bits == 8 else {}

    def parameters(self) -> Parameters:
        return self._parameters

    def load(self, parameters: Parameters) -> None:
        """Raises UsageError for arrays that contradict each other."""
        if self.spec.bm25:
            offsets = parameters["term_offsets"]
            self._check_statistics(parameters)
            self._sizes = (len(offsets) - 1, len(parameters["terms"]))
            documents = int(parameters["totals"][0])
            # The last is that of a term which no document held.
            counts = np.append(parameters["document_counts"], 0)
            self._rarity = inverse_document_frequency(counts, documents)
        elif self.spec.bits == 8 and not parameters["scale"][0] > 0:
            raise UsageError(f"the scale is {parameters['scale'][0]}, but must be above 0")
        self._parameters = dict(parameters)

    def _check_statistics(self, parameters: Parameters) -> None:
        offsets, counts, totals = (parameters[name] for name in ("term_offsets", "document_counts", "totals"))
        if offsets[0] != 0 or offsets[-1] != len(parameters["terms"]) or (np.diff(offsets) < 0).any():
            raise UsageError(f"term_offsets must rise from 0 to {len(parameters['terms'])}")
        if totals.min() < 1 or counts.min(initial=0) < 0 or counts.max(initial=0) > totals[0]:
            raise UsageError(f"document_counts must be from 0 to {totals[0]}, and totals above 0")

    def learn_words(
        self, terms: np.ndarray, offsets: np.ndarray, counts: np.ndarray, totals: tuple[int, int]
    ) -> None:
        """Take over the statistics of BM25; see the class. totals: documents and words."""
        if not offsets[-1] < 1 << 31:
            raise TooLargeError(
                f"the words have {offsets[-1]} bytes together; at most {(1 << 31) - 1} can be kept"
            )
        arrays = (terms, offsets.astype(np.int32), counts.astype(np.int32), np.array(totals, dtype=np.int64))
        self.load(dict(zip(self.parameter_specs, arrays, strict=True)))

    def learn_scale(self, largest: float) -> None:
        """Take over the largest weight, for whole numbers."""
        self.load({"scale": np.array([largest / _LARGEST_CODE], dtype=np.float32)})

    def rarity(self, n_lists: int) -> np.ndarray:
        """What queries multiply the weights of terms 0 to n_lists - 1 with, (n_lists,) float32."""
        numbers = np.arange(n_lists)
        return self.query_weights(numbers, np.ones(n_lists, dtype=np.float32))

    # ---- weights ----

    @property
    def unit(self) -> float:
        """What a stored weight of 1 means."""
        if self.spec.bits != 8:
            return 1.0
        return 1 / _LARGEST_CODE if self.spec.bm25 else float(self._trained("scale")[0])

    def stored(self, weights: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Weights (N,) as they are stored. lengths: (N,) sum of the weights of the row of each.

        Raises TooLargeError beyond float16; warns of weights above the largest of training.
        """
        values = weights.astype(np.float64)
        if self.spec.bm25:
            documents, words = (int(total) for total in self._trained("totals"))
            values = saturation(values, lengths, words / documents, self.spec.k1, self.spec.b)
        if self.spec.bits == 8:
            return self._whole(values / self.unit)
        largest = float(values.max(initial=0))
        if self.spec.bits == 16 and largest > _LARGEST_HALF:
            raise TooLargeError(
                f"a weight is {largest:g}, the largest that 16 bits hold is {_LARGEST_HALF:g}"
            )
        return values.astype(self.dtype)

    def _whole(self, values: np.ndarray) -> np.ndarray:
        codes = np.maximum(np.rint(values), 1)
        beyond = int(np.count_nonzero(codes > _LARGEST_CODE))
        if beyond:
            warnings.warn(
                f"{beyond} of {len(values)} weights are above {self.unit * _LARGEST_CODE:g}, the largest "
                "that the 8 bits of this index hold, and are stored as that; build the index again, or with "
                "bits=16",
                SaturatedValuesWarning,
                stacklevel=4,
            )
        return np.minimum(codes, _LARGEST_CODE).astype(np.uint8)

    def query_weights(self, numbers: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(N,) float32 weights of query terms as stored weights are multiplied with. numbers: of terms of
        training; n_terms and above for others.
        """
        factors = weights.astype(np.float64) * self.unit
        if self.spec.bm25:
            self._trained("totals")
            assert self._rarity is not None
            factors *= self._rarity[np.minimum(numbers, self.n_terms)]
        return factors.astype(np.float32)

    def _trained(self, name: str) -> np.ndarray:
        if name not in self._parameters:
            raise NotTrainedError(
                f"the index {str(self.spec)!r} has not been trained; call index.train(rows) before"
            )
        return self._parameters[name]

    # ---- what codecs of vectors do ----

    def encode(self, x: np.ndarray) -> Codes:
        raise self._no_vectors()

    def decode(self, codes: Codes) -> np.ndarray:
        raise self._no_vectors()

    def scan(self, *args: Any, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        raise self._no_vectors()

    def _no_vectors(self) -> UsageError:
        return UsageError(f"{self.spec} stores weighted terms, not vectors")
