"""Candidates by fixed-dimensional encodings (MUVERA, arXiv 2405.19504): one vector a document, whose inner
product with that of a query estimates MaxSim.

The encodings are made of what the codes stand for, when they are first asked for, and kept in memory in eight
bits a value: nothing more is stored, and an index may change between both kinds of candidates. Of seven
shapes tried on SciFact, (20, 3, 16) kept the most with 100 candidates (docs/notes/multivector.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluscomp.indexes.keys.grammar import parse_key
from cluscomp.indexes.multivector.segment import DocumentSegment
from cluscomp.indexes.segments.ids import RangeIds
from cluscomp.indexes.segments.search import Hits, best_hits, search_segments
from cluscomp.indexes.segments.segment import Segment, encode_segment
from cluscomp.indexes.stages.pipeline import Pipeline, sample_rows, training_rows
from cluscomp.multivector import Ragged
from cluscomp.multivector.fde import fde_encode
from cluscomp.multivector.ragged import document_blocks
from cluscomp.vocabulary import Side

REPETITIONS, PLANES, BUCKET_DIM = 20, 3, 16
BLOCK_VECTORS = 16_384


def scan_by_fde(
    pipeline: Pipeline, segment: DocumentSegment, queries: Ragged, k: int, candidates: int
) -> Hits:
    """Best k documents of a segment by MaxSim over codes, among the `candidates` whose encodings score best.

    queries: behind the transforms. Missing hits have position -1.
    """
    encodings = _encodings(pipeline, segment)
    asked = _encoded(pipeline, queries.rows, queries.lengths, "query")
    wanted = min(max(candidates, k) + segment.n_deleted, segment.n_rows)
    positions = encodings.best(asked, wanted)
    if segment.deleted is not None:
        positions = np.where(segment.deleted[positions] == 0, positions, -1)
    scores = segment.searchable(pipeline).scores(queries.rows, queries.offsets, positions)
    filled = np.full((len(queries), max(k - wanted, 0)), -1, dtype=np.int64)
    positions = np.concatenate([positions, filled], axis=1)
    scores = np.concatenate([scores, np.full(filled.shape, -np.inf, dtype=np.float32)], axis=1)
    return best_hits(scores, positions, k)


@dataclass(frozen=True)
class Encodings:
    """The encodings of all documents of a segment, deleted ones included, in 8-bit codes."""

    pipeline: Pipeline
    codes: Segment

    @classmethod
    def of(cls, rows: np.ndarray) -> Encodings:
        """rows: (n, d) float32."""
        spec = parse_key("SQ8")
        pipeline = Pipeline(spec, rows.shape[1], "ip", 0)
        pipeline.train(sample_rows(rows, training_rows(spec), 0))
        return cls(pipeline, encode_segment(pipeline, rows, RangeIds(0, len(rows)), np.zeros(1, np.int64)))

    def best(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Positions (nq, k) of the documents with the largest inner products, best first."""
        return search_segments(self.pipeline, [self.codes], queries, k, nprobe=1, refine_factor=1).positions


def _encodings(pipeline: Pipeline, segment: DocumentSegment) -> Encodings:
    """Made when first used."""
    made: Encodings | None = segment.__dict__.get("_fde")
    if made is None:
        documents = segment.searchable(pipeline)
        parts = [
            _encoded(
                pipeline,
                documents.vectors(segment.doc_offsets[part.start], segment.doc_offsets[part.stop]),
                np.diff(segment.doc_offsets[part.start : part.stop + 1]),
                "document",
            )
            for part in document_blocks(np.diff(segment.doc_offsets), BLOCK_VECTORS)
        ]
        made = Encodings.of(np.concatenate(parts))
        segment.__dict__["_fde"] = made
    return made


def _encoded(pipeline: Pipeline, vectors: np.ndarray, lengths: np.ndarray, side: Side) -> np.ndarray:
    return fde_encode(
        vectors, lengths, side=side, k_sim=PLANES, repetitions=REPETITIONS, projection_dim=BUCKET_DIM,
        seed=pipeline.seed % 2**32,
    )  # fmt: skip
