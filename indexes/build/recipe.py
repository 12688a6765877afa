"""What a kind of index brings to its builds: its source, the stages up to its vectors, and its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cluscomp.errors import UsageError
from cluscomp.indexes.build.costs import BuildShape
from cluscomp.indexes.build.request import Request
from cluscomp.indexes.build.segment_writer import SegmentWriter
from cluscomp.indexes.build.source import Given, Source
from cluscomp.indexes.build.stage import BuildWork, Stage, WorkDone
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.storage.texts import CorpusFacts


class Rows(Protocol):
    """The rows of an index before they are encoded, as the stages before have left them.

    n: rows that have an id.
    """

    n: int

    def n_vectors(self, rows: slice) -> int:
        """Vectors of some rows together."""
        ...

    def sample(self, size: int, seed: int) -> np.ndarray:
        """About `size` vectors (size, dim) drawn at random, in their order; all of them where there are
        fewer.
        """
        ...

    def blocks(self, rows: slice, vectors: int) -> Iterator[tuple[Any, Any]]:
        """Blocks of about `vectors` vectors with their ids, in order, as `IndexWriter.add` takes them."""
        ...


@dataclass(frozen=True)
class Recipe:
    """How indexes of one kind are built.

    open: the source, of what the caller gave. shape: what the plan has to know, with the facts of the corpus
    where texts are read; the flag says whether to measure encoding, else it counts as 0 seconds. prepare: the
    stages before training, the stage "plan" (stages.PLAN) among them. rows: what these have left. writer: of
    the segment. training: the stages that leave the trained index; none for a sample of vectors and training
    on it. take_over: loads what a stage before training has learned.
    """

    open: Callable[[IndexSpec, Given], Source]
    shape: Callable[[Request, CorpusFacts | None, bool], BuildShape]
    prepare: Callable[[Request], tuple[Stage, ...]]
    rows: Callable[[WorkDone, Request], AbstractContextManager[Rows]]
    writer: type[SegmentWriter]
    training: tuple[Stage, ...] = ()
    take_over: Callable[[BuildWork, Pipeline], None] = lambda work, pipeline: None


def recipe_of(spec: IndexSpec) -> Recipe:
    """The recipe of the kind of index that a key makes."""
    recipe: Recipe = kind_of(spec).recipe()
    return recipe


def open_source(spec: IndexSpec, given: Given) -> Source:
    """The source of a build. Raises UsageError for parts that the kind lacks, and what opening raises."""
    if (given.texts is not None or given.terms is not None) and not kind_of(spec).both:
        raise UsageError(
            f"texts= and terms= stand beside the vectors of hybrid keys, and {str(spec)!r} is none; write "
            f"{spec!s}+Sparse(bm25), or leave them out"
        )
    return recipe_of(spec).open(spec, given)
