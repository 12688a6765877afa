"""The kinds of indexes: what is known of each in one record, found by the key.

kinds.py holds the records of this package. A kind is loaded when the first index of it is made or opened, so
that an index of single vectors costs no import of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.stages.pipeline import Pipeline


@dataclass(frozen=True)
class Kind:
    """What an index is, by the kind of its rows.

    name: as `IndexSpec.kind` says it. index: class of the index, a `StoredIndex`. segment: class of its
    segments, which knows the arrays of a folder. recipe: imports the `Recipe` of its builds
    (build/recipe.py). ragged: rows and queries are several vectors each, and come with lengths. terms: they
    are weighted terms. both: they are vectors and terms (`HybridRows`), which files hold as texts. stages:
    makes what is trained of (spec, dim, metric, seed).
    """

    name: str
    index: type[Any]
    segment: type[StoredSegment]
    recipe: Callable[[], Any]
    ragged: bool = False
    terms: bool = False
    both: bool = False
    stages: Callable[[IndexSpec, int, str, int], Pipeline] = Pipeline


_LOADERS: dict[str, Callable[[], Kind]] = {}


def register(name: str, load: Callable[[], Kind]) -> None:
    """Make a kind known by the name that `IndexSpec.kind` gives. load: makes its record when first needed."""
    _LOADERS[name] = cache(load)


def kind_of(spec: IndexSpec) -> Kind:
    """The kind of index that a key makes."""
    return _LOADERS[spec.kind]()
