"""The plan of a build in shards: PLAN/plan.json, which every step reads.

PLAN/plan.json           key, metric, seed, source, cuts; and the hash of all that decides the bits
PLAN/train/              work folder of the step train: what must be known of all rows
PLAN/trained/            an index folder without rows
PLAN/lists/              which list each vector has, where that depends on all rows before it
PLAN/parts/I.HEX/        files of the segment of shard I, by one attempt
PLAN/parts/I.json        its marker, written last
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluscomp import checks, errors
from cluscomp.distributed.arguments import BuildArguments
from cluscomp.files import atomic_json
from cluscomp.indexes.build.plan import BuildPlan
from cluscomp.indexes.build.request import Request, Shard
from cluscomp.indexes.build.source import RaggedInput, TextInput, VectorInput
from cluscomp.indexes.build.stages import plan_for
from cluscomp.indexes.storage.texts import scan_documents
from cluscomp.resume import first_difference

FORMAT, VERSION = "cluscomp-shards", 1
PLAN_NAME = "plan.json"
MAX_SHARDS = 4096
"""As many segments an index has at most."""


@dataclass(frozen=True)
class Plan:
    """arguments: as they were given. settings: JSON value that decides the bits of the index. n: rows.
    shards: into how many the rows are cut. building: sizes and costs, those of a build of all rows.
    """

    arguments: BuildArguments
    settings: Mapping[str, Any]
    n: int
    shards: int
    building: BuildPlan

    @property
    def id(self) -> str:
        """32 hexadecimal digits, equal for plans that make the same segments."""
        decides = {
            "settings": self.settings,
            "n": self.n,
            "shards": self.shards,
            "train_rows": self.building.train_limit,
        }
        raw = json.dumps(decides, sort_keys=True, ensure_ascii=True).encode()
        return hashlib.blake2b(raw, digest_size=16).hexdigest()

    def part(self, number: int) -> slice:
        """Rows of a shard."""
        return Shard(number, self.shards).part(self.n)

    def to_json(self) -> dict[str, Any]:
        """What plan.json holds."""
        cuts = [self.part(number) for number in range(self.shards)]
        return {
            "format": FORMAT,
            "version": VERSION,
            "plan": self.id,
            "arguments": self.arguments.to_json(),
            "settings": dict(self.settings),
            "n": self.n,
            "shards": [
                {"source": self.arguments.source, "start": cut.start, "stop": cut.stop} for cut in cuts
            ],
            "building": self.building.to_json(),
        }

    def write(self, folder: Path) -> None:
        """Let it be the plan of a folder."""
        atomic_json(folder / PLAN_NAME, self.to_json())


def read_plan(folder: Path) -> Plan:
    """The plan of a folder. Raises IndexMissingError, CorruptIndexError."""
    path = folder / PLAN_NAME
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as exc:
        raise errors.IndexMissingError(
            f"there is no {PLAN_NAME} in {folder}; make it with `cluscomp shard plan`"
        ) from exc
    except ValueError as exc:
        raise errors.CorruptIndexError(f"{path} is not valid JSON ({exc}); plan again") from exc
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise errors.ForeignFileError(f"{path} does not say format {FORMAT!r}; name the folder of a plan")
    if value.get("version") != VERSION:
        raise errors.NewerFormatError(
            f"{path} has version {value.get('version')}, this cluscomp reads {VERSION}; plan again"
        )
    try:
        plan = Plan(
            BuildArguments(**value["arguments"]),
            value["settings"],
            int(value["n"]),
            len(value["shards"]),
            BuildPlan.from_json(value["building"]),
        )
        known = plan.id == value["plan"]
    except (KeyError, TypeError, ValueError) as exc:
        raise errors.CorruptIndexError(f"{path} lacks what a plan has ({exc}); plan again") from exc
    if not known:
        raise errors.CorruptIndexError(
            f"{path} was changed: its hash is not that of its contents; plan again"
        )
    return plan


def make_plan(arguments: BuildArguments, request: Request, shards: int) -> Plan:
    """Count the rows and say how they are cut and what a step takes.

    Raises UsageError (more shards than rows), InfeasibleError (a step does not fit the memory limit), and
    what reading the source raises.
    """
    checks.integer("shards", shards, 1, MAX_SHARDS)
    request.new_index()  # a key that does not fit is an error before anything is written
    corpus = scan_documents(request.source.documents()) if isinstance(request.source, TextInput) else None
    building = plan_for(request, corpus)
    building.check()
    if shards > building.n:
        raise errors.UsageError(f"{shards} shards of {building.n} rows: a shard has at least 1 row")
    described = request.described.file
    if described is not None and described.ids is None and described.table.n_rows != building.n:
        raise errors.DimensionError(
            f"there are {building.n} rows, but {described.table.n_rows} rows of attributes without ids; give "
            "each its id, or as many as there are rows"
        )
    settings = json.loads(json.dumps(request.identity()))
    return Plan(arguments, settings, building.n, shards, building)


def require_same_source(plan: Plan, request: Request, folder: Path) -> None:
    """Raise UsageError, naming the file, where the source is not the one that was planned."""
    difference = first_difference(plan.settings, json.loads(json.dumps(request.identity())))
    if difference is not None:
        raise errors.UsageError(
            f"{plan.arguments.source} is not what was planned in {folder}: {difference}; restore it, or plan "
            "again"
        )


def is_cut_by_rows(request: Request) -> bool:
    """Whether a shard reads its own rows of the source. Texts and terms are read once, by the step train,
    which leaves what they are encoded to.
    """
    return isinstance(request.source, (VectorInput, RaggedInput))
