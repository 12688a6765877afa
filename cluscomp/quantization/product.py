"""Product quantization: a row is cut into m groups of dimensions, each replaced by its nearest centroid.

Source: Jegou, Douze, Schmid, "Product quantization for nearest neighbor search", IEEE TPAMI 33 (2011).
"""

from __future__ import annotations

from typing import Any, overload

import numpy as np

from cluscomp import checks, native
from cluscomp.arrays import Array, as_numbers, as_rows, iter_blocks, to_float32
from cluscomp.clustering.blocks import block_rows
from cluscomp.clustering.device import encode_on_device, is_cuda_tensor
from cluscomp.errors import DimensionError, NotTrainedError, UsageError
from cluscomp.progress import Progress, Ticker
from cluscomp.quantization.balancing import balance_codebooks
from cluscomp.quantization.codebooks import check_enough_rows, check_split, train_codebooks, training_sample
from cluscomp.quantization.codes import CODE_BITS, code_size
from cluscomp.quantization.linear import LinearTransform
from cluscomp.quantization.rotation import learn_opq, random_rotation
from cluscomp.quantization.scalar import check_codes

ROTATIONS = (None, "random", "opq")
TARGETS = ("none", "uniform")


class ProductQuantizer:
    """Product quantizer with an optional rotation in front; encoding takes the nearest centroid of each
    group.

    Args:
        dim: of the rows.
        m: groups; must divide dim.
        nbits: 4, 6 or 8 bits a group.
        rotation: None, "random", "opq" (learned with the codebooks), or a LinearTransform that is kept as it
            is.
        balance: "none", or "uniform": after the usual training, n_iter steps in which every centroid of a
            group gets as many rows as any other, which raises the entropy of the codes and the error a
            little; only training is constrained.
        n_iter: k-means steps, with "opq" also alternations of rotation and codebooks.
        seed: of all random choices; equal seeds give equal bits for any thread count and block size.

    Attributes:
        code_size: bytes of a code, ceil(m * nbits / 8).
        rotation_: LinearTransform or None; after train where it is learned.

    Raises:
        UsageError: settings that cannot work; the message has the values that can.
        UnknownKeyError: rotation or balance is unknown.
    """

    def __init__(
        self,
        dim: int,
        m: int,
        nbits: int = 8,
        *,
        rotation: str | LinearTransform | None = None,
        balance: str = "none",
        n_iter: int = 25,
        seed: int = 0,
    ) -> None:
        _check_settings(dim, rotation, balance, n_iter)
        self._d_coded = rotation.d_out if isinstance(rotation, LinearTransform) else dim
        check_split(self._d_coded, m, nbits)
        self.dim = dim
        self.m = m
        self.nbits = nbits
        self.rotation = rotation
        self.balance = balance
        self.n_iter = n_iter
        self.seed = seed
        self.code_size = code_size(m, nbits)
        self.rotation_ = rotation if isinstance(rotation, LinearTransform) else None
        self._centroids: np.ndarray | None = None

    @property
    def is_trained(self) -> bool:
        """Whether there are codebooks."""
        return self._centroids is not None

    @property
    def centroids(self) -> np.ndarray:
        """The codebooks, under the name that faiss gives them."""
        return self.codebooks

    @property
    def codebooks(self) -> np.ndarray:
        """Centroids (m, 2**nbits, d/m) float32 of the groups, in rotated space. Raises NotTrainedError."""
        if self._centroids is None:
            raise NotTrainedError("this ProductQuantizer is not trained yet; call train(x) first")
        return self._centroids

    def train(self, x: Any, *, progress: Progress | None = None) -> ProductQuantizer:
        """Learn rotation and codebooks from rows.

        At most 65536 rows, drawn at random, are used; of more, a SubsampleWarning is issued.

        Args:
            x: rows (n, dim), NumPy, torch or memory map.
            progress: called as progress(stage, done, total).

        Returns:
            The quantizer.

        Raises:
            TooFewRowsError: fewer than 2**nbits rows.
            DimensionError, DTypeError, NonFiniteError: the rows are wrong.
        """
        x = as_rows(x, dim=self.dim)
        check_enough_rows(x.shape[0], self.nbits)
        if self.rotation == "opq":
            self.rotation_, self._centroids = learn_opq(
                x, self.m, self.nbits, d_out=self.dim, n_iter=self.n_iter, seed=self.seed,
                balance=self.balance, progress=progress,
            )  # fmt: skip
        else:
            self._train_behind_fixed_rotation(x, progress)
        return self

    def _train_behind_fixed_rotation(self, x: np.ndarray, progress: Progress | None) -> None:
        if self.rotation == "random":
            self.rotation_ = random_rotation(self.dim, self.dim, self.seed)
        rows = to_float32(training_sample(x, self.seed))
        rotated = rows if self.rotation_ is None else self.rotation_.apply_rows(rows)
        self._centroids = train_codebooks(
            rotated, self.m, self.nbits, n_iter=self.n_iter, seed=self.seed, progress=progress
        )
        if self.balance == "uniform":
            self._centroids = balance_codebooks(rotated, self._centroids, n_iter=self.n_iter)

    @overload
    def encode(self, x: np.ndarray, *, progress: Progress | None = None) -> np.ndarray: ...
    @overload
    def encode(self, x: Any, *, progress: Progress | None = None) -> Array: ...
    def encode(self, x: Any, *, progress: Progress | None = None) -> Array:
        """Encode rows. float32, float16 and bfloat16 are read in blocks, without a converted copy of the
        whole.

        Args:
            x: rows (n, dim); a torch CUDA tensor is encoded on its GPU, and the codes stay there.
            progress: called as progress(stage, done, total) in rows.

        Returns:
            Codes (n, code_size) uint8: the nbits of each group after each other, the lowest bits first.

        Raises:
            NotTrainedError: there are no codebooks.
            DimensionError, DTypeError, NonFiniteError: the rows are wrong.
        """
        if is_cuda_tensor(x):
            matrix = None if self.rotation_ is None else self.rotation_.matrix
            return encode_on_device(x, self.centroids, self.nbits, matrix)
        codebook = native.PqCodebook(self.centroids, self.nbits)
        x = as_rows(x, dim=self.dim, min_rows=0)
        codes = np.empty((x.shape[0], self.code_size), dtype=np.uint8)
        ticker = Ticker(progress, "encode", x.shape[0])
        for block in iter_blocks(x.shape[0], block_rows(self.dim, 1 << self.nbits)):
            rows = x[block] if self.rotation_ is None else self.rotation_.apply_rows(x[block])
            codes[block] = native.pq_encode(rows, codebook, self.nbits)
            ticker.advance(block.stop - block.start)
        return codes

    def decode(self, codes: Any, *, progress: Progress | None = None) -> np.ndarray:
        """Return the rows that codes stand for, rotated back.

        Args:
            codes: (n, code_size) uint8.
            progress: called as progress(stage, done, total) in rows.

        Returns:
            Rows (n, dim) float32.

        Raises:
            NotTrainedError: there are no codebooks.
            DimensionError, DTypeError: these are no codes of this quantizer.
        """
        codebook = native.PqCodebook(self.centroids, self.nbits)
        codes = check_codes(codes, self.code_size)
        decoded = np.empty((codes.shape[0], self.dim), dtype=np.float32)
        ticker = Ticker(progress, "decode", codes.shape[0])
        for block in iter_blocks(codes.shape[0], block_rows(self.dim, 1)):
            rows = native.pq_decode(codes[block], codebook, self.nbits)
            decoded[block] = rows if self.rotation_ is None else self.rotation_.inverse(rows)
            ticker.advance(rows.shape[0])
        return decoded

    @classmethod
    def from_centroids(cls, centroids: Any, *, rotation: LinearTransform | None = None) -> ProductQuantizer:
        """Make a trained quantizer with a copy of given codebooks.

        Args:
            centroids: codebooks (m, 2**nbits, width).
            rotation: applied to rows before they are encoded, or None.

        Returns:
            A quantizer that encodes and decodes with them.

        Raises:
            UsageError: the number of centroids is not 16, 64 or 256.
            DimensionError: another shape, or a rotation to another dimension.
            NonFiniteError: a centroid holds NaN or infinity.
        """
        codebooks = as_numbers(centroids, name="centroids")
        if codebooks.ndim != 3:
            raise DimensionError(f"centroids have shape {codebooks.shape}, but (m, 2**nbits, d/m) is needed")
        m, k, width = codebooks.shape
        if k not in [1 << nbits for nbits in CODE_BITS]:
            raise UsageError(f"there are {k} centroids a group, but 16, 64 or 256 are needed")
        if rotation is not None and rotation.d_out != m * width:
            raise DimensionError(
                f"the rotation gives {rotation.d_out} dimensions, but the centroids cover {m} x {width} "
                f"= {m * width}"
            )
        quantizer = cls(
            m * width if rotation is None else rotation.d_in, m, k.bit_length() - 1, rotation=rotation
        )
        checked = to_float32(as_rows(codebooks.reshape(m * k, width), name="centroids"))
        quantizer._centroids = np.array(checked).reshape(m, k, width)
        return quantizer


def _check_settings(dim: int, rotation: Any, balance: str, n_iter: int) -> None:
    if isinstance(rotation, LinearTransform):
        if rotation.d_in != dim:
            raise DimensionError(f"rotation takes dim {rotation.d_in}, but the quantizer has dim {dim}")
    elif rotation not in ROTATIONS:
        raise checks.unknown("rotation", rotation, ("None", *ROTATIONS[1:], "a LinearTransform"))
    checks.one_of("balance", balance, TARGETS)
    checks.integer("n_iter", n_iter, 1)
