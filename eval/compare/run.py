"""Datasets x keys x search parameters, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluscomp import checks, native
from cluscomp.errors import EmptyInputError, OutputExistsError, UsageError
from cluscomp.eval.compare.adapter import Adapter
from cluscomp.eval.compare.collection import Collection
from cluscomp.eval.compare.config import CompareConfig, DatasetSpec, Form, KeySpec
from cluscomp.eval.compare.libraries import adapter
from cluscomp.eval.compare.loading import load_collection
from cluscomp.eval.compare.results import ResultsFile
from cluscomp.eval.compare.rows import Bench, CompareResult
from cluscomp.eval.compare.store import IndexStore
from cluscomp.progress import Progress

RESULTS, INDEXES = "results.jsonl", "indexes"
LACKING = {
    "tokens": ("documents of several vectors", 'tokens = { encoder = "minilm" }, or files of vectors'),
    "dense": ("documents of one vector", 'encoder = "minilm", or files of vectors'),
    "terms": ("words of texts", "path = FOLDER, in which they are"),
    "sparse": ("learned sparse vectors", "terms = { encoder = MODEL }, or .jsonl files of terms"),
}
FORMS = {
    "tokens": "token vectors",
    "dense": "single vectors",
    "terms": "texts",
    "sparse": "learned sparse vectors",
}
"""What a form of documents is called, and what gives a dataset such."""


def compare_indexes(
    config: CompareConfig,
    output: str | Path,
    *,
    if_exists: str = "resume",
    keep_indexes: bool = False,
    collections: Sequence[Collection] | None = None,
    progress: Progress | None = None,
) -> CompareResult:
    """Measure all rows of a comparison that are not in OUTPUT/results.jsonl yet.

    if_exists: of rows that are there already: "resume" keeps those whose dataset, key, parameters, settings
    and library versions are the same; "replace" measures all again; "fail" raises OutputExistsError.
    keep_indexes: leave the built indexes in OUTPUT/indexes, so that a later run need not build them.
    collections: measured instead of the config's datasets.

    A key that does not work on a dataset becomes a row with an "error", and the run goes on; keys of
    libraries that are not installed are skipped, and so are keys of token vectors on datasets without. Raises
    UsageError (a key that can never work), the errors of
    `load_collection`, and EmptyInputError when nothing at all could be measured.
    """
    folder = checks.path("output", output)
    folder.mkdir(parents=True, exist_ok=True)
    file = _results_file(folder, if_exists)
    keys = [(spec, adapter(spec)) for spec in config.keys]
    config = replace(config, datasets=_with_words(config.datasets, keys))
    sources = config.datasets if collections is None else collections
    _check_kinds(keys, sources)
    before = native.get_num_threads()
    if config.threads is not None:
        native.set_num_threads(config.threads)
    result = CompareResult(config, folder, skipped=_without_tokens(keys, sources))
    try:
        bench = Bench(config, file, IndexStore(folder / INDEXES), keep_indexes, result, progress)
        forms = {candidate.form for _, candidate in keys}
        bench.run(keys, _loaded(config, forms, progress) if collections is None else collections)
    finally:
        native.set_num_threads(before)
    if not result.good:
        reasons = "; ".join([*result.skipped.values(), *(row["error"] for row in result.failed)][:3])
        raise EmptyInputError(f"not one row could be measured: {reasons}")
    return result


def _results_file(folder: Path, if_exists: str) -> ResultsFile:
    path = folder / RESULTS
    if path.exists() and if_exists == "fail":
        raise OutputExistsError(
            f"{path} is there already; go on with if_exists='resume', measure again with "
            "if_exists='replace', or name another output"
        )
    if if_exists == "replace":
        path.unlink(missing_ok=True)
    return ResultsFile(path)


def _loaded(config: CompareConfig, forms: set[Form], progress: Progress | None) -> Iterator[Collection]:
    """The datasets that keys of these forms are measured on."""
    encoders: dict[tuple[str, str], Any] = {}
    for spec in config.datasets:
        if spec.form in forms:
            yield load_collection(spec, encoders, progress)


def _check_kinds(
    keys: Sequence[tuple[KeySpec, Adapter]], sources: Sequence[DatasetSpec | Collection]
) -> None:
    """Refuse a key for which there is no dataset of its kind."""
    forms = {source.form for source in sources}
    for key, candidate in keys:
        if candidate.form not in forms:
            parts = [LACKING[part] for part in candidate.form.split("+")]
            lacking, remedy = (" and ".join(texts) for texts in zip(*parts, strict=True))
            raise UsageError(
                f"key {key.label!r} is for {lacking}, and no dataset has them; give a dataset {remedy}"
            )


def _with_words(
    datasets: Sequence[DatasetSpec], keys: Sequence[tuple[KeySpec, Adapter]]
) -> tuple[DatasetSpec, ...]:
    """The datasets, and behind them their terms, alone and beside vectors, where a key asks for such."""
    forms = {candidate.form for _, candidate in keys}
    alone = {
        spec.name: spec.terms for spec in datasets if spec.terms is not None and spec.terms.form in forms
    }
    together = [replace(spec, both=True) for spec in datasets if spec.terms is not None]
    return (*datasets, *alone.values(), *(spec for spec in together if spec.form in forms))


def _without_tokens(
    keys: Sequence[tuple[KeySpec, Adapter]], sources: Sequence[DatasetSpec | Collection]
) -> dict[str, str]:
    """Datasets that lack what some keys need, and what is left out there."""
    found = {}
    names = dict.fromkeys(source.name for source in sources)
    for form in dict.fromkeys((*FORMS, *(candidate.form for _, candidate in keys))):
        what = " and ".join(FORMS[part] for part in form.split("+"))
        have = {source.name for source in sources if source.form == form}
        for name in names:
            left = [key.label for key, candidate in keys if candidate.form == form and key.wanted_on(name)]
            if left and name not in have:
                found[f"{name}, {what}"] = f"{name} has no {what} here: no rows of {', '.join(left)}"
    return found
