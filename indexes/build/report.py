"""What a build says about itself: `BuildReport`, and the files build.json and report.json of the index."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cluscomp.errors import OutputExistsError
from cluscomp.indexes.build.memory import peak_bytes
from cluscomp.indexes.build.request import Request
from cluscomp.indexes.build.stage import BuildWork
from cluscomp.indexes.build.work import work_path
from cluscomp.indexes.index import open_index
from cluscomp.indexes.storage.place import Place
from cluscomp.resume import first_difference

REPORT_NAME, SETTINGS_NAME = "report.json", "build.json"


@dataclass(frozen=True)
class BuildReport:
    """What a build made, in bytes and seconds. stages: those that ran, measured. resumed: those taken over.

    measured_peak: largest resident memory of the process since it started, which is more than the build's own
    if the process had held more before.
    """

    output: str
    key: str
    n: int
    dim: int
    index_bytes: int
    code_bytes_per_document: int
    seconds: float
    planned_peak: int
    measured_peak: int
    stages: tuple[dict[str, Any], ...]
    resumed: tuple[str, ...]

    @property
    def bytes_per_document(self) -> float:
        """Bytes of the finished folder over its documents."""
        return self.index_bytes / self.n

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {**asdict(self), "bytes_per_document": self.bytes_per_document}


def report_of(work: BuildWork, start: float) -> BuildReport:
    """Report of a build that began at `start` of the monotonic clock and has just published its index."""
    plan = work.plan
    return BuildReport(
        output=str(work.output),
        key=plan.key,
        n=plan.n,
        dim=plan.dim,
        index_bytes=work.output.nbytes(),
        code_bytes_per_document=plan.code_bytes_per_document,
        seconds=time.monotonic() - start,
        planned_peak=plan.peak_memory,
        measured_peak=peak_bytes(),
        stages=tuple(work.ran),
        resumed=tuple(work.resumed),
    )


def finished_report(target: Place, stages: tuple[str, ...], start: float) -> BuildReport:
    """Report of an index that an earlier build completed, with the memory figures of that build."""
    index = open_index(str(target))
    measured = json.loads(index.extra_file(REPORT_NAME).read_text(encoding="utf-8"))
    return BuildReport(
        output=str(target),
        key=index.key,
        n=len(index),
        dim=index.dim,
        index_bytes=target.nbytes(),
        code_bytes_per_document=round(index.code_bytes_per_document),
        seconds=time.monotonic() - start,
        planned_peak=measured["planned_peak"],
        measured_peak=measured["measured_peak"],
        stages=(),
        resumed=stages,
    )


def is_finished(target: Place, request: Request) -> bool:
    """Whether `target` is the index this build would make; OutputExistsError if it has other settings."""
    if target.raw_manifest() is None:
        return False
    try:
        built = json.loads(target.extra_file(SETTINGS_NAME) or b"")["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        built = {}
    wanted = json.loads(json.dumps(request.identity()))
    difference = first_difference(built, wanted)
    if difference is None:
        return True
    if work_path(target).is_dir():
        return False  # a replacement was interrupted; its own record decides
    raise OutputExistsError(
        f"{target} is a finished index of other settings: {difference}; replace it with if_exists='replace', "
        "or choose another output"
    )


def build_files(work: BuildWork, request: Request) -> Mapping[str, Any]:
    """Settings and report of the build, for `IndexWriter.finish`."""
    settings = {"settings": request.identity(), "config": work.config}
    files: dict[str, Callable[[], Any]] = {
        SETTINGS_NAME: lambda: _to_bytes(settings),
        REPORT_NAME: lambda: _to_bytes(_measured(work)),
    }
    return LateFiles(files)


class LateFiles(Mapping[str, Any]):
    """Files made when they are asked for, since the report knows the peak only at the very end."""

    def __init__(self, files: dict[str, Callable[[], Any]]) -> None:
        self.files = files

    def __getitem__(self, name: str) -> Any:
        return self.files[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


def _measured(work: BuildWork) -> dict[str, Any]:
    """Plan and measurements so far, as JSON values."""
    return {
        "planned_peak": work.plan.peak_memory,
        "measured_peak": peak_bytes(),
        "seconds": sum(stage["seconds"] for stage in work.ran),
        "plan": work.plan.to_json(),
        "stages": work.ran,
        "resumed": work.resumed,
    }


def _to_bytes(value: Any) -> bytes:
    """JSON text with a line end."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode("utf-8")
