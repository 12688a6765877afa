"""Codecs of product quantizers: trained, and 4-bit scalar levels (learned for ranking: learned_codec.py).

For the metrics ip and cosine, PQ keeps scores rather than rows: codes and codebooks are those of the
score-aware loss (quantization/score_aware.py), for l2 the nearest.

Source of the residual form: Jegou, Douze, Schmid, "Product quantization for nearest neighbor search", 2011.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.errors import NotTrainedError, UsageError
from cluscomp.indexes.keys.forms import NUMBER, Form
from cluscomp.indexes.keys.specs import CodecSpec, check_subspaces
from cluscomp.indexes.stages.codec import CODES, Codes, ListView, RowArray, ScoreKeeper
from cluscomp.indexes.stages.cost import ROWS_PER_CENTROID, Cost, Shape, Work
from cluscomp.indexes.stages.faiss_parts import faiss_metric
from cluscomp.indexes.stages.ivf import Ivf
from cluscomp.indexes.stages.kernel_codec import KernelCodec
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters
from cluscomp.progress import Progress, Ticker
from cluscomp.quantization.codes import CODE_BITS, code_size

PQ_ITERATIONS = 25


@dataclass(frozen=True)
class PQ(CodecSpec):
    """Product quantizer: each of m parts of a row becomes the number of a centroid, of 8, 4 or 6 bits.

    m: 0 while a pool still has to choose it.
    """

    m: int
    nbits: int = 8

    def __str__(self) -> str:
        return f"PQ{self.m or ''}" if self.nbits == 8 else f"PQ{self.m}x{self.nbits}"

    @property
    def size(self) -> int:  # type: ignore[override]
        """M."""
        return self.m

    @property
    def rotation_bits(self) -> int:  # type: ignore[override]
        """Nbits."""
        return self.nbits

    def with_size(self, size: int) -> PQ:
        return self if self.m else PQ(size, self.nbits)

    def check_dim(self, dim: int) -> None:
        check_subspaces(self, dim, self.m)


@dataclass(frozen=True)
class SQ4(CodecSpec):
    """Half a byte a value: the nearest of 16 levels learned for its dimension."""

    def __str__(self) -> str:
        return "SQ4"


def _product(m: int, nbits: int | None) -> PQ:
    if nbits is not None and nbits not in CODE_BITS:
        raise UsageError(
            f"PQ{m}x{nbits}: {nbits} bits a code are not supported; valid numbers are 4, 6 and 8"
        )
    return PQ(m, nbits or 8)


PQ_FORMS = (
    Form("codec", rf"PQ{NUMBER}(?:x{NUMBER})?", "PQ48", _product, "PQm, PQmx4, PQmx6"),
    Form("codec", r"PQ", "PQ48", lambda: PQ(0)),
    Form("codec", rf"PQ{NUMBER}x4fs", "PQ48x4fs", lambda m: PQ(m, 4)),  # faiss's name; here every x4 scans so
)
SQ4_FORM = Form("codec", r"SQ4", "SQ4", SQ4, "SQ4")


_SCAN_RATES = {4: 21e9, 6: 0.46e9, 8: 2.4e9}  # by bits, as `Codec.scan_rate`


class ProductCodec(KernelCodec):
    """m sub-vectors, each the number of its nearest centroid, packed in nbits as faiss packs them."""

    by_residual = True
    needs_training = True

    def __init__(self, spec: CodecSpec, dim: int, m: int, nbits: int) -> None:
        self.spec = spec
        self.dim = dim
        self.m, self.nbits = m, nbits
        self.groups = m
        self.scan_rate = _SCAN_RATES[nbits]
        self.arrays = {CODES: RowArray("|u1", code_size(m, nbits))}
        self.interleaved = self.across_lists = nbits == 4
        self.layout_version = 2 if self.interleaved else 1
        self._codebooks: np.ndarray | None = None
        self._packed: native.PqCodebook | None = None

    @property
    def codebooks(self) -> np.ndarray:
        """(m, 2**nbits, dim / m) float32 centroids."""
        if self._codebooks is None:
            raise NotTrainedError(f"{self.spec} has not been trained; call index.train(x) first")
        return self._codebooks

    @property
    def shared_codebooks(self) -> np.ndarray | None:
        return self.codebooks

    def encode(self, x: np.ndarray) -> Codes:
        return {CODES: native.pq_encode(x, self.packed_codebook(), self.nbits)}

    def decode(self, codes: Codes) -> np.ndarray:
        return native.pq_decode(codes[CODES], self.packed_codebook(), self.nbits)

    def stored(self, codes: Codes) -> native.Codes:
        return native.Codes.pq(codes[CODES], self.packed_codebook())

    def listed(self, lists: ListView) -> native.Codes:
        codes = lists.codes[CODES]
        return native.Codes.pq(codes, self.packed_codebook(), self.interleaved, lists.across_lists)

    def to_faiss(self, faiss: ModuleType, metric: str) -> Any:
        """Also of 4-bit scalar levels: sub-spaces of one dimension."""
        product = faiss.IndexPQ(self.dim, self.m, self.nbits, faiss_metric(faiss, metric))
        faiss.copy_array_to_vector(self.codebooks.reshape(-1), product.pq.centroids)
        product.is_trained = True
        return product

    def to_faiss_lists(self, faiss: ModuleType, partition: Ivf, metric: str) -> Any:
        size = (partition.to_faiss(faiss), self.dim, partition.nlist, self.m, self.nbits)
        product = faiss.IndexIVFPQ(*size, faiss_metric(faiss, metric))
        product.by_residual = self.by_residual
        faiss.copy_array_to_vector(self.codebooks.reshape(-1), product.pq.centroids)
        product.is_trained = True
        if not partition.plain_distances:  # faiss would take prices for a part of the distance
            product.use_precomputed_table = -1
        if product.by_residual:
            product.precompute_table()
        return product

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


class TrainedProductCodec(ProductCodec, ScoreKeeper):
    """Codebooks by k-means; they move once more where inner products shall be kept."""

    def __init__(self, spec: PQ, dim: int) -> None:
        super().__init__(spec, dim, spec.m, spec.nbits)
        self.joint_groups, self.codewords = spec.m, 1 << spec.nbits

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

    def refine_for_scores(self, x: np.ndarray, whole: np.ndarray, progress: Progress | None = None) -> None:
        """Move the trained codebooks so that coding x keeps the inner products of the rows `whole`."""
        from cluscomp.quantization.score_aware import ITERATIONS, refine_score_aware

        ticker = Ticker(progress, "train", ITERATIONS * x.shape[0] * self.m)
        self.load({"codebooks": refine_score_aware(x, whole, self.codebooks, ticker=ticker)})
        ticker.finish()

    def encode_for_scores(self, x: np.ndarray, whole: np.ndarray) -> Codes:
        """Codes of rows x under the score-aware loss (quantization/score_aware.py)."""
        from cluscomp.quantization.score_aware import encode_score_aware

        return {CODES: encode_score_aware(x, whole, self.packed_codebook())}


class FourBitCodec(ProductCodec):
    """Half a byte a value: every dimension is a sub-space of 16 levels, packed and scanned as 4-bit codes."""

    def __init__(self, spec: SQ4, dim: int) -> None:
        super().__init__(spec, dim, dim, 4)
        self.groups, self.codewords, self.overfit = 1, 16, 8.0

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
