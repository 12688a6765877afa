"""Codecs of product quantizers: trained, 4-bit scalar levels, and learned for ranking.

For the metrics ip and cosine, PQ keeps scores rather than rows: codes and codebooks are those of the
score-aware loss (quantization/score_aware.py), for l2 the nearest.

Source of the residual form: Jegou, Douze, Schmid, "Product quantization for nearest neighbor search", 2011.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cluscomp import native
from cluscomp.clustering.blocks import Progress, Ticker
from cluscomp.errors import NotTrainedError
from cluscomp.indexes.keys.grammar import PQ, SQ4, CodecSpec, RepCONC
from cluscomp.indexes.stages.cost import ROWS_PER_CENTROID, Cost, Shape, Work
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters

if TYPE_CHECKING:
    from cluscomp.indexes.stages.codec import ListView
    from cluscomp.indexes.stages.ivf import Probes

PQ_ITERATIONS = 25


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

    def cost(self, shape: Shape) -> Cost:
        """Codebooks by k-means, one a group; for scores, they are refined and rows are encoded in passes."""
        from cluscomp.quantization import score_aware
        from cluscomp.quantization.codebooks import codebook_bytes

        k, width = 1 << self.nbits, self.dim // self.m
        steps = 0 if shape.joint else PQ_ITERATIONS
        held = codebook_bytes(shape.rows, self.m, self.nbits, width) if steps else 0
        work = steps * self.dim * k * shape.rows
        if shape.for_scores:
            held = max(held, score_aware.refine_bytes(shape.rows, self.m, width))
            work += score_aware.refine_work(shape.rows, self.dim, k)
        encoding = score_aware.encode_work(self.dim, k) if shape.for_scores else self.dim * k
        return Cost(
            train_bytes=held,
            train=Work(codebook=work),
            least_rows=ROWS_PER_CENTROID * k,
            add=Work(codebook=encoding),
            codewords=(width, k),
        )

    def encode(self, x: np.ndarray) -> np.ndarray:
        return native.pq_encode(x, self.packed_codebook(), self.nbits)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return native.pq_decode(codes, self.packed_codebook(), self.nbits)

    def stored(self, codes: np.ndarray) -> native.Codes:
        return native.Codes.pq(codes, self.packed_codebook())

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
        probes: Probes,
        k: int,
        metric: str,
        rough: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        codes = native.Codes.pq(lists.codes, self.packed_codebook(), self.interleaved)
        return native.scan(
            codes, lists.lists, queries, probes.lists, k, metric, lists.skip, rough, probes.products
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

    def cost(self, shape: Shape) -> Cost:
        """Values of one dimension, sorted in float64, and their sums."""
        return Cost(
            train_bytes=40 * shape.rows,
            add=Work(codebook=self.dim << self.nbits),
            codewords=(1, 1 << self.nbits),
        )


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

    def cost(self, shape: Shape) -> Cost:
        """Only encoding costs anything."""
        k = 1 << self.nbits
        return Cost(add=Work(codebook=self.dim * k), codewords=(self.dim // self.m, k))

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
