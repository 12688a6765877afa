"""The config file of a benchmark: datasets x keys x search parameters.

    encoder = "minilm"
    keys = ["Flat", "OPQ48,IVF64,PQ48", "faiss:IVF64,PQ48", "hnswlib:M=16"]
    datasets = ["scifact", { path = "npl", split = "test" }]

    [search]
    nprobe = [1, 4, 16]

Paths are relative to the folder of the file. `SETTINGS`, `DATASET` and `KEY` say what may stand where.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluscomp.errors import MissingInputError, OptionalDependencyError, UsageError

SEARCH_PARAMETERS = ("nprobe", "refine_factor", "ef")
METRICS = ("ip", "l2", "cosine")

SETTINGS: Mapping[str, type | tuple[type, ...]] = {
    "title": str,
    "datasets": list,
    "keys": list,
    "search": dict,
    "encoder": str,
    "metric": str,
    "k": int,
    "seed": int,
    "threads": int,
    "repeats": int,
}
DATASET: Mapping[str, type | tuple[type, ...]] = {
    "path": str,
    "name": str,
    "split": str,
    "encoder": str,
    "metric": str,
    "embeddings": str,
    "ids": str,
    "query_embeddings": str,
    "query_ids": str,
}
KEY: Mapping[str, type | tuple[type, ...]] = dict.fromkeys(("key", "label"), str) | dict.fromkeys(
    SEARCH_PARAMETERS, (int, list)
)


@dataclass(frozen=True)
class DatasetSpec:
    """A judged collection, and where its vectors come from: an encoder, or files of vectors.

    path: folder in the layout of BEIR or MS MARCO, or a hub id such as "BeIR/scifact"; None without
    judgements, when quality is measured against the exact neighbours alone. Files are relative to `base`.
    """

    name: str
    path: str | None
    split: str
    metric: str
    encoder: str | None
    base: Path
    embeddings: Path | None = None
    ids: Path | None = None
    query_embeddings: Path | None = None
    query_ids: Path | None = None


@dataclass(frozen=True)
class KeySpec:
    """An index to measure: `library:key`, or a key of this project. search: parameters that differ from the
    common ones.
    """

    library: str
    key: str
    label: str
    search: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class BenchmarkConfig:
    """All that a benchmark depends on. search: values by parameter. k: results a query, at least 10."""

    title: str
    datasets: tuple[DatasetSpec, ...]
    keys: tuple[KeySpec, ...]
    search: Mapping[str, tuple[int, ...]]
    k: int = 100
    seed: int = 0
    threads: int | None = None
    repeats: int = 3
    file: Path | None = None


def read_config(path: str | Path) -> BenchmarkConfig:
    """Read a benchmark's TOML file. Raises MissingInputError, UsageError naming what is wrong."""
    path = Path(path)
    try:
        with path.open("rb") as handle:
            content = _toml().load(handle)
    except OSError as exc:
        raise MissingInputError(f"cannot read the benchmark config {path}: {exc.strerror}") from exc
    except ValueError as exc:
        raise UsageError(f"the benchmark config {path} is not valid TOML: {exc}") from exc
    return parse_config(content, base=path.parent, file=path)


def parse_config(
    content: Mapping[str, Any], *, base: str | Path = ".", file: Path | None = None
) -> BenchmarkConfig:
    """The config of a parsed TOML file, or of a mapping of the same form. base: folder of relative paths."""
    where = "the benchmark config" if file is None else f"the benchmark config {file}"
    _check(content, SETTINGS, where)
    for needed in ("datasets", "keys"):
        if not content.get(needed):
            raise UsageError(f"{where} has no {needed}; it needs a list of at least one")
    datasets = tuple(_dataset(entry, content, Path(base), where) for entry in content["datasets"])
    keys = tuple(_key(entry, where) for entry in content["keys"])
    _refuse_repeated([dataset.name for dataset in datasets], "dataset", where)
    _refuse_repeated([f"{key.library}:{key.key}" for key in keys], "key", where)
    numbers = {name: content[name] for name in ("k", "seed", "threads", "repeats") if name in content}
    for name, value in numbers.items():
        least = {"k": 10, "seed": 0}.get(name, 1)
        if value < least:
            raise UsageError(f"{where}: {name} is {value}, but must be at least {least}")
    return BenchmarkConfig(
        title=content.get("title", "Benchmark"),
        datasets=datasets,
        keys=keys,
        search=_search(content.get("search", {}), where),
        file=file,
        **numbers,
    )


def _toml() -> Any:
    try:
        return importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    except ImportError as exc:
        raise OptionalDependencyError("reading a config file on Python 3.10 needs the package tomli") from exc


def _dataset(entry: Any, common: Mapping[str, Any], base: Path, where: str) -> DatasetSpec:
    table = {"path": entry} if isinstance(entry, str) else entry
    if not isinstance(table, dict):
        raise UsageError(f"{where}: a dataset is a path or a table, not {entry!r}")
    _check(table, DATASET, f"{where}: a dataset")
    files = {
        name: base / table[name]
        for name in ("embeddings", "ids", "query_embeddings", "query_ids")
        if name in table
    }
    encoder = table.get("encoder", common.get("encoder"))
    metric = table.get("metric", common.get("metric", "ip"))
    if metric not in METRICS:
        raise UsageError(f"{where}: metric {metric!r} is unknown; valid are {', '.join(METRICS)}")
    name = table.get("name") or Path(table.get("path") or table.get("embeddings") or "").name
    if ("embeddings" in files) != ("query_embeddings" in files):
        raise UsageError(f"{where}: dataset {name!r} needs embeddings and query_embeddings, or neither")
    if "embeddings" not in files and not (encoder and "path" in table):
        raise UsageError(
            f"{where}: dataset {name!r} has no vectors; it needs a path and an encoder (such as "
            'encoder = "minilm"), or embeddings and query_embeddings'
        )
    return DatasetSpec(
        name=name,
        path=table.get("path"),
        split=table.get("split", "test"),
        metric=metric,
        encoder=None if "embeddings" in files else encoder,
        base=base,
        **files,
    )


def _key(entry: Any, where: str) -> KeySpec:
    table = {"key": entry} if isinstance(entry, str) else entry
    if not isinstance(table, dict) or not isinstance(table.get("key"), str):
        raise UsageError(f"{where}: a key is a text or a table with a 'key', not {entry!r}")
    name: str = table["key"]
    _check(table, KEY, f"{where}: key {name!r}")
    library, colon, key = name.partition(":")
    if not colon or not library.isidentifier():
        library, key = "cluscomp", name
    grid = {parameter: table[parameter] for parameter in SEARCH_PARAMETERS if parameter in table}
    return KeySpec(library, key, str(table.get("label", name)), _search(grid, where))


def _search(table: Mapping[str, Any], where: str) -> dict[str, tuple[int, ...]]:
    _check(table, dict.fromkeys(SEARCH_PARAMETERS, (int, list)), f"{where}: search")
    grid = {}
    for name, given in table.items():
        values = given if isinstance(given, list) else [given]
        if not values or not all(type(value) is int and value > 0 for value in values):
            raise UsageError(f"{where}: {name} is {given!r}; it needs integers of at least 1")
        grid[name] = tuple(sorted(set(values)))
    return grid


def _check(table: Mapping[str, Any], known: Mapping[str, type | tuple[type, ...]], where: str) -> None:
    """Refuse unknown names and values of another type."""
    for name, value in table.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
            raise UsageError(f"{where} has the unknown setting {name!r}{hint}")
        if not isinstance(value, known[name]) or isinstance(value, bool):
            raise UsageError(f"{where}: {name} is {value!r}, which is of the wrong type")


def _refuse_repeated(names: Sequence[str], what: str, where: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{where} lists the {what} {name!r} twice; keep one, or name them differently")
