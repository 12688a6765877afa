"""Codecs: how rows are stored, and how stored rows are scored.

| codec  | bytes a row         | trained | codes of an IVF list                            |
|--------|---------------------|---------|-------------------------------------------------|
| Flat   | 4 d                 | no      | the rows                                        |
| SQfp16 | 2 d                 | no      | the rows                                        |
| SQ8    | d                   | yes     | the rows                                        |
| SQ4    | ceil(d / 2)         | yes     | residuals to the list's centroid                |
| PQ     | ceil(m * nbits / 8) | yes     | residuals to the list's centroid (IVFADC)       |

For the metrics ip and cosine, PQ keeps scores rather than rows: codes and codebooks are those of the
score-aware loss (quantization/score_aware.py), for l2 the nearest.

Source of the residual form: Jegou, Douze, Schmid, "Product quantization for nearest neighbor search", 2011.

A codec has the attributes of `Codec`. To add one: a spec and a form in key.py, a class here with the native
scan it uses, a line in `CODECS`, and its faiss counterpart in faiss_bridge.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cluscomp import native
from cluscomp.clustering.blocks import Progress, Ticker
from cluscomp.errors import InputError, NotTrainedError
from cluscomp.indexes.key import PQ, SQ4, SQ8, CodecSpec, Flat, RepCONC, SQfp16
from cluscomp.indexes.parameters import ArraySpec, Parameters
from cluscomp.indexes.shadow import Shadow, search_shadow

PQ_ITERATIONS = 25
FLOAT16_MAX = 65504.0


@dataclass(frozen=True)
class ListView:
    """Stored rows of one segment as a scan reads them.

    codes: (n, width) in storage order. offsets: (nlist + 1,) int64 row ranges of the lists. positions: (n,)
    int32 or int64 position of each stored row, None where storage order is position order. skip: (n,) uint8
    by storage order, 1 = deleted, or None. coarse: (nlist, d) float32 centroids of residual codes, or None.
    shadow: of float rows in one list, or None.
    """

    codes: np.ndarray
    offsets: np.ndarray
    positions: np.ndarray | None
    skip: np.ndarray | None
    coarse: np.ndarray | None
    shadow: Shadow | None = None


class Codec(Protocol):
    """One form of storage for rows of dim `dim`.

    code: dtype and width of one code row. by_residual: codes of a partitioned index are residuals.
    interleaved: codes are stored in the order that layout.py describes.
    """

    spec: CodecSpec
    dim: int
    code_dtype: str
    code_width: int
    by_residual: bool
    interleaved: bool
    needs_training: bool

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        """Learn from float32 rows (n, dim)."""

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Codes (n, code_width) of float32 rows (n, dim)."""

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Rows (n, dim) float32 that plain codes (n, code_width) stand for."""

    def decoder(self) -> dict[str, Any]:
        """What `native.Documents` needs beside the codes to decode them."""

    def scan(
        self,
        queries: np.ndarray,
        lists: ListView,
        probes: np.ndarray,
        k: int,
        metric: str,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Best k of the probed lists: scores (nq, k) float32, positions (nq, k) int64; missing -inf, -1."""

    def rescore(
        self, queries: np.ndarray, codes: np.ndarray, candidates: np.ndarray, k: int, metric: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Best k of candidate rows (nq, c) int64, of which -1 is none, as `scan` returns them."""

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]: ...

    def parameters(self) -> Parameters: ...

    def load(self, parameters: Parameters) -> None: ...


class FloatCodec:
    """Values stored as float32 or float16."""

    by_residual = False
    interleaved = False
    needs_training = False

    def __init__(self, spec: CodecSpec, dim: int) -> None:
        self.spec = spec
        self.dim = self.code_width = dim
        self.code_dtype = "<f2" if isinstance(spec, SQfp16) else "<f4"

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        """Nothing to learn."""

    def encode(self, x: np.ndarray) -> np.ndarray:
        if self.code_dtype == "<f4":
            return x
        largest = float(np.abs(x).max(initial=0.0))
        if largest > FLOAT16_MAX:
            raise InputError(
                f"value {largest:g} does not fit float16 (largest 65504); scale the rows, or use Flat or SQ8"
            )
        return x.astype(np.float16)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return codes.astype(np.float32, copy=False)

    def decoder(self) -> dict[str, Any]:
        return {}

    def scan(
        self,
        queries: np.ndarray,
        lists: ListView,
        probes: np.ndarray,
        k: int,
        metric: str,
    ) -> tuple[np.ndarray, np.ndarray]:
        if lists.shadow is not None:
            return search_shadow(lists.shadow, lists.codes, queries, k, metric, lists.skip)
        return native.scan_rows(
            queries, lists.codes, lists.offsets, lists.positions, probes, k, metric, lists.skip
        )

    def rescore(
        self, queries: np.ndarray, codes: np.ndarray, candidates: np.ndarray, k: int, metric: str
    ) -> tuple[np.ndarray, np.ndarray]:
        return native.rescore_rows(queries, codes, candidates, k, metric)

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        return {}

    def parameters(self) -> Parameters:
        return {}

    def load(self, parameters: Parameters) -> None:
        """Nothing to load."""


class ScalarCodec:
    """One byte a value: vmin + (code + 0.5) / 255 * vdiff, per dimension."""

    by_residual = False
    interleaved = False
    needs_training = True
    code_dtype = "|u1"

    def __init__(self, spec: CodecSpec, dim: int) -> None:
        from cluscomp.quantization.scalar import ScalarQuantizer8

        self.spec = spec
        self.dim = self.code_width = dim
        self.quantizer = ScalarQuantizer8(dim)

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        self.quantizer.train(x)

    def encode(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.quantizer.encode(x))

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return self.quantizer.decode(codes)

    def decoder(self) -> dict[str, Any]:
        return {"vmin": self.quantizer.vmin, "vdiff": self.quantizer.vdiff}

    def scan(
        self,
        queries: np.ndarray,
        lists: ListView,
        probes: np.ndarray,
        k: int,
        metric: str,
    ) -> tuple[np.ndarray, np.ndarray]:
        q = self.quantizer
        return native.scan_sq8(
            queries,
            lists.codes,
            q.vmin,
            q.vdiff,
            lists.offsets,
            lists.positions,
            probes,
            k,
            metric,
            lists.skip,
        )

    def rescore(
        self, queries: np.ndarray, codes: np.ndarray, candidates: np.ndarray, k: int, metric: str
    ) -> tuple[np.ndarray, np.ndarray]:
        return native.rescore_sq8(
            queries, codes, self.quantizer.vmin, self.quantizer.vdiff, candidates, k, metric
        )

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        return {"vmin": ArraySpec("<f4", (self.dim,)), "vdiff": ArraySpec("<f4", (self.dim,))}

    def parameters(self) -> Parameters:
        return (
            {"vmin": self.quantizer.vmin, "vdiff": self.quantizer.vdiff} if self.quantizer.is_trained else {}
        )

    def load(self, parameters: Parameters) -> None:
        state = {"settings": {"dim": self.dim}, "arrays": parameters}
        self.quantizer = type(self.quantizer).from_state(state)


class ProductCodec:
    """m sub-vectors, each the number of its nearest centroid, packed in nbits as faiss packs them."""

    by_residual = True
    needs_training = True
    code_dtype = "|u1"

    def __init__(self, spec: PQ | RepCONC, dim: int) -> None:
        self.spec: CodecSpec = spec
        self.dim = dim
        self.m, self.nbits = spec.m, spec.nbits
        self.code_width = -(-spec.m * spec.nbits // 8)
        self.interleaved = spec.nbits == 4
        self._codebooks: np.ndarray | None = None
        self._packed: native.PqCodebook | None = None

    @property
    def codebooks(self) -> np.ndarray:
        """(m, 2**nbits, dim / m) float32 centroids."""
        if self._codebooks is None:
            raise NotTrainedError(f"{self.spec} has not been trained; call index.train(x) first")
        return self._codebooks

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        from cluscomp.quantization.product import ProductQuantizer

        quantizer = ProductQuantizer(self.dim, self.m, self.nbits, n_iter=PQ_ITERATIONS, seed=seed)
        self.load({"codebooks": quantizer.train(x, progress=progress).centroids})

    def encode(self, x: np.ndarray) -> np.ndarray:
        return native.pq_encode(x, self.packed_codebook(), self.nbits)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return native.pq_decode(codes, self.packed_codebook(), self.nbits)

    def decoder(self) -> dict[str, Any]:
        return {"codebook": self.packed_codebook()}

    def refine_for_scores(self, x: np.ndarray, whole: np.ndarray, progress: Progress | None = None) -> None:
        """Move the trained codebooks so that coding x keeps the inner products of the rows `whole`."""
        from cluscomp.quantization.score_aware import ITERATIONS, refine_score_aware

        ticker = Ticker(progress, ITERATIONS * x.shape[0] * self.m)
        self.load({"codebooks": refine_score_aware(x, whole, self.codebooks, ticker=ticker)})
        ticker.finish()

    def encode_for_scores(self, x: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """Codes (n, code_width) of rows x under the score-aware loss (quantization/score_aware.py)."""
        from cluscomp.quantization.score_aware import encode_score_aware

        return encode_score_aware(x, whole, self.packed_codebook())

    def scan(
        self,
        queries: np.ndarray,
        lists: ListView,
        probes: np.ndarray,
        k: int,
        metric: str,
    ) -> tuple[np.ndarray, np.ndarray]:
        return native.scan_pq(
            queries,
            lists.codes,
            self.packed_codebook(),
            self.nbits,
            lists.offsets,
            lists.positions,
            probes,
            k,
            metric,
            lists.skip,
            lists.coarse,
            self.interleaved,
        )

    def rescore(
        self, queries: np.ndarray, codes: np.ndarray, candidates: np.ndarray, k: int, metric: str
    ) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError("a product quantizer is not a codec of the rerank stage")

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        return {"codebooks": ArraySpec("<f4", (self.m, 2**self.nbits, self.dim // self.m))}

    def parameters(self) -> Parameters:
        return {} if self._codebooks is None else {"codebooks": self._codebooks}

    def load(self, parameters: Parameters) -> None:
        self._codebooks = np.ascontiguousarray(parameters["codebooks"], dtype=np.float32)
        self._packed = None

    def packed_codebook(self) -> native.PqCodebook:
        """Codebooks laid out for the kernels."""
        if self._packed is None:  # packing reads all codewords: once, when first used
            self._packed = native.PqCodebook(self.codebooks, self.nbits)
        return self._packed


class FourBitCodec(ProductCodec):
    """Half a byte a value: every dimension is a sub-space of 16 levels, packed and scanned as 4-bit codes."""

    def __init__(self, spec: SQ4, dim: int) -> None:
        super().__init__(PQ(dim, 4), dim)
        self.spec = spec

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        from cluscomp.quantization.scalar4 import train_levels

        self.load({"codebooks": train_levels(x, progress)[:, :, None]})


class LearnedProductCodec(ProductCodec):
    """Codes of one set of learned centroids, scored with another; `codebooks` are those of the scores.

    Codes are those of the rows also behind lists, and nothing is ever trained.
    """

    by_residual = False
    needs_training = False

    def __init__(self, spec: RepCONC, dim: int) -> None:
        super().__init__(spec, dim)
        self._two_sets = spec.known().two_sets
        self._document: np.ndarray | None = None
        self._packed_document: native.PqCodebook | None = None
        if spec.source is not None:
            self.load(
                {
                    "document_centroids": spec.source.document_centroids,
                    "query_centroids": spec.source.query_centroids,
                }
            )

    def train(self, x: np.ndarray, seed: int, progress: Progress | None = None) -> None:
        """Nothing to learn."""

    def encode(self, x: np.ndarray) -> np.ndarray:
        if self._packed_document is None:
            if self._document is None:
                raise NotTrainedError(f"{self.spec} has not been loaded")
            self._packed_document = native.PqCodebook(self._document, self.nbits)
        return native.pq_encode(x, self._packed_document, self.nbits)

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        centroids = ArraySpec("<f4", (self.m, 2**self.nbits, self.dim // self.m))
        names = ("document_centroids", "query_centroids")[: 1 + self._two_sets]
        return dict.fromkeys(names, centroids)

    def parameters(self) -> Parameters:
        if self._document is None:
            return {}
        arrays = {"document_centroids": self._document, "query_centroids": self.codebooks}
        return {name: arrays[name] for name in self.parameter_specs}

    def load(self, parameters: Parameters) -> None:
        self._document = np.ascontiguousarray(parameters["document_centroids"], dtype=np.float32)
        self._packed_document = None
        super().load({"codebooks": parameters.get("query_centroids", self._document)})


CODECS: dict[type, Callable[..., Codec]] = {
    Flat: FloatCodec,
    SQfp16: FloatCodec,
    SQ8: ScalarCodec,
    SQ4: FourBitCodec,
    PQ: ProductCodec,
    RepCONC: LearnedProductCodec,
}


def make_codec(spec: CodecSpec, dim: int) -> Codec:
    """The untrained codec that a key part stands for."""
    return CODECS[type(spec)](spec, dim)
