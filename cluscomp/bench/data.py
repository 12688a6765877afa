"""Vectors to measure with: real token vectors where they can be had, stated synthetic ones elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import cluscomp
from cluscomp.arrays import iter_blocks, normalize_rows
from cluscomp.bench import token_vectors
from cluscomp.bench.settings import Settings
from cluscomp.errors import InputError, MissingInputError
from cluscomp.inputs.embeddings import open_embeddings
from cluscomp.progress import Progress, silent

COLLECTION = "scifact"
TOKENS, MIXTURE, NOISE, FILE = "tokens", "mixture", "noise", "file"

MIXTURE_CLUSTERS = 2000
_DECAY = 20.0  # directions until the variance falls by e: the effective dimension is twice that
_FLOOR = 0.002  # variance of every direction, relative to the first
_SPREAD = 0.6  # standard deviation within a cluster, relative to that of the centres
_BLOCK = 65_536


@dataclass(frozen=True)
class Rows:
    """x: (n, d) float32. name: of the data, as the report uses it."""

    x: np.ndarray
    name: str


class DataSource:
    """Gives the rows of all cases, and keeps what the report must say of each kind of data."""

    def __init__(self, settings: Settings, progress: Progress = silent) -> None:
        self._settings = settings
        self._progress = progress
        self.descriptions: dict[str, str] = {}

    def vectors(self, n: int, dim: int = token_vectors.DIM) -> Rows:
        """N rows: token vectors (or the mixture) where dim is theirs, and Gaussian noise elsewhere."""
        return self.embeddings(n) if dim == token_vectors.DIM else self.noise(n, dim)

    def embeddings(self, n: int) -> Rows:
        """N rows of dim 384 and length 1: token vectors where they can be had, else the mixture."""
        if self._settings.embeddings is not None:
            self.descriptions[FILE] = f"the first rows of {self._settings.embeddings.name}, L2-normalised"
            return Rows(_rows_of_file(self._settings.embeddings, n), FILE)
        tokens, reason = self._tokens(n)
        if tokens is not None:
            self.descriptions[TOKENS] = (
                "token outputs of all-MiniLM-L6-v2 (256 tokens a text) over the documents of "
                f"{COLLECTION}, in order, L2-normalised, {token_vectors.DIM}-d float32"
            )
            return Rows(tokens, TOKENS)
        self.descriptions[MIXTURE] = f"{mixture_text()}; {reason}"
        return Rows(mixture(n, token_vectors.DIM, self._settings.seed), MIXTURE)

    def noise(self, n: int, dim: int) -> Rows:
        """N rows of standard Gaussian noise."""
        self.descriptions[NOISE] = "independent standard Gaussian values: no structure, the worst case"
        rng = np.random.default_rng((self._settings.seed, dim))
        return Rows(rng.standard_normal((n, dim), dtype=np.float32), NOISE)

    def base_and_queries(self, n: int, n_queries: int) -> tuple[Rows, np.ndarray]:
        """N rows to search among, and queries (n_queries, 384) spread over ten times as many later rows."""
        rows = self.embeddings(n + 10 * n_queries)
        return Rows(rows.x[:n], rows.name), np.ascontiguousarray(rows.x[n::10])

    def _tokens(self, n: int) -> tuple[np.ndarray | None, str]:
        """Rows, or None and why there are none."""
        folder, reason = find_collection(self._settings.data)
        if folder is None:
            return None, reason
        stored = token_vectors.cached(folder, n)
        if stored is None and self._settings.quick:
            return None, "token vectors are not encoded yet, and --quick does not encode"
        if stored is None:
            lacking = token_vectors.lacking_packages()
            if lacking:
                return None, f"token vectors need {lacking}: pip install 'cluscomp[demo]'"
            stored = token_vectors.encode(folder, n, self._progress)
        return _unit_rows(stored[:n]), ""


def find_collection(folder: Path | None) -> tuple[Path | None, str]:
    """The folder of the text collection, or None and why there is none.

    folder: holds the collection, or is it; None = $CLUSCOMP_SHARED_DATA, else shared/data beside the
    checkout.
    Raises MissingInputError when a folder was given and has no collection.
    """
    place = folder or Path(os.environ.get("CLUSCOMP_SHARED_DATA") or _beside_the_checkout())
    for candidate in (place / COLLECTION, place):
        if (candidate / "corpus.jsonl").is_file():
            return candidate, ""
    if folder is not None:
        raise MissingInputError(f"{folder} has neither {COLLECTION}/corpus.jsonl nor corpus.jsonl")
    return None, f"no collection {COLLECTION} is here: name its folder with --data or CLUSCOMP_SHARED_DATA"


def _rows_of_file(path: Path, n: int) -> np.ndarray:
    """The first n rows of a file of vectors, float32 of length 1. Raises as `open_embeddings`, InputError."""
    source = open_embeddings(path)
    if source.dim != token_vectors.DIM:
        raise InputError(
            f"{path} has rows of {source.dim} values, but the cases are made for {token_vectors.DIM}; leave "
            "--embeddings out, or name a file of such rows"
        )
    if source.n < n:
        raise InputError(f"{path} has {source.n} rows, but the case needs {n} with its queries; lower --n")
    rows = np.empty((n, source.dim), dtype=np.float32)
    for block in iter_blocks(n, _BLOCK):
        rows[block] = normalize_rows(source.read(block.start, block.stop))
    return rows


def _beside_the_checkout() -> Path:
    return Path(cluscomp.__file__).resolve().parents[2] / "shared" / "data"


def _unit_rows(stored: np.ndarray) -> np.ndarray:
    """float32 rows of length 1 from rows that were stored in half precision."""
    rows = np.empty(stored.shape, dtype=np.float32)
    for block in iter_blocks(stored.shape[0], _BLOCK):
        rows[block] = normalize_rows(np.asarray(stored[block]))
    return rows


# ---- the stated mixture ----------------------------------------------------------------------------


def mixture_text() -> str:
    """What the report says of `mixture`."""
    return (
        f"synthetic mixture of {MIXTURE_CLUSTERS} Gaussian clusters with power-law sizes on the unit sphere, "
        f"effective dimension about {2 * _DECAY:.0f}, {token_vectors.DIM}-d float32"
    )


def mixture(n: int, dim: int, seed: int) -> np.ndarray:
    """N rows (n, dim) float32 of length 1, in random order.

    Centres and rows around them are Gaussian with variance exp(-j / 20) + 0.002 along random direction j, so
    that the participation ratio (sum of variances, squared, over the sum of their squares) is about 40;
    the spread around a centre is 0.6 of that of the centres. Cluster c gets a share in proportion to
    1 / (c + 10). Rows are scaled to length 1.
    """
    rng = np.random.default_rng(seed)
    scale = np.sqrt(np.exp(-np.arange(dim) / _DECAY) + _FLOOR).astype(np.float32)
    turn = np.linalg.qr(rng.standard_normal((dim, dim)))[0].astype(np.float32)
    directions = scale[:, None] * turn
    centres = rng.standard_normal((MIXTURE_CLUSTERS, dim), dtype=np.float32)
    shares = 1.0 / (np.arange(MIXTURE_CLUSTERS) + 10.0)
    labels = rng.choice(MIXTURE_CLUSTERS, size=n, p=shares / shares.sum())
    rows = np.empty((n, dim), dtype=np.float32)
    for block in iter_blocks(n, _BLOCK):
        around = rng.standard_normal((block.stop - block.start, dim), dtype=np.float32)
        rows[block] = normalize_rows((centres[labels[block]] + np.float32(_SPREAD) * around) @ directions)
    return rows
