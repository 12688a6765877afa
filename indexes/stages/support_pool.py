"""The stage in front of all others of an index whose documents are fitted to MaxSim.

It learns a sample of directions, the same for all documents, and how far the means of Ward's groups lie below
MaxSim by the length of a document (cluscomp.multivector.support). Both are stored with the settings of the
fit, so that documents that are added later are pooled as those before.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.array_forms import form_of
from cluscomp.arrays import normalize_rows, row_norms
from cluscomp.clustering.blocks import take_rows
from cluscomp.errors import InputError
from cluscomp.indexes.keys.pool import WARD, Pool
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.stages.cost import Cost, Shape
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters
from cluscomp.indexes.stages.stage import Stage
from cluscomp.multivector import Ragged, pool_tokens, support_line
from cluscomp.multivector.support import (
    LONGEST,
    SAMPLE_SIZE,
    VALUES_PER_BLOCK,
    SupportFit,
    fit_means,
    pack_sample,
)
from cluscomp.progress import Progress, Ticker

GUIDES = 512
"""Documents, drawn at random, whose token vectors the pool learns from."""
WARD_SHARE = 0.25
"""Of the means of Ward's groups in what is fitted: of the shares tried, that whose worst loss to the better
of Ward and plain support is least (docs/notes/support_pooling.md).
"""
MOST_LENGTHENED = 128
"""How many times as long as tokens fitted vectors may be: the fit never leaves the start by more than its
first error allows.
"""
_BLOCK_TOKENS = 65_536


def make_support(spec: IndexSpec, dim: int, normalizes: bool) -> SupportPool | None:
    """The stage of the pool of a key, None for one that learns nothing."""
    return None if spec.fitted_pool is None else SupportPool(spec.fitted_pool, dim, normalizes)


class SupportPool(Stage):
    """Token vectors of documents -> the vectors that are stored, whose lengths count.

    pool: with `bytes` already replaced. normalizes: token vectors are scaled to length one before.
    """

    needs_training = True

    def __init__(self, pool: Pool, dim: int, normalizes: bool) -> None:
        self.spec, self.dim, self._normalizes = pool, dim, normalizes
        self._arrays: Parameters = {}
        self._packed: Any = None

    def cost(self, shape: Shape) -> Cost:
        """Nothing: documents are pooled before the rows of `shape` are there (build/document_shape.py)."""
        return Cost()

    @property
    def parameter_specs(self) -> dict[str, ArraySpec]:
        """sample: directions, zeros where there were fewer. fit: share, line (b, c), ridge, rounds, steps."""
        return {"sample": ArraySpec("<f2", (SAMPLE_SIZE, self.dim)), "fit": ArraySpec("<f4", (6,))}

    def parameters(self) -> Parameters:
        return dict(self._arrays)

    def load(self, parameters: Parameters) -> None:
        """Raises InputError for settings of the fit that make no sense."""
        share, b, c, ridge, rounds, steps = (float(value) for value in parameters["fit"])
        if not (0 <= share <= 1 and ridge > 0 and 0 <= rounds <= 100 and 0 <= steps <= 1000):
            raise InputError(f"the fit of {self.spec} has the settings {parameters['fit'].tolist()}")
        self._fit = SupportFit(share, (b, c), ridge, int(rounds), int(steps))
        self._arrays = {name: parameters[name] for name in self.parameter_specs}
        self._packed = None

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(array.nbytes for array in self.parameter_specs.values())

    @property
    def working_bytes(self) -> int:
        """Memory while documents are pooled: the sample in float32 and in 16 bits, and its products."""
        return 8 * SAMPLE_SIZE * self.dim + 8 * VALUES_PER_BLOCK

    def learn(self, documents: Ragged, seed: int, directions: np.ndarray | None = None) -> None:
        """Learn from token vectors of documents that `guides` chose; InputError where there are none.

        directions: what `drawn_directions` returns for vectors of queries; None: those of the tokens.
        """
        tokens = self._prepared(documents)
        if tokens.rows.shape[0] == 0:
            raise InputError(f"{self.spec} learns from token vectors, but the documents have none")
        own = drawn_directions(tokens.rows, seed) if directions is None else directions
        sample = np.zeros((SAMPLE_SIZE, self.dim), dtype="<f2")
        sample[: len(own)] = own
        line = support_line(form_of(tokens.rows), tokens.lengths, *self._means(tokens), sample=own)
        share, _, *rest = astuple(SupportFit(WARD_SHARE))
        self.load({"sample": sample, "fit": np.array([share, *line, *rest], dtype="<f4")})

    def pooled(self, documents: Ragged, progress: Progress | None = None) -> Ragged:
        """The vectors that documents keep. They are read in blocks, so rows may be a memory map."""
        parts, kept = [np.empty((0, self.dim), dtype=np.float32)], [np.zeros(1, dtype=np.int64)]
        ticker = Ticker(progress, "pool", len(documents))
        for block in documents.blocks(_BLOCK_TOKENS):
            tokens = self._prepared(documents.part(block))
            means, lengths = self._means(tokens)
            if self._packed is None:
                self._packed = pack_sample(self._arrays["sample"], self.dim)
            fit = (self.spec.protected, self._packed, self._fit)
            parts.append(fit_means(tokens, means, lengths, *fit, lambda _: None))
            kept.append(lengths)
            ticker.advance(block.stop - block.start)
        ticker.finish()
        return Ragged(np.concatenate(parts), np.cumsum(np.concatenate(kept)))

    def _prepared(self, documents: Ragged) -> Ragged:
        return Ragged(normalize_rows(documents.rows), documents.offsets) if self._normalizes else documents

    def _means(self, tokens: Ragged) -> tuple[np.ndarray, np.ndarray]:
        """Means of Ward's groups, as long as their tokens are on average, and how many each document has."""
        pool = self.spec
        means, kept, labels = pool_tokens(
            form_of(tokens.rows),
            tokens.lengths,
            factor=pool.f,
            max_vectors=pool.n,
            method=WARD,
            protected=pool.protected,
            return_labels=True,
        )
        sums = np.bincount(labels, weights=row_norms(tokens.rows), minlength=len(means))
        lengths = sums / np.bincount(labels, minlength=len(means))
        return means * lengths[:, None].astype(np.float32), kept


def drawn_directions(rows: np.ndarray, seed: int) -> np.ndarray:
    """Some of the rows (n, d), scaled to length one: (min(n, SAMPLE_SIZE), d) float16."""
    chosen = np.sort(checks.rng(seed).choice(len(rows), min(SAMPLE_SIZE, len(rows)), replace=False))
    return normalize_rows(take_rows(rows, chosen)).astype("<f2")


def longest_token() -> float:
    """Length that token vectors may have, so that fitted ones stay below `LONGEST`."""
    return LONGEST / MOST_LENGTHENED


def guides(n: int, seed: int) -> np.ndarray:
    """Numbers, ascending, of the documents of n that a pool learns from."""
    return np.sort(checks.rng(seed).choice(n, min(GUIDES, n), replace=False))
