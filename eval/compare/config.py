"""What a comparison depends on: datasets x keys x search parameters. config_file.py reads it from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cluscomp import checks
from cluscomp.errors import UsageError

SEARCH_PARAMETERS = ("nprobe", "candidates", "refine_factor", "ef", "query_cut")
TOKEN_KINDS = ("tokens", "multivector")
WORDS, SPARSE = "words", "sparse"
Form = str
"""What a text is in a comparison: "dense", one vector; "tokens", token vectors; "terms", words that are
counted; "sparse", weighted terms of a model; or vectors and terms with + between them, as in "dense+terms".
"""


@dataclass(frozen=True)
class DatasetSpec:
    """A judged collection, and where its vectors come from: an encoder, or files of vectors.

    kind: "dense", one vector a text; of token vectors "tokens", "multivector" as `load_encoder` has them; of
    terms "words", "sparse". terms: where terms of the same texts come from. both: they are searched together.
    elsewhere: the dataset on whose documents what is trained is trained a second time.
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
    kind: str = "dense"
    lengths: Path | None = None
    query_lengths: Path | None = None
    terms: DatasetSpec | None = None
    both: bool = False
    elsewhere: DatasetSpec | None = field(default=None, repr=False)

    @property
    def form(self) -> Form:
        """What a text is."""
        if self.both and self.terms is not None:
            return f"{self.alone().form}+{self.terms.form}"
        return "tokens" if self.kind in TOKEN_KINDS else {WORDS: "terms"}.get(self.kind, self.kind)

    def alone(self) -> DatasetSpec:
        """The vectors without the terms."""
        return replace(self, both=False)


@dataclass(frozen=True)
class KeySpec:
    """An index to measure: `library:key`, or a key of this project. search: parameters that differ from the
    common ones. datasets: names of those it is measured on, None for all.
    """

    library: str
    key: str
    label: str
    search: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    datasets: tuple[str, ...] | None = None

    def wanted_on(self, dataset: str) -> bool:
        """Whether it is to be measured on a dataset."""
        return self.datasets is None or dataset in self.datasets


@dataclass(frozen=True)
class CompareConfig:
    """All that a comparison depends on. datasets: one with token vectors stands behind the dense one of its
    name. search: values by parameter. k: results a query, at least 10. notes: lines for the reports.
    """

    title: str
    datasets: tuple[DatasetSpec, ...]
    keys: tuple[KeySpec, ...]
    search: Mapping[str, tuple[int, ...]]
    k: int = 100
    seed: int = 0
    threads: int | None = None
    repeats: int = 3
    file: Path | None = None
    notes: tuple[str, ...] = ()


def train_others_on(config: CompareConfig, name: str) -> CompareConfig:
    """The config in which all datasets but `name` train codes a second time, on the documents of that one.

    Raises UsageError where there is none of this name, or no other.
    """
    others = {spec.name: name for spec in config.datasets if spec.name != name}
    return replace(
        config, datasets=trained_elsewhere(config.datasets, others or {name: name}, "the comparison")
    )


def trained_elsewhere(
    datasets: Sequence[DatasetSpec], others: Mapping[str, str], where: str
) -> tuple[DatasetSpec, ...]:
    """The datasets, each with the one of its form that `others` names for it.

    where: for messages. Raises UsageError for a name that is unknown, or the dataset's own.
    """
    known = {(spec.name, spec.form): spec for spec in datasets}
    for name, other in others.items():
        checks.one_of(
            f"{where}: dataset {name!r}: trained_on", other, dict.fromkeys(spec.name for spec in datasets)
        )
        if other == name:
            raise UsageError(
                f"{where}: dataset {name!r}: trained_on names the dataset itself, on which it is trained "
                "anyway; name another"
            )
    return tuple(
        replace(spec, elsewhere=known.get((others.get(spec.name, ""), spec.form))) for spec in datasets
    )
