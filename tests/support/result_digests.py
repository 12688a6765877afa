"""Digests of what indexes answer, for the test that a change of structure changes no bit.

Run as a script, it prints the digests of this machine. tests/indexes/digests.json holds those of version 0.1.0, with three
kernels of OpenBLAS (set OPENBLAS_CORETYPE to Haswell, SkylakeX or Sandybridge).
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cluscomp import index_factory
from cluscomp.quantization import LearnedCodec, ProductQuantizer

DIM = 16
METRICS = ("ip", "l2", "cosine")
KEYS = (
    "Flat", "Flat(noshadow)", "SQfp16", "SQfp16(shadow)", "SQ8", "SQ4", "PQ4", "PQ4x4", "PQ4x6", "PCA8,Flat", "RR,SQ8", "RR8,Flat",
    "L2norm,Flat", "OPQ4,PQ4", "OPQ4_8,PQ4x4", "PCA12,OPQ4,PQ4x4", "IVF8,Flat", "IVF8,SQfp16", "IVF8,SQ8",
    "IVF8,SQ4", "IVF8,PQ4", "IVF8,PQ4x4", "OPQ4,IVF8,PQ4x6", "OPQ2,IVF8,PQ4x4", "SQ8,RFlat", "PQ4x4,Refine(SQ8)",
    "L2norm,IVF8,PQ4,Refine(SQfp16)", "PCA8,IVF8,SQ8,RFlat", "BIVF8,Flat", "BIVF8,PQ4", "BIVF8(cap=1),SQ8",
    "OPQ4,BIVF8(cap=1.2),PQ4x4,RFlat", "PCA8,BIVF8,PQ4,Refine(SQ8)", "MRL12,PQ4", "MRL8,OPQ4,IVF8,PQ4x4,RFlat",
    "RepCONC(learned)", "RepCONC(learned-x4),RFlat", "IVF8,RepCONC(learned)", "BIVF8,RepCONC(learned),RFlat",
    "PQ4,BiDR(SQfp16)", "IVF8,RepCONC(learned),BiDR(SQ8)", "RaBitQ", "IVF8,RaBitQ4", "BIVF8,RaBitQ2,Refine(RaBitQ8)",
)  # fmt: skip
DOCUMENT_KEYS = (
    "Pool4(ward),Flat", "Pool(f=1),SQfp16", "Pool(f=3,method=ward),SQ8", "Pool4(ward),SQ4", "Pool(bytes=48,method=ward),PQ8",
    "Pool(n=4,method=kmeans,protected=1),IVF8,Flat", "Pool4(ward),IVF8,PQ8", "Pool4(ward),OPQ4,IVF8,PQ4", "Pool4(ward),IVF8,SQ4",
    "Pool4(ward),BIVF8,PQ8", "Pool4(ward),IVF8,PQ8x4", "Pool4(ward),PCA12,IVF8,SQ8", "Pool4(ward),IVF8,PQ4,RFlat", "Pool4(ward),PQ4,Refine(SQ8)",
    "Pool4,Flat", "Pool(f=3),SQ8", "Pool(bytes=48),PQ8", "Pool(n=4,protected=1),SQ4", "Pool4,IVF8,PQ8", "Pool4,BIVF8,PQ8x4,RFlat",
)  # fmt: skip


def grid(seed: int, n: int) -> np.ndarray:
    """(n, DIM) float32 near twelve centres, multiples of 1/16: the same bits on every machine."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).integers(-40, 41, size=(12, DIM))
    return ((centres[rng.integers(12, size=n)] + rng.integers(-16, 17, size=(n, DIM))) / 16).astype(
        np.float32
    )


def digest(*arrays: np.ndarray) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the arrays' little-endian bytes."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def linear_algebra() -> str:
    """Which bits this machine's BLAS and LAPACK make; rotations and PCA depend on them."""
    a, b = grid(21, 600).astype(np.float64), grid(22, DIM).astype(np.float64)
    vectors, values, _ = np.linalg.svd(b)
    return digest(a @ b, (a / 3).T @ a, vectors, values, *np.linalg.qr(b), *np.linalg.eigh(b + b.T))


def save_codecs(folder: Path) -> None:
    """Learned codecs of 8 and 4 bits for every metric, made without BLAS."""
    rotation = np.eye(DIM, dtype=np.float32)[::-1].copy()
    adapter = {"adapter_weight": np.eye(DIM) + np.eye(DIM, k=1) / 64, "adapter_bias": np.arange(DIM) / 256}
    for metric in METRICS:
        for name, nbits in (("learned", 8), ("learned-x4", 4)):
            quantizer = ProductQuantizer(DIM, 4, nbits, n_iter=4).train(grid(1, 600))
            LearnedCodec(
                rotation, quantizer.centroids, quantizer.centroids + np.float32(1 / 128), metric=metric,
                **({} if metric == "l2" else adapter),
            ).save(folder / metric / name)  # fmt: skip


def index_digest(key: str, metric: str) -> str:
    """Train on 600 rows, add them in two parts, delete some, search in all lists and in two."""
    rows, queries = grid(1, 600), grid(2, 40)
    index = index_factory(key, DIM, metric, seed=3)
    index.train(rows)
    index.add(rows[:450])
    index.add(rows[450:])
    index.delete(np.arange(0, 600, 7))
    found = [index.search(queries, 10, nprobe=min(n, index.spec.nlist)) for n in (2, 8)]
    return digest(*(array for scores, ids in found for array in (scores.astype("<f4"), ids.astype("<i8"))))


def document_digest(key: str, metric: str) -> str:
    """The same for 150 documents of 1 to 19 vectors, by MaxSim and by scores of chosen documents."""
    lengths, asked = np.random.default_rng(5).integers(1, 20, size=150), np.array([5, 1, 33, 8, 2])
    x, queries = grid(3, int(lengths.sum())), grid(4, int(asked.sum()))
    index = index_factory(key, DIM, metric, seed=3)
    index.train(x, lengths=lengths)
    index.add(x, lengths=lengths)
    index.delete(np.arange(0, 150, 7))
    found = [index.search(queries, 10, lengths=asked, nprobe=min(n, index.spec.nlist)) for n in (2, 8)]
    return digest(*(array for scores, ids in found for array in (scores.astype("<f4"), ids.astype("<i8"))))


def digests() -> dict[str, str]:
    """{"key metric": digest} of all keys."""
    result = {}
    with TemporaryDirectory() as name:
        save_codecs(Path(name))
        for metric in METRICS:
            for key in KEYS:
                result[f"{key} {metric}"] = index_digest(
                    key.replace("(learned", f"({name}/{metric}/learned"), metric
                )
        for metric in ("ip", "cosine"):
            for key in DOCUMENT_KEYS:
                result[f"{key} {metric}"] = document_digest(key, metric)
    return result


if __name__ == "__main__":
    json.dump({"linear_algebra": linear_algebra(), "digests": digests()}, sys.stdout, indent=1)
