"""Other libraries of late interaction as rows of token vectors.

    fastplaid:nbits=4                    fast-plaid, the index behind pylate.indexes.PLAID
    pylate:index=scann,k_token=100       PyLate's retriever over its ScaNN index of single token vectors

Documents are numbered, and all files that a library writes count. PyLate's ScaNN index keeps every token
vector in float, and the documents of each query token's `k_token` nearest are scored by exact MaxSim. (Its
Voyager index does not take documents with voyager 2.2.3: its add_items refuses PyLate's list of rows.)
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from cluscomp import native
from cluscomp.arrays import normalize_rows, to_float32
from cluscomp.baselines import library
from cluscomp.errors import OptionalDependencyError, UsageError
from cluscomp.eval.compare.adapter import Grid, combinations, library_errors, options
from cluscomp.eval.compare.config import Form
from cluscomp.multivector import Ragged

NAME = "index"


def _matrices(rows: np.ndarray, offsets: np.ndarray, metric: str) -> list[np.ndarray]:
    """One float32 matrix a text."""
    rows = to_float32(rows)
    rows = normalize_rows(rows) if metric == "cosine" else rows
    return [np.array(part) for part in np.split(rows, offsets[1:-1])]


def _asked(queries: np.ndarray, lengths: Any, metric: str) -> list[np.ndarray]:
    return _matrices(queries, np.concatenate([[0], np.cumsum(lengths)]), metric)


def _tensors(matrices: list[np.ndarray]) -> list[Any]:
    import torch

    return [torch.from_numpy(matrix) for matrix in matrices]


def _table(found: list[list[tuple[int, float]]], k: int) -> tuple[np.ndarray, np.ndarray]:
    scores = np.full((len(found), k), -np.inf, dtype=np.float32)
    numbers = np.full((len(found), k), -1, dtype=np.int64)
    for row, hits in enumerate(found):
        for column, (number, score) in enumerate(hits[:k]):
            scores[row, column], numbers[row, column] = score, number
    return scores, numbers


@contextmanager
def _torch_threads() -> Iterator[None]:
    """Torch's threads are the native core's, as long as its searches are measured."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(native.get_num_threads())
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _LateAdapter:
    """What these libraries have in common."""

    library = ""
    seeded, content = False, None
    form: Form = "tokens"
    _DEFAULTS: ClassVar[dict[str, Any]] = {}

    def __init__(self, key: str) -> None:
        self.key = key
        self.options = options(self.library, key, self._DEFAULTS)


class FastPlaid(_LateAdapter):
    """fast-plaid: centroids of token vectors, residuals of `nbits` bits a dimension."""

    library = "fastplaid"
    seeded = True
    _DEFAULTS: ClassVar[dict[str, Any]] = {"nbits": 4, "n_full_scores": 4096}

    def check(self, dim: int, metric: str) -> None:
        library("fastplaid")
        _require_its_torch("fast-plaid")

    def parameters(self, grid: Grid) -> list[dict[str, int]]:
        return combinations({"nprobe": None}, {**grid, "nprobe": grid.get("nprobe") or (8,)})

    def build(self, documents: Ragged, metric: str, seed: int, folder: Path) -> None:
        with library_errors(self.library, self.key), _torch_threads():
            _plaid(folder).create(
                documents_embeddings=_tensors(_matrices(documents.rows, documents.offsets, metric)),
                nbits=int(self.options["nbits"]),
                seed=seed,
            )

    def open(self, folder: Path, metric: str) -> OpenedFastPlaid:
        return OpenedFastPlaid(_plaid(folder), metric, int(self.options["n_full_scores"]))


def _plaid(folder: Path) -> Any:
    search = library("fastplaid", "search")
    return search.FastPlaid(index=str(folder / NAME), device="cpu")


def _require_its_torch(distribution: str) -> None:
    """Refuse another torch than the one that an extension was compiled for: the process would crash."""
    import torch

    for wanted in importlib.metadata.requires(distribution) or []:
        exact = re.match(r"torch\s*\(?==\s*([\d.]+)", wanted)
        if exact and torch.__version__.split("+")[0] != exact.group(1):
            raise OptionalDependencyError(
                f"{distribution} {importlib.metadata.version(distribution)} is compiled for torch "
                f"{exact.group(1)}, but {torch.__version__} is installed, with which it crashes; run its "
                f"rows in an environment with torch=={exact.group(1)}"
            )


class OpenedFastPlaid:
    """A fast-plaid index, mapped from its folder."""

    index = None

    def __init__(self, plaid: Any, metric: str, n_full_scores: int) -> None:
        self._plaid, self._metric, self._n_full_scores = plaid, metric, n_full_scores

    def search(self, queries: np.ndarray, k: int, **parameters: Any) -> tuple[np.ndarray, np.ndarray]:
        """See `adapter.Opened`. In this process, as the other rows are."""
        with _torch_threads():
            found = self._plaid.search(
                queries_embeddings=_tensors(_asked(queries, parameters["lengths"], self._metric)),
                top_k=k,
                n_ivf_probe=parameters["nprobe"],
                n_full_scores=max(k, self._n_full_scores),
                show_progress=False,
                n_processes=1,
            )
        return _table(found, k)


class PyLate(_LateAdapter):
    """PyLate's retriever over its index of single token vectors."""

    library = "pylate"
    _DEFAULTS: ClassVar[dict[str, Any]] = {"index": "scann", "k_token": 100}

    def __init__(self, key: str) -> None:
        super().__init__(key)
        if self.options["index"] != "scann":
            raise UsageError(
                f"key 'pylate:{key}': index is {self.options['index']!r}; valid is scann; PLAID is the "
                "library 'fastplaid'"
            )

    def check(self, dim: int, metric: str) -> None:
        library("pylate")
        library("scann")

    def parameters(self, grid: Grid) -> list[dict[str, int]]:
        return [{}]

    def build(self, documents: Ragged, metric: str, seed: int, folder: Path) -> None:
        with library_errors(self.library, self.key), _torch_threads(), redirect_stderr(StringIO()):
            index = self._index(folder, documents.dim, override=True)
            index.add_documents(
                documents_ids=[str(number) for number in range(len(documents))],
                documents_embeddings=_matrices(documents.rows, documents.offsets, metric),
            )
        (folder / "dim").write_text(str(documents.dim), encoding="utf-8")

    def open(self, folder: Path, metric: str) -> OpenedPyLate:
        retrieve = library("pylate", "retrieve")
        _point_at(folder / NAME)
        index = self._index(folder, int((folder / "dim").read_text(encoding="utf-8")), override=False)
        retriever = retrieve.ColBERT(index=index)
        retriever._show_progress = lambda: False
        return OpenedPyLate(retriever, metric, int(self.options["k_token"]))

    def _index(self, folder: Path, dim: int, *, override: bool) -> Any:
        return library("pylate", "indexes").ScaNN(
            index_folder=str(folder), index_name=NAME, embedding_size=dim, override=override
        )


def _point_at(folder: Path) -> None:
    """PyLate's ScaNN index names its files by their full path; the folder was renamed after the build."""
    assets = folder / "scann_assets.pbtxt"
    if assets.exists():
        text = assets.read_text(encoding="utf-8")
        moved = re.sub(r'"[^"]*/([^"/]+)"', lambda found: f'"{folder.resolve()}/{found.group(1)}"', text)
        assets.write_text(moved, encoding="utf-8")


class OpenedPyLate:
    """PyLate's retriever over a stored index."""

    index = None

    def __init__(self, retriever: Any, metric: str, k_token: int) -> None:
        self._retriever, self._metric, self._k_token = retriever, metric, k_token

    def search(self, queries: np.ndarray, k: int, **parameters: Any) -> tuple[np.ndarray, np.ndarray]:
        """See `adapter.Opened`."""
        with _torch_threads():
            found = self._retriever.retrieve(
                queries_embeddings=_asked(queries, parameters["lengths"], self._metric),
                k=k,
                k_token=self._k_token,
                device="cpu",
            )
        return _table([[(int(hit["id"]), hit["score"]) for hit in hits] for hits in found], k)
