"""Datasets x keys x search parameters, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

from cluscomp import __version__, baselines, checks, native
from cluscomp.errors import (
    CluscompError,
    EmptyInputError,
    OptionalDependencyError,
    OutputExistsError,
    UsageError,
)
from cluscomp.eval.compare.adapter import Adapter, LearnsApart, Opened
from cluscomp.eval.compare.collection import Collection
from cluscomp.eval.compare.commands import rebuild_command
from cluscomp.eval.compare.config import SEARCH_PARAMETERS, CompareConfig, DatasetSpec, Form, KeySpec
from cluscomp.eval.compare.elsewhere import TRAINED_ON, elsewhere_columns
from cluscomp.eval.compare.libraries import adapter
from cluscomp.eval.compare.load import LoadMeter
from cluscomp.eval.compare.loading import load_collection
from cluscomp.eval.compare.measure import (
    Yardstick,
    measure_row,
    stored_columns,
    used_parameters,
    yardstick,
)
from cluscomp.eval.compare.results import FORMAT, ResultsFile, Row, identity
from cluscomp.eval.compare.store import IndexStore
from cluscomp.machine import describe_machine
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


@dataclass
class CompareResult:
    """rows: of this comparison, in order, failed ones with an "error". measured, resumed: how many were new,
    and taken from the results file. skipped: library or dataset -> why keys have no rows.
    """

    config: CompareConfig
    folder: Path
    rows: list[Row] = field(default_factory=list)
    measured: int = 0
    resumed: int = 0
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def good(self) -> list[Row]:
        """Rows that were measured."""
        return [row for row in self.rows if row["error"] is None]

    @property
    def failed(self) -> list[Row]:
        """Rows that could not be measured."""
        return [row for row in self.rows if row["error"] is not None]


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
        bench = _Bench(config, file, IndexStore(folder / INDEXES), keep_indexes, result, progress)
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


def _elsewhere_name(name: str) -> str:
    """Name of the index beside `name` that was trained on other documents."""
    return f"{name}-elsewhere"


def _version(library: str) -> str:
    return __version__ if library == "cluscomp" else baselines.version(library)


class _Reference:
    """A collection, and its exact search once a row asks for it: of token vectors it takes a minute."""

    def __init__(self, collection: Collection, k: int) -> None:
        self.collection, self._k = collection, k

    @cached_property
    def exact(self) -> Yardstick:
        return yardstick(self.collection, self._k)

    def training(self, candidate: Adapter) -> Collection | None:
        """The collection on which a key is trained a second time; None where it learns nothing."""
        here = self.collection
        if here.elsewhere is None or not isinstance(candidate, LearnsApart):
            return None
        return self._elsewhere if candidate.learns(here.dim, here.metric) else None

    @cached_property
    def _elsewhere(self) -> Collection:
        assert self.collection.elsewhere is not None  # `training` asked
        return self.collection.elsewhere()


class _Bench:
    """A run in progress."""

    def __init__(
        self, config: CompareConfig, file: ResultsFile, store: IndexStore, keep: bool,
        result: CompareResult, progress: Progress | None,
    ) -> None:  # fmt: skip
        self.config, self.file, self.store, self.keep = config, file, store, keep
        self.result, self.progress = result, progress
        self.machine = describe_machine()
        self.threads = native.get_num_threads()

    def run(self, keys: list[tuple[KeySpec, Adapter]], collections: Iterable[Collection]) -> None:
        for collection in collections:
            usable = [pair for pair in keys if self._usable(*pair, collection)]
            reference = _Reference(collection, self.config.k)
            for done, (key, candidate) in enumerate(usable):
                self._rows_of_key(key, candidate, reference)
                if self.progress is not None:
                    self.progress(f"{collection.name}: measure", done + 1, len(usable))
        self.store.close()

    def _usable(self, key: KeySpec, candidate: Adapter, collection: Collection) -> bool:
        """Whether the key is for this dataset and its library installed; a key of ours that does not fit the
        vectors is an error at once.
        """
        if candidate.form != collection.form or not key.wanted_on(collection.name):
            return False
        try:
            candidate.check(collection.dim, collection.metric)
        except OptionalDependencyError as exc:
            self.result.skipped[candidate.library] = str(exc)
            return False
        return True

    def _rows_of_key(self, key: KeySpec, candidate: Adapter, reference: _Reference) -> None:
        training = reference.training(candidate)
        facts = self._facts(candidate, reference.collection)
        if training is not None:
            facts[TRAINED_ON] = training.fingerprint
        wanted = list(self._wanted(key, candidate, facts))
        name = identity(facts)
        if all(self.file.done(row_name) for row_name, _ in wanted):
            self.result.resumed += len(wanted)
            self.result.rows += [self.file.rows[row_name] for row_name, _ in wanted]
            return
        head = self._head(key, candidate, reference.collection)
        try:
            self._measure(wanted, head, candidate, reference.exact, name, training)
        except CluscompError as exc:
            self._keep({**head, "identity": name, "error": f"{type(exc).__name__}: {exc}"})
        if not self.keep:
            for built in (name, _elsewhere_name(name)):
                self.store.drop(built)

    def _measure(
        self, wanted: list[tuple[str, dict[str, int]]], head: Row, candidate: Adapter, exact: Yardstick,
        name: str, training: Collection | None,
    ) -> None:  # fmt: skip
        files, n_bytes, seconds = self.store.built(name, candidate, exact.collection, self.config.seed)
        opened = candidate.open(files, exact.collection.metric)
        stored = stored_columns(opened, n_bytes, seconds, len(exact.collection.documents))
        trained_on, apart = self._trained_apart(candidate, exact.collection, name, training)
        for row_name, parameters in wanted:
            if self.file.done(row_name):
                self.result.resumed += 1
                self.result.rows.append(self.file.rows[row_name])
                continue
            row = head | used_parameters(parameters, SEARCH_PARAMETERS) | stored
            meter = LoadMeter()
            row |= measure_row(opened, exact, self.config.k, parameters, self.config.repeats)
            row["load"] = meter.load(self.threads)
            row |= elsewhere_columns(trained_on, apart, exact, parameters)
            row["command"] = rebuild_command(self.config, candidate, exact.collection, parameters)
            self._keep({**row, **self._circumstances(), "identity": row_name, "error": None})
            self.result.measured += 1

    def _trained_apart(
        self, candidate: Adapter, collection: Collection, name: str, training: Collection | None
    ) -> tuple[str | None, Opened | None]:
        """Name of the collection on which the key was trained a second time, and the index."""
        if training is None or not isinstance(candidate, LearnsApart):
            return None, None
        files = self.store.built_from(
            training, _elsewhere_name(name), candidate, collection, self.config.seed
        )
        return training.name, candidate.open(files, collection.metric)

    def _keep(self, row: Row) -> None:
        self.file.append(row)
        self.result.rows.append(row)

    def _wanted(self, key: KeySpec, candidate: Adapter, facts: Row) -> Iterator[tuple[str, dict[str, int]]]:
        for parameters in candidate.parameters({**self.config.search, **key.search}):
            yield (
                identity({**facts, "search": parameters, "k": self.config.k, "repeats": self.config.repeats}),
                parameters,
            )

    def _facts(self, candidate: Adapter, collection: Collection) -> Row:
        """What a built index, and the time of a search, depend on."""
        return {
            "format": FORMAT,
            "data": collection.fingerprint,
            "library": candidate.library,
            "version": _version(candidate.library),
            "key": candidate.key,
            "content": candidate.content,
            "seed": self.config.seed if candidate.seeded else None,
            "threads": self.threads,
            "machine": self.machine,
        }

    def _head(self, key: KeySpec, candidate: Adapter, collection: Collection) -> Row:
        return {
            "dataset": collection.name,
            "split": collection.split,
            "n_docs": len(collection.documents),
            "n_queries": len(collection.query_ids),
            "dim": collection.dim,
            "vectors": collection.form,
            "vectors_per_document": collection.vectors_per_document,
            "metric": collection.metric,
            "encoder": collection.encoder,
            "library": candidate.library,
            "version": _version(candidate.library),
            "key": candidate.key,
            "label": key.label,
            "k": self.config.k,
            "seed": self.config.seed if candidate.seeded else None,
        }

    def _circumstances(self) -> Row:
        return {
            "threads": self.threads,
            "repeats": self.config.repeats,
            **self.machine,
            "cluscomp": __version__,
            "measured_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
