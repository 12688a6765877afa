"""An opened plan: what every step of it needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cluscomp import errors
from cluscomp.distributed.plan import Plan, is_cut_by_rows, read_plan, require_same_source
from cluscomp.indexes.build.recipe import Recipe, recipe_of
from cluscomp.indexes.build.request import Request
from cluscomp.indexes.build.source import RaggedInput, VectorInput
from cluscomp.indexes.index import open_index
from cluscomp.indexes.storage.manifest import MANIFEST_NAME


@dataclass(frozen=True)
class Job:
    """folder: of the plan. request: what is built, with the source open."""

    folder: Path
    plan: Plan
    request: Request

    @classmethod
    def open(cls, folder: Path, encoder: Any = None) -> Job:
        """The plan of a folder, with its source. encoder: if it is loaded already.

        Raises UsageError where the source has changed, and what reading plan and source raises.
        """
        plan = read_plan(folder)
        request = plan.arguments.request(encoder)
        require_same_source(plan, request, folder)
        return cls(folder, plan, request)

    @property
    def recipe(self) -> Recipe:
        """Of the kind of index that is built."""
        return recipe_of(self.request.spec)

    @cached_property
    def index(self) -> Any:
        """The trained index without rows. Raises UsageError before there is one."""
        if not self.is_trained:
            raise errors.UsageError(f"{self.folder} is not trained; run `cluscomp shard train` first")
        return open_index(self.trained)

    @property
    def trained(self) -> Path:
        """Folder of the trained index."""
        return self.folder / "trained"

    @property
    def is_trained(self) -> bool:
        """Whether the step train has ended."""
        return (self.trained / MANIFEST_NAME).is_file()

    @property
    def work(self) -> Path:
        """Work folder of the step train."""
        return self.folder / "train"

    @property
    def lists(self) -> Path:
        """Where the lists of vectors are kept."""
        return self.folder / "lists"

    @property
    def parts(self) -> Path:
        """Where segments and their markers are."""
        return self.folder / "parts"

    @property
    def places_in_order(self) -> bool:
        """Whether the list of a row depends on the rows before it."""
        partition = self.request.new_index().pipeline.partition
        return partition is not None and partition.places_in_order

    @property
    def reads_parts(self) -> bool:
        """Whether a shard reads its own rows of the source."""
        return is_cut_by_rows(self.request)

    def require_shard(self, number: int) -> None:
        """Raise UsageError for a shard that does not exist."""
        if not 0 <= number < self.plan.shards:
            raise errors.UsageError(
                f"there is no shard {number}; those of {self.folder} are 0 to {self.plan.shards - 1}"
            )

    def part_request(self, number: int) -> Request:
        """The rows of a shard, to be added to the trained index."""
        source, rows = self.request.source, self.plan.part(number)
        assert isinstance(source, (VectorInput, RaggedInput))
        described = self.request.described.part(rows)
        return replace(
            self.request, source=source.part(rows), into=self.index, max_train_rows=0, described=described
        )
