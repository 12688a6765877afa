"""The rows of a comparison: each key is built once a dataset, and measured with every search setting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path

from cluscomp import __version__, baselines, native
from cluscomp.errors import CluscompError, OptionalDependencyError
from cluscomp.eval.compare.adapter import Adapter, LearnsApart, Opened
from cluscomp.eval.compare.collection import Collection
from cluscomp.eval.compare.commands import rebuild_command
from cluscomp.eval.compare.config import SEARCH_PARAMETERS, CompareConfig, KeySpec
from cluscomp.eval.compare.elsewhere import TRAINED_ON, elsewhere_columns
from cluscomp.eval.compare.load import LoadMeter
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


def _elsewhere_name(name: str) -> str:
    """Name of the index beside `name` that was trained on other documents."""
    return f"{name}-elsewhere"


def _version(library: str) -> str:
    return __version__ if library == "cluscomp" else baselines.version(library)


class Reference:
    """A collection, and its exact search once a row asks for it: of token vectors it takes a minute."""

    def __init__(self, collection: Collection, k: int) -> None:
        self.collection, self._k = collection, k

    @cached_property
    def exact(self) -> Yardstick:
        """Its exact search."""
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


class Bench:
    """A comparison in progress: every row is written as soon as it is measured."""

    def __init__(
        self, config: CompareConfig, file: ResultsFile, store: IndexStore, keep: bool,
        result: CompareResult, progress: Progress | None,
    ) -> None:  # fmt: skip
        self.config, self.file, self.store, self.keep = config, file, store, keep
        self.result, self.progress = result, progress
        self.machine = describe_machine()
        self.threads = native.get_num_threads()

    def run(self, keys: list[tuple[KeySpec, Adapter]], collections: Iterable[Collection]) -> None:
        """Measure the keys on each collection that is of their form."""
        for collection in collections:
            usable = [pair for pair in keys if self._usable(*pair, collection)]
            reference = Reference(collection, self.config.k)
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

    def _rows_of_key(self, key: KeySpec, candidate: Adapter, reference: Reference) -> None:
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
