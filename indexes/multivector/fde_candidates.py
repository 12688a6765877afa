"""Candidates by fixed-dimensional encodings (MUVERA, arXiv 2405.19504): one vector a document, whose inner
product with that of a query estimates MaxSim.

The encodings are made of what the codes stand for, when they are first asked for, and kept in memory in eight
bits a value: nothing more is stored, and an index may change between both kinds of candidates. Each document
has a scale of its own, so that its encoding depends on no other document and candidates do not depend on how
documents were added. Of seven shapes tried on SciFact, (20, 3, 16) kept the most with 100 candidates
(docs/notes/multivector.md).
"""

from __future__ import annotations

import numpy as np

from cluscomp import native
from cluscomp.indexes.multivector.segment import DocumentSegment
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.multivector import Ragged
from cluscomp.multivector.fde import fde_encode
from cluscomp.multivector.ragged import document_blocks
from cluscomp.vocabulary import Side

REPETITIONS, PLANES, BUCKET_DIM = 20, 3, 16
FDE_DIM = REPETITIONS * 2**PLANES * BUCKET_DIM
BLOCK_VECTORS = 16_384


def fde_candidates(
    pipeline: Pipeline, together: Together[DocumentSegment], queries: Ragged, candidates: int
) -> np.ndarray:
    """Positions (nq, c) over all segments of the documents whose encodings score best, best first; c is
    `candidates`, or all documents that are not deleted where these are fewer.

    queries: behind the transforms.
    """
    asked = _encoded(pipeline, queries.rows, queries.lengths, "query")
    wanted = min(candidates, together.n_live)
    parts = together.made(
        "fde", lambda: native.Parts([_encodings(pipeline, segment) for segment in together.segments])
    )
    positions: np.ndarray = parts.scan(asked, None, wanted, "ip", together.skip_bits)[1]
    return positions


def _encodings(pipeline: Pipeline, segment: DocumentSegment) -> native.Codes:
    """Of all documents, deleted ones included; made when first used."""
    made: native.Codes | None = segment.kernels.get("fde")
    if made is None:
        documents, offsets = segment.searchable(pipeline), segment.doc_offsets
        codes = np.empty((segment.n_rows, FDE_DIM), dtype=np.uint8)
        scales = np.empty(segment.n_rows, dtype=np.float32)
        for part in document_blocks(np.diff(offsets), BLOCK_VECTORS):
            vectors = documents.vectors(offsets[part.start], offsets[part.stop])
            lengths = np.diff(offsets[part.start : part.stop + 1])
            codes[part], scales[part] = scaled_bytes(_encoded(pipeline, vectors, lengths, "document"))
        made = segment.kernels["fde"] = byte_codes(codes, scales)
    return made


def scaled_bytes(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes (n, d) uint8 and scales (n,) float32 of float32 rows (n, d); values are scale * (code - 128).

    A scale is the largest magnitude of the row over 127, or 1 where that vanishes; so values are off by at
    most half of it.
    """
    scales = np.abs(rows).max(axis=1) / np.float32(127)
    scales[scales == 0] = 1
    return (np.rint(rows / scales[:, None]) + np.float32(128)).astype(np.uint8), scales


def byte_codes(codes: np.ndarray, scales: np.ndarray) -> native.Codes:
    """What `scaled_bytes` made, as scans read it."""
    dim = codes.shape[1]
    return native.Codes.sq8(codes, np.full(dim, -128.5, np.float32), np.full(dim, 255, np.float32), scales)


def _encoded(pipeline: Pipeline, vectors: np.ndarray, lengths: np.ndarray, side: Side) -> np.ndarray:
    return fde_encode(
        vectors, lengths, side=side, k_sim=PLANES, repetitions=REPETITIONS, projection_dim=BUCKET_DIM,
        seed=pipeline.seed % 2**32,
    )  # fmt: skip
