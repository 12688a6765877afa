"""A product quantizer that was trained for ranking, and the folder it lives in.

Documents are encoded with one set of centroids and scored with another, because training may go on for the
scores after the codes have been fixed (JPQ); the two are equal where it did not. Queries may pass an adapter
first. All of it is data: whoever trained the codec, with a text model or on vectors alone, writes the same
folder, and an index needs nothing else.

    codes of x      nearest document centroid of each part of R x
    score of q, x   <R (W q + b), query centroids of the codes of x>      (ip, cosine)

Sources: Zhan et al., RepCONC (WSDM 2022) and JPQ (CIKM 2021).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp import checks, native
from cluscomp.arrays import as_numbers, as_rows, iter_blocks, largest_safe, require_finite, to_float32
from cluscomp.clustering.blocks import block_rows
from cluscomp.errors import (
    DimensionError,
    UsageError,
)
from cluscomp.files import atomic_json, new_file
from cluscomp.folders import new_folder
from cluscomp.portable import Portable
from cluscomp.progress import Progress, Ticker
from cluscomp.quantization.codes import CODE_BITS, code_size
from cluscomp.quantization.learned_folder import (
    ADAPTER,
    ARRAYS_NAME,
    FORMAT,
    REQUIRED,
    SETTINGS_NAME,
    VERSION,
    check_codec_target,
    read_arrays,
    read_settings,
)
from cluscomp.quantization.scalar import check_codes

ORTHONORMAL_ERROR = 1e-3


@dataclass(frozen=True)
class AffineMap(Portable):
    """x -> A x + b; b is None where nothing is added. Documents are rotated, queries may pass an adapter."""

    matrix: np.ndarray
    shift: np.ndarray | None

    @classmethod
    def of(cls, rotation: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None) -> AffineMap:
        """A = R W (d_out, d) and R b (d_out,), rounded once to float32; A = R without adapter."""
        if weight is None or bias is None:
            return cls(rotation, None)
        adapter = native.packed_matrix(np.column_stack([weight, bias]))
        both = adapter.multiply(rotation)
        return cls(np.ascontiguousarray(both[:, :-1]), np.ascontiguousarray(both[:, -1]))

    @cached_property
    def _packed(self) -> native.PackedMatrix:
        return native.packed_matrix(self.matrix.T)

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, d) of kernel dtype -> (n, d_out) float32."""
        mapped: np.ndarray = self._packed.multiply(rows)
        return mapped if self.shift is None else mapped + self.shift


class LearnedCodec:
    """Codec trained for ranking: a rotation, two sets of centroids and an optional query adapter.

    Arrays are kept as float32 copies, under the names of the arguments. `cluscomp train repconc` makes
    codecs, `RepCONC(folder)` in an index key uses them.

    Args:
        rotation: R (d_out, d), d_out <= d; orthonormal rows where the metric is l2, any where it is ip or
            cosine.
        document_centroids: (m, 2**nbits, d_out / m), for encoding.
        query_centroids: same shape, for scoring; None: the same.
        adapter_weight: W (d, d) of the query adapter W q + b, or None.
        adapter_bias: b (d,), or None.
        metric: "ip", "cosine" (whoever uses the codec normalises rows and queries before all else) or "l2"
            (no adapter).
        kind: what made it, such as "repconc" or "frozen".
        provenance: JSON values on how it was made.

    Attributes:
        dim: d, of the rows.
        d_out: dimension of rotated rows.
        m: groups.
        nbits: bits a group.
        code_size: bytes of a code.

    Raises:
        DimensionError, DTypeError, NonFiniteError: an array is wrong.
        UsageError: arrays and metric do not go together.
    """

    def __init__(
        self,
        rotation: Any,
        document_centroids: Any,
        query_centroids: Any = None,
        *,
        adapter_weight: Any = None,
        adapter_bias: Any = None,
        metric: str = "ip",
        kind: str = "frozen",
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.rotation = _matrix("rotation", rotation)
        self.d_out, self.dim = self.rotation.shape
        self.document_centroids = _codebooks("document_centroids", document_centroids, self.d_out)
        self.query_centroids = self.document_centroids
        if query_centroids is not None:
            self.query_centroids = _codebooks("query_centroids", query_centroids, self.d_out)
        self.m, n_centroids, _ = self.document_centroids.shape
        self.nbits = n_centroids.bit_length() - 1
        self.code_size = code_size(self.m, self.nbits)
        self.adapter_weight, self.adapter_bias = _adapter(adapter_weight, adapter_bias, self.dim)
        self.metric, self.kind = checks.metric(metric), kind
        self.provenance: dict[str, Any] = dict(provenance or {})
        self._check()

    @property
    def has_adapter(self) -> bool:
        """Whether queries pass an adapter."""
        return self.adapter_weight is not None

    @property
    def is_orthonormal(self) -> bool:
        """Whether the rotation keeps lengths and angles of what it keeps."""
        r = self.rotation.astype(np.float64)
        return float(np.abs(r @ r.T - np.eye(self.d_out)).max()) <= ORTHONORMAL_ERROR

    def rotate_documents(self, x: Any) -> np.ndarray:
        """Rotate documents.

        Args:
            x: rows (n, d).

        Returns:
            R x (n, d_out) float32.

        Raises:
            DimensionError, DTypeError, NonFiniteError: the rows are wrong.
        """
        rows = as_rows(x, dim=self.dim, min_rows=0)
        return AffineMap(self.rotation, None).apply(rows)

    def rotate_queries(self, queries: Any) -> np.ndarray:
        """Pass queries through the adapter, where there is one, and rotate them.

        Args:
            queries: (n, d).

        Returns:
            R (W q + b), or R q without adapter: (n, d_out) float32.

        Raises:
            DimensionError, DTypeError, NonFiniteError: the queries are wrong.
        """
        rows = as_rows(queries, name="queries", dim=self.dim, min_rows=0)
        return AffineMap.of(self.rotation, self.adapter_weight, self.adapter_bias).apply(rows)

    def encode(self, x: Any, *, progress: Progress | None = None) -> np.ndarray:
        """Encode documents.

        Args:
            x: rows (n, d).
            progress: called as progress(stage, done, total) in rows.

        Returns:
            Codes (n, code_size) uint8: the nbits of each group after each other, the lowest bits first.

        Raises:
            DimensionError, DTypeError, NonFiniteError: the rows are wrong.
        """
        x = as_rows(x, dim=self.dim, min_rows=0)
        codebook = native.PqCodebook(self.document_centroids, self.nbits)
        rotation = AffineMap(self.rotation, None)
        codes = np.empty((x.shape[0], self.code_size), dtype=np.uint8)
        ticker = Ticker(progress, "encode", x.shape[0])
        for block in iter_blocks(x.shape[0], block_rows(self.dim, 1 << self.nbits)):
            rotated = rotation.apply(x[block])
            codes[block] = native.pq_encode(rotated, codebook, self.nbits)
            ticker.advance(rotated.shape[0])
        return codes

    def decode(self, codes: Any) -> np.ndarray:
        """Return what a score sees of rows with these codes.

        Args:
            codes: (n, code_size) uint8.

        Returns:
            (n, d_out) float32, in rotated space.

        Raises:
            DimensionError, DTypeError: these are no codes of this codec.
        """
        return native.pq_decode(check_codes(codes, self.code_size), self.query_centroids, self.nbits)

    # ---- disk ----

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays under their names in the file.

        Returns:
            Name -> float32 array.
        """
        found = {
            "rotation": self.rotation,
            "document_centroids": self.document_centroids,
            "query_centroids": self.query_centroids,
        }
        if self.adapter_weight is not None and self.adapter_bias is not None:
            found |= dict(zip(ADAPTER, (self.adapter_weight, self.adapter_bias), strict=True))
        return found

    def settings(self) -> dict[str, Any]:
        """Return what codec.json says.

        Returns:
            JSON values.
        """
        return {
            "format": FORMAT,
            "version": VERSION,
            "dim": self.dim,
            "m": self.m,
            "nbits": self.nbits,
            "metric": self.metric,
            "kind": self.kind,
            "provenance": self.provenance,
        }

    def save(self, folder: str | os.PathLike[str], *, if_exists: str = "fail") -> None:
        """Write the codec into a folder, all or nothing.

        Args:
            folder: where to.
            if_exists: "fail", or "replace", which replaces a codec folder and nothing else.

        Raises:
            OutputExistsError: something is there that is not replaced.
            DiskFullError, InputError: the place has no room, or cannot be written to.
            UnknownKeyError: if_exists is unknown.
        """
        target = checks.path("folder", folder)
        check_codec_target(target, if_exists)
        needed = sum(array.nbytes for array in self.arrays().values())
        with new_folder(target, needed) as draft:
            self.write_into(draft)

    def write_into(self, folder: Path) -> None:
        """Write the two files into a folder that exists, for a caller who makes the folder all or nothing.

        Args:
            folder: where to.
        """
        from safetensors.numpy import save

        with new_file(folder / ARRAYS_NAME) as file:
            file.write(save(self.arrays()))
        atomic_json(folder / SETTINGS_NAME, self.settings())

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> LearnedCodec:
        """Read a codec folder; every array is checked against codec.json before it is used.

        Args:
            folder: what `save` wrote.

        Returns:
            The codec.

        Raises:
            MissingInputError: no folder, or a file is missing.
            MalformedFileError: a truncated file, another tool's file or a git-LFS pointer.
            NewerFormatError: a later version wrote it.
            DimensionError, DTypeError, NonFiniteError: an array is wrong.
        """
        path = checks.path("folder", folder)
        settings = read_settings(path)
        arrays = read_arrays(path / ARRAYS_NAME)
        codec = cls(
            *(arrays[name] for name in REQUIRED),
            adapter_weight=arrays.get(ADAPTER[0]),
            adapter_bias=arrays.get(ADAPTER[1]),
            metric=settings["metric"],
            kind=settings["kind"],
            provenance=settings["provenance"],
        )
        for name in ("dim", "m", "nbits"):
            if settings[name] != getattr(codec, name):
                raise DimensionError(
                    f"{path / SETTINGS_NAME} says {name}={settings[name]}, but the arrays in {ARRAYS_NAME} "
                    f"have {name}={getattr(codec, name)}; the folder mixes two codecs: train it again"
                )
        return codec

    def __repr__(self) -> str:
        return (
            f"LearnedCodec({self.kind}, dim={self.dim}, m={self.m}, nbits={self.nbits}, "
            f"metric={self.metric!r}, adapter={self.has_adapter})"
        )

    def _check(self) -> None:
        if not isinstance(self.kind, str) or not self.kind:
            raise UsageError(f"kind must be a text such as 'repconc' or 'frozen', but is {self.kind!r}")
        if self.query_centroids.shape != self.document_centroids.shape:
            raise DimensionError(
                f"query_centroids have shape {self.query_centroids.shape}, but document_centroids "
                f"{self.document_centroids.shape}; the codes of the one must fit the other"
            )
        if self.metric == "l2" and (self.has_adapter or not self.is_orthonormal):
            fault = "a query adapter" if self.has_adapter else "a rotation without orthonormal rows"
            raise UsageError(f"{fault} would change distances, so the metric l2 cannot have it; use ip")


def _matrix(name: str, values: Any) -> np.ndarray:
    rows = np.array(to_float32(as_rows(values, name=name)))
    if rows.shape[0] > rows.shape[1]:
        raise DimensionError(
            f"{name} maps {rows.shape[1]} to {rows.shape[0]} dimensions; it must not raise their number"
        )
    return rows


def _codebooks(name: str, values: Any, d_out: int) -> np.ndarray:
    books = np.array(as_numbers(values, name=name), dtype=np.float32, order="C")
    counts = tuple(1 << bits for bits in CODE_BITS)
    if books.ndim != 3 or books.shape[1] not in counts or books.shape[0] * books.shape[2] != d_out:
        raise DimensionError(
            f"{name} have shape {books.shape}, but (m, 16, 64 or 256, {d_out} / m) is needed for a rotation "
            f"to {d_out} dimensions"
        )
    require_finite(books.reshape(-1, books.shape[2]), name=name, largest=largest_safe(d_out))
    return books


def _adapter(weight: Any, bias: Any, dim: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    if weight is None and bias is None:
        return None, None
    if weight is None or bias is None:
        raise UsageError("a query adapter needs both adapter_weight (d, d) and adapter_bias (d,)")
    matrix = np.array(to_float32(as_rows(weight, name="adapter_weight", dim=dim)))
    vector = np.array(as_numbers(bias, name="adapter_bias"), dtype=np.float32)
    if matrix.shape[0] != dim or vector.shape != (dim,):
        raise DimensionError(
            f"adapter_weight has shape {matrix.shape} and adapter_bias {vector.shape}, but "
            f"({dim}, {dim}) and ({dim},) are needed"
        )
    require_finite(vector[None, :], name="adapter_bias")
    return matrix, vector
