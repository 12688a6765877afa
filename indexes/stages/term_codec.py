"""How weights of terms are stored, and what BM25 keeps of the documents that an index was trained with.

    Sparse                  weights as they come, float32
    Sparse(bits=16)         float16
    Sparse(bits=8)          whole numbers of 255ths of the largest weight of training
    Sparse(bm25,k1=1.5,b=0.75,bits=8)   weights are counts of words, and BM25 makes the weights of them

BM25 splits into what a word adds to a document (`saturation`, between 0 and 1, computed when the document is
added) and how rare the word is, which weighs the query. Both use the statistics of training: numbers of
documents and words, and how many documents held each word. Documents that are added later are weighed by the
same statistics, and a word that training has not seen counts as one that no document held.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from cluscomp import checks
from cluscomp.errors import (
    CorruptIndexError,
    NotTrainedError,
    SaturatedValuesWarning,
    TooLargeError,
    UsageError,
)
from cluscomp.indexes.keys.forms import Form
from cluscomp.indexes.keys.specs import CodecSpec, IndexSpec
from cluscomp.indexes.stages.codec import CODES, Codec, Codes, RowArray
from cluscomp.indexes.stages.cost import Cost, Shape
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters
from cluscomp.terms import inverse_document_frequency, saturation
from cluscomp.vocabulary import EncoderKind

K1, B, BITS = 1.5, 0.75, 32
DTYPES = {8: "|u1", 16: "<f2", 32: "<f4"}
_LARGEST_CODE = 255
_LARGEST_HALF = 65504.0


@dataclass(frozen=True)
class Sparse(CodecSpec):
    """Weighted terms in an inverted file, searched exactly.

    bm25: weights are counts, and BM25 with k1 and b weighs them. bits: of a stored weight. sizes: terms of
    training and bytes of their names, which the key does not say.
    """

    bm25: bool = False
    k1: float = K1
    b: float = B
    bits: int = BITS
    sizes: tuple[int, int] = field(default=(0, 0), compare=False, repr=False)

    kind: ClassVar[str] = "terms"  # type: ignore[misc]
    stands_alone: ClassVar[bool] = True  # type: ignore[misc]

    @property
    def encoder_kinds(self) -> tuple[EncoderKind, ...]:  # type: ignore[override]
        """BM25 weighs words itself; without it, weights are those of a model."""
        return ("words",) if self.bm25 else ("sparse",)

    @property
    def own_encoder(self) -> str | None:  # type: ignore[override]
        """What splits texts into words."""
        return "words" if self.bm25 else None

    def __str__(self) -> str:
        settings = ["bm25"] if self.bm25 else []
        if self.bm25:
            settings += [f"k1={self.k1:g}"] if self.k1 != K1 else []
            settings += [f"b={self.b:g}"] if self.b != B else []
        settings += [f"bits={self.bits}"] if self.bits != BITS else []
        return f"Sparse({','.join(settings)})" if settings else "Sparse"

    def check_metric(self, metric: str) -> None:
        if metric != "ip":
            raise UsageError(f"{self}: terms are compared by inner products, metric 'ip', not by {metric!r}")

    def bind(self, spec: IndexSpec, shapes: Mapping[str, tuple[int, ...]], where: str) -> IndexSpec:
        """The key with the sizes that the files of an index tell of."""
        if not self.bm25:
            return spec
        offsets, names = shapes.get("codec.term_offsets.npy", ()), shapes.get("codec.terms.npy", ())
        if len(offsets) != 1 or len(names) != 1 or offsets[0] < 1:
            raise CorruptIndexError(
                f"{where} does not list codec.terms.npy and codec.term_offsets.npy with their lengths, which "
                f"{self} needs; the index is damaged: restore a copy or rebuild it"
            )
        return replace(spec, codec=replace(self, sizes=(offsets[0] - 1, names[0])))


def parse_sparse(text: str | None) -> Sparse:
    """The spec of the settings between the parentheses, or of none. UsageError for unknown or wrong ones."""
    given: dict[str, Any] = {}
    for part in (text or "").split(",") if text else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name in given:
            raise UsageError(f"Sparse({text}): {name!r} stands there twice")
        given[name] = _setting(str(text), name, value if equals else None)
    spec = Sparse(**given)
    if not spec.bm25 and ("k1" in given or "b" in given):
        raise UsageError(f"Sparse({text}): k1 and b belong to BM25; write Sparse(bm25,{text})")
    return spec


def _setting(text: str, name: str, value: str | None) -> Any:
    where = f"{name} in Sparse({text})"
    if name == "bm25" and value is None:
        return True
    if name == "bits":
        if value not in ("8", "16", "32"):
            raise UsageError(f"{where} must be 8, 16 or 32, but is {value!r}")
        return int(value)
    if name not in ("k1", "b"):
        raise UsageError(f"Sparse({text}): {name!r} is no setting; known are bm25, k1=, b=, bits=")
    if value is None or not re.fullmatch(r"\d*\.?\d+(e-?\d+)?", value):
        raise UsageError(f"{where} must be a number, but is {value!r}")
    return checks.number(where, float(value), low=0, high=1 if name == "b" else None)


SPARSE_FORM = Form(
    "codec",
    r"Sparse(?:\(([^()]*)\))?",
    "Sparse(bm25)",
    parse_sparse,
    "Sparse(bm25,k1=x,b=x,bits=n)",
    texts=True,
    rerank=False,
    meaning="weighted terms in an inverted file: words by BM25, or learned sparse vectors",
)


class TermCodec(Codec):
    """Stores one weight of one term; its position takes one byte more (sparse/postings.py).

    terms, term_offsets: names of the terms of training, UTF-8 one after the other. document_counts: documents
    that held each. totals: documents and words of training. scale: of whole numbers.
    """

    arrays: Mapping[str, RowArray]

    def __init__(self, spec: Sparse, dim: int) -> None:
        self.spec: Sparse = spec
        self.dim = dim
        self.dtype = DTYPES[spec.bits]
        self.arrays = {CODES: RowArray("|u1", 1 + np.dtype(self.dtype).itemsize)}
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
