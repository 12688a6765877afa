"""The config file of a comparison: datasets x keys x search parameters.

    encoder = "minilm"
    keys = ["Flat", "OPQ48,IVF64,PQ48", "faiss:IVF64,PQ48", "hnswlib:M=16"]
    datasets = ["scifact", { path = "npl", split = "test" }]

    [search]
    nprobe = [1, 4, 16]

    [tokens]  # token vectors of the same texts, for keys that begin with Pool
    encoder = "minilm"

    [terms]  # for keys of terms, and the second part of hybrid keys; without it the words of the texts
    encoder = "words(stem=porter)"

Paths are relative to the folder of the file. `SETTINGS`, `DATASET` and `KEY` say what may stand where.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluscomp import checks
from cluscomp.errors import MissingInputError, OptionalDependencyError, UsageError
from cluscomp.eval.compare.config import (
    SEARCH_PARAMETERS,
    SPARSE,
    TOKEN_KINDS,
    WORDS,
    CompareConfig,
    DatasetSpec,
    KeySpec,
    trained_elsewhere,
)

SETTINGS: Mapping[str, type | tuple[type, ...]] = {
    "title": str,
    "datasets": list,
    "keys": list,
    "search": dict,
    "tokens": dict,
    "terms": dict,
    "trained_on": str,
    "notes": list,
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
    "tokens": dict,
    "terms": dict,
    "trained_on": str,
}
TOKENS: Mapping[str, type | tuple[type, ...]] = dict.fromkeys(
    ("encoder", "kind", "embeddings", "lengths", "ids", "query_embeddings", "query_lengths", "query_ids"), str
)
TERMS: Mapping[str, type | tuple[type, ...]] = dict.fromkeys(
    ("encoder", "embeddings", "query_embeddings"), str
)
KEY: Mapping[str, type | tuple[type, ...]] = (
    dict.fromkeys(("key", "label"), str) | {"datasets": list} | dict.fromkeys(SEARCH_PARAMETERS, (int, list))
)


def read_config(path: str | Path) -> CompareConfig:
    """Read a TOML file. Raises MissingInputError, UsageError naming what is wrong."""
    path = checks.path("path", path)
    try:
        with path.open("rb") as handle:
            content = _toml().load(handle)
    except OSError as exc:
        raise MissingInputError(f"cannot read the config {path}: {exc.strerror}") from exc
    except ValueError as exc:
        raise UsageError(f"the config {path} is not valid TOML: {exc}") from exc
    return parse_config(content, base=path.parent, file=path)


def parse_config(
    content: Mapping[str, Any], *, base: str | Path = ".", file: Path | None = None
) -> CompareConfig:
    """The config of a parsed TOML file, or of a mapping of the same form. base: folder of relative paths."""
    where = "the config" if file is None else f"the config {file}"
    _check(content, SETTINGS, where)
    for needed in ("datasets", "keys"):
        if not content.get(needed):
            raise UsageError(f"{where} has no {needed}; it needs a list of at least one")
    entries = [_dataset(entry, content, Path(base), where) for entry in content["datasets"]]
    names = [parts[0].name for parts in entries]
    keys = tuple(_key(entry, Path(base), names, where) for entry in content["keys"])
    _refuse_repeated(names, "dataset", where)
    _refuse_repeated([f"{key.library}:{key.key}" for key in keys], "key", where)
    numbers = {name: content[name] for name in ("k", "seed", "threads", "repeats") if name in content}
    for name, value in numbers.items():
        checks.integer(f"{where}: {name}", value, {"k": 10, "seed": 0}.get(name, 1))
    return CompareConfig(
        title=content.get("title", "Comparison"),
        datasets=trained_elsewhere(
            tuple(part for parts in entries for part in parts), _other_training(names, content), where
        ),
        keys=keys,
        search=_search(content.get("search", {}), where),
        file=file,
        notes=tuple(str(note) for note in content.get("notes", ())),
        **numbers,
    )


def _other_training(names: Sequence[str], content: Mapping[str, Any]) -> dict[str, str]:
    """By the names of datasets those that they ask for, or else the one that is to be for all others."""
    common, alone = content.get("trained_on"), len(names) == 1
    found = {name: common for name in names if common != name or alone}
    own = zip(names, content["datasets"], strict=True)
    found |= {
        name: entry["trained_on"] for name, entry in own if isinstance(entry, dict) and "trained_on" in entry
    }
    return {name: other for name, other in found.items() if other is not None}


def _toml() -> Any:
    try:
        return importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    except ImportError as exc:
        raise OptionalDependencyError("reading a config file on Python 3.10 needs the package tomli") from exc


def _dataset(entry: Any, common: Mapping[str, Any], base: Path, where: str) -> list[DatasetSpec]:
    """What one entry asks for: one vector a text, token vectors, or both."""
    table = {"path": entry} if isinstance(entry, str) else entry
    if not isinstance(table, dict):
        raise UsageError(f"{where}: a dataset is a path or a table, not {entry!r}")
    _check(table, DATASET, f"{where}: a dataset")
    metric = checks.metric(table.get("metric", common.get("metric", "ip")), f"{where}: metric")
    tokens = table.get("tokens", common.get("tokens"))
    first = table.get("path") or table.get("embeddings") or (tokens or {}).get("embeddings") or ""
    spec = DatasetSpec(
        name=table.get("name") or Path(first).name,
        path=table.get("path"),
        split=table.get("split", "test"),
        metric=metric,
        encoder=None,
        base=base,
    )
    spec = replace(spec, terms=_terms(spec, table.get("terms", common.get("terms")), where))
    found = [] if tokens is None else [_source(spec, tokens, TOKENS, where)]
    dense = {name: common[name] for name in ("encoder",) if name in common}
    dense |= {name: value for name, value in table.items() if name in _SOURCE}
    if dense or not found:
        found.insert(0, _source(spec, dense, _SOURCE, where))
    return found


def _terms(spec: DatasetSpec, table: Mapping[str, Any] | None, where: str) -> DatasetSpec | None:
    """Where terms of the texts come from: an encoder of words or a model, files, or the words as they are."""
    what = f"{where}: dataset {spec.name!r}, terms"
    _check(table or {}, TERMS, what)
    files = {n: spec.base / value for n, value in (table or {}).items() if n != "encoder"}
    if len(files) == 1:
        raise UsageError(f"{what} needs embeddings and query_embeddings, or neither")
    if files:
        return replace(spec, metric="ip", kind=SPARSE, **files)
    if spec.path is None:
        return None
    encoder = (table or {}).get("encoder", WORDS)
    kind = WORDS if encoder.partition("(")[0] == WORDS else SPARSE
    return replace(
        spec, metric="ip", encoder=encoder if kind == WORDS else _local(encoder, spec.base), kind=kind
    )


_SOURCE = {name: DATASET[name] for name in ("encoder", "embeddings", "ids", "query_embeddings", "query_ids")}


def _source(
    spec: DatasetSpec, table: Mapping[str, Any], known: Mapping[str, type | tuple[type, ...]], where: str
) -> DatasetSpec:
    """The spec with the files or the encoder that a table names. known: TOKENS, or those of one vector."""
    dense = known is _SOURCE
    what = f"{where}: dataset {spec.name!r}" + ("" if dense else ", tokens")
    _check(table, known, what)
    kind = "dense" if dense else table.get("kind", "tokens")
    if kind not in ("dense", *TOKEN_KINDS) or (kind == "dense") != dense:
        raise checks.unknown(f"{what}: kind", kind, TOKEN_KINDS)
    files = {n: spec.base / value for n, value in table.items() if n not in ("encoder", "kind")}
    if ("embeddings" in files) != ("query_embeddings" in files):
        raise UsageError(f"{what} needs embeddings and query_embeddings, or neither")
    for vectors, lengths in (("embeddings", "lengths"), ("query_embeddings", "query_lengths")):
        if not dense and vectors in files and lengths not in files and files[vectors].suffix != ".npz":
            raise UsageError(f"{what} has {vectors} but no {lengths}, a .npy file with one number a text")
    if "embeddings" not in files and not (table.get("encoder") and spec.path is not None):
        raise UsageError(
            f"{what} has no vectors; it needs a path and an encoder (such as "
            'encoder = "minilm"), or embeddings and query_embeddings'
        )
    if not dense and spec.metric == "l2":
        raise UsageError(f"{what}: token vectors are compared by MaxSim, metric 'ip' or 'cosine', not 'l2'")
    encoder = None if "embeddings" in files else _local(table["encoder"], spec.base)
    return replace(spec, encoder=encoder, kind=kind, **files)


def _local(encoder: str, base: Path) -> str:
    """An encoder by name, or by the path of a folder relative to the config."""
    return str(base / encoder) if (base / encoder).is_dir() else encoder


def _key(entry: Any, base: Path, datasets: Sequence[str], where: str) -> KeySpec:
    table = {"key": entry} if isinstance(entry, str) else entry
    if not isinstance(table, dict) or not isinstance(table.get("key"), str):
        raise UsageError(f"{where}: a key is a text or a table with a 'key', not {entry!r}")
    name: str = table["key"]
    _check(table, KEY, f"{where}: key {name!r}")
    library, colon, key = name.partition(":")
    if not colon or not library.isidentifier():
        library, key = "cluscomp", name
    if library == "cluscomp":  # a trained codec's folder is relative to the config, as all paths
        key = re.sub(r"RepCONC\(([^()]+)\)", lambda found: f"RepCONC({base / found.group(1)})", key)
    for wanted in table.get("datasets", ()):
        checks.one_of(f"{where}: key {name!r}: dataset", wanted, datasets)
    grid = {parameter: table[parameter] for parameter in SEARCH_PARAMETERS if parameter in table}
    only = tuple(table["datasets"]) if "datasets" in table else None
    return KeySpec(library, key, str(table.get("label", name)), _search(grid, where), only)


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
            raise checks.unknown(f"{where}: setting", name, known)
        if not isinstance(value, known[name]) or isinstance(value, bool):
            raise UsageError(f"{where}: {name} is {value!r}, which is of the wrong type")


def _refuse_repeated(names: Sequence[str], what: str, where: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{where} lists the {what} {name!r} twice; keep one, or name them differently")
