"""Other libraries as rows of the same table: faiss, ScaNN, hnswlib, usearch. Each is imported when its key is
built.

    faiss:KEY                           any key of faiss's index_factory
    scann:leaves=100,dims=2,reorder=1   tree of `leaves`, anisotropic codes of 4 bits per `dims` dimensions
    hnswlib:M=16,ef_construction=200
    usearch:connectivity=16,expansion_add=128,dtype=f32   dtype also f16, i8

cosine: rows and queries are normalised here, and searched by inner product.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from cluscomp import native
from cluscomp.arrays import normalize_rows
from cluscomp.baselines import library
from cluscomp.eval.compare.adapter import Grid, combinations, library_errors, options
from cluscomp.eval.compare.config import Form

FILE = "index.bin"


def _rows(x: np.ndarray, metric: str) -> np.ndarray:
    rows = np.ascontiguousarray(x, dtype=np.float32)
    return normalize_rows(rows) if metric == "cosine" else rows


def _in_order(similarity: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores and numbers as `adapter.Opened` wants them; libraries mark missing hits in different ways."""
    numbers = numbers.astype(np.int64)
    scores = np.where(numbers < 0, -np.inf, similarity).astype(np.float32)
    return scores, numbers


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Drop what native code writes to file descriptor 2; errors come as exceptions."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class _Common:
    """What the libraries have in common."""

    library = ""
    seeded = False
    form: Form = "dense"
    content = None

    def __init__(self, key: str) -> None:
        self.key = key

    def lib(self) -> Any:
        """The imported module."""
        return library(self.library)

    def check(self, dim: int, metric: str) -> None:
        self.lib()


class Faiss(_Common):
    """A key of faiss's index_factory. Training uses faiss's own fixed seeds."""

    library = "faiss"

    def check(self, dim: int, metric: str) -> None:
        with library_errors(self.library, self.key):
            self._empty(dim, metric)

    def parameters(self, grid: Grid) -> list[dict[str, int]]:
        known: dict[str, int | None] = {}
        lists = re.search(r"(?:^|,)IVF(\d+)", self.key)
        if lists:
            known["nprobe"] = int(lists.group(1))
        if re.search(r"(?:^|,)(?:RFlat|Refine\()", self.key):
            known["refine_factor"] = None
        if re.search(r"(?:^|,)HNSW\d", self.key):
            known["ef"] = None
        return combinations(known, grid)

    def learns(self, dim: int, metric: str) -> bool:
        return not self._empty(dim, metric).is_trained

    def build(self, documents: np.ndarray, metric: str, seed: int, folder: Path) -> None:
        self.build_from(documents, documents, metric, seed, folder)

    def build_from(
        self, training: np.ndarray, documents: np.ndarray, metric: str, seed: int, folder: Path
    ) -> None:
        rows = _rows(documents, metric)
        with library_errors(self.library, self.key):
            index = self._empty(rows.shape[1], metric)
            with _quiet_stderr():  # a line for every clustering of fewer points than faiss likes
                index.train(_rows(training, metric))
            index.add(rows)
            self.lib().write_index(index, str(folder / FILE))

    def open(self, folder: Path, metric: str) -> OpenedFaiss:
        return OpenedFaiss(self.lib(), folder / FILE, metric)

    def _empty(self, dim: int, metric: str) -> Any:
        faiss = self.lib()
        faiss.omp_set_num_threads(native.get_num_threads())
        return faiss.index_factory(
            dim, self.key, faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
        )


class OpenedFaiss:
    """A faiss index, read from its file."""

    index = None
    _NAMES: ClassVar = {"nprobe": "nprobe", "refine_factor": "k_factor_rf", "ef": "efSearch"}

    def __init__(self, faiss: Any, file: Path, metric: str) -> None:
        self._faiss, self._metric = faiss, metric
        self._index = faiss.read_index(str(file))
        self._set: dict[str, int] = {}

    def search(self, queries: np.ndarray, k: int, **parameters: int) -> tuple[np.ndarray, np.ndarray]:
        """See `adapter.Opened`."""
        if parameters != self._set:
            for name, value in parameters.items():
                self._faiss.ParameterSpace().set_index_parameter(self._index, self._NAMES[name], value)
            self._set = dict(parameters)
        scores, numbers = self._index.search(_rows(queries, self._metric), k)
        return _in_order(-scores if self._metric == "l2" else scores, numbers)


class Hnswlib(_Common):
    """A graph of hnswlib over float32 rows."""

    library = "hnswlib"
    seeded = True
    _DEFAULTS: ClassVar[dict[str, Any]] = {"M": 16, "ef_construction": 200}

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self._options = options(self.library, key, self._DEFAULTS)

    def parameters(self, grid: Grid) -> list[dict[str, int]]:
        return combinations({"ef": None}, grid)

    def build(self, documents: np.ndarray, metric: str, seed: int, folder: Path) -> None:
        rows = _rows(documents, metric)
        with library_errors(self.library, self.key):
            index = self.lib().Index(space="l2" if metric == "l2" else "ip", dim=rows.shape[1])
            index.init_index(max_elements=len(rows), random_seed=seed, **self._options)
            # One thread: several insert in no fixed order, and the graph would differ each time.
            index.add_items(rows, np.arange(len(rows)), num_threads=1)
            index.save_index(str(folder / FILE))
        (folder / "dim.json").write_text(json.dumps(rows.shape[1]), encoding="utf-8")

    def open(self, folder: Path, metric: str) -> OpenedHnswlib:
        dim = json.loads((folder / "dim.json").read_text(encoding="utf-8"))
        index = self.lib().Index(space="l2" if metric == "l2" else "ip", dim=dim)
        index.load_index(str(folder / FILE))
        return OpenedHnswlib(index, metric)


class OpenedHnswlib:
    """A graph of hnswlib, read from its file."""

    index = None

    def __init__(self, index: Any, metric: str) -> None:
        self._index, self._metric = index, metric

    def search(self, queries: np.ndarray, k: int, **parameters: int) -> tuple[np.ndarray, np.ndarray]:
        """See `adapter.Opened`. The list of candidates cannot be shorter than k."""
        self._index.set_ef(max(k, parameters["ef"]))
        self._index.set_num_threads(native.get_num_threads())
        numbers, distances = self._index.knn_query(_rows(queries, self._metric), k)
        return _in_order(-distances if self._metric == "l2" else 1 - distances, numbers.astype(np.int64))


class Usearch(_Common):
    """A graph of usearch, whose vectors may be kept in fewer bits."""

    library = "usearch"
    _DEFAULTS: ClassVar[dict[str, Any]] = {"connectivity": 16, "expansion_add": 128, "dtype": "f32"}

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self._options = options(self.library, key, self._DEFAULTS)

    def lib(self) -> Any:
        return library(self.library, "index")

    def parameters(self, grid: Grid) -> list[dict[str, int]]:
        return combinations({"ef": None}, grid)

    def build(self, documents: np.ndarray, metric: str, seed: int, folder: Path) -> None:
        rows = _rows(documents, metric)
        with library_errors(self.library, self.key):
            metric_name = "l2sq" if metric == "l2" else "ip"
            index = self.lib().Index(ndim=rows.shape[1], metric=metric_name, **self._options)
            index.add(np.arange(len(rows)), rows, threads=1)  # as in hnswlib
            index.save(str(folder / FILE))

    def open(self, folder: Path, metric: str) -> OpenedUsearch:
        return OpenedUsearch(self.lib().Index.restore(str(folder / FILE)), metric)


class OpenedUsearch:
    """A graph of usearch, read from its file."""

    index = None

    def __init__(self, index: Any, metric: str) -> None:
        self._index, self._metric = index, metric

    def search(self, queries: np.ndarray, k: int, **parameters: int) -> tuple[np.ndarray, np.ndarray]:
        """See `adapter.Opened`."""
        self._index.expansion_search = max(k, parameters["ef"])
        rows = _rows(queries, self._metric)
        found = self._index.search(rows, k, threads=native.get_num_threads())
        shape = (len(rows), k)
        distances, numbers = np.full(shape, np.inf), np.full(shape, -1, dtype=np.int64)
        width = np.asarray(found.keys).reshape(len(rows), -1).shape[1]
        distances[:, :width] = np.asarray(found.distances).reshape(len(rows), -1)
        numbers[:, :width] = np.asarray(found.keys).reshape(len(rows), -1).astype(np.int64)
        return _in_order(-distances if self._metric == "l2" else 1 - distances, numbers)


class Scann(_Common):
    """ScaNN: a tree of lists, anisotropic product codes of 4 bits, and a rerank with the rows themselves."""

    library = "scann"
    _DEFAULTS: ClassVar[dict[str, Any]] = {"leaves": 0, "dims": 2, "reorder": 1, "threshold": 0.2}

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self._options = options(self.library, key, self._DEFAULTS)

    def parameters(self, grid: Grid) -> list[dict[str, int]]:
        known: dict[str, int | None] = {}
        if self._options["leaves"]:
            known["nprobe"] = int(self._options["leaves"])
        if self._options["reorder"]:
            known["refine_factor"] = None
        return combinations(known, grid)

    def build(self, documents: np.ndarray, metric: str, seed: int, folder: Path) -> None:
        rows = _rows(documents, metric)
        with library_errors(self.library, self.key):
            scann = self.lib()
            distance = "squared_l2" if metric == "l2" else "dot_product"
            builder = scann.scann_ops_pybind.builder(rows, 10, distance)
            leaves = int(self._options["leaves"])
            if leaves:
                builder = builder.tree(leaves, max(1, math.isqrt(leaves)), training_sample_size=len(rows))
            threshold = math.nan if metric == "l2" else float(self._options["threshold"])
            builder = builder.score_ah(
                int(self._options["dims"]), anisotropic_quantization_threshold=threshold
            )
            if self._options["reorder"]:
                builder = builder.reorder(40)
            builder.build().serialize(str(folder), relative_path=True)  # the folder is renamed

    def open(self, folder: Path, metric: str) -> OpenedScann:
        with library_errors(self.library, self.key):
            return OpenedScann(self.lib().scann_ops_pybind.load_searcher(str(folder)), metric)


class OpenedScann:
    """A ScaNN searcher, loaded from its folder."""

    index = None

    def __init__(self, searcher: Any, metric: str) -> None:
        self._searcher, self._metric = searcher, metric

    def search(self, queries: np.ndarray, k: int, **parameters: int) -> tuple[np.ndarray, np.ndarray]:
        """See `adapter.Opened`. A single query is searched by ScaNN's own call for one."""
        settings = {}
        if "nprobe" in parameters:
            settings["leaves_to_search"] = parameters["nprobe"]
        if "refine_factor" in parameters:
            settings["pre_reorder_num_neighbors"] = parameters["refine_factor"] * k
        rows = _rows(queries, self._metric)
        if len(rows) == 1:
            numbers, scores = self._searcher.search(rows[0], k, **settings)
            numbers, scores = numbers[None, :], scores[None, :]
        else:
            self._searcher.set_num_threads(native.get_num_threads())
            numbers, scores = self._searcher.search_batched_parallel(rows, k, **settings)
        return _padded(_similarities(scores, self._metric), numbers, k)


def _similarities(scores: np.ndarray, metric: str) -> np.ndarray:
    return -scores if metric == "l2" else scores


def _padded(scores: np.ndarray, numbers: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Results of fewer than k columns, or NaN scores, as missing hits."""
    shape = (len(scores), k)
    all_scores, all_numbers = np.full(shape, -np.inf), np.full(shape, -1, dtype=np.int64)
    all_scores[:, : scores.shape[1]] = scores
    all_numbers[:, : numbers.shape[1]] = numbers
    all_numbers[~np.isfinite(all_scores)] = -1
    return _in_order(all_scores, all_numbers)
