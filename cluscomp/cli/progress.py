"""Progress on stderr: bars on a terminal, one line a finished stage elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from cluscomp.cli.output import note, seconds_text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class StageProgress:
    """Callback `(stage, done, total)` that shows named stages; use it as a context manager."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last_finish = time.monotonic()
        self._finished: set[str] = set()

    def __enter__(self) -> StageProgress:
        if not self._quiet and sys.stderr.isatty():
            self._bars = _bars()
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Say that `done` of `total` units of `stage` are finished."""
        if self._quiet:
            return
        if self._bars is not None:
            self._update_bar(self._bars, stage, done, total)
        elif done >= total and stage not in self._finished:
            self._finished.add(stage)
            now = time.monotonic()
            note(f"{stage}: {total} done in {seconds_text(now - self._last_finish)}")
            self._last_finish = now

    def _update_bar(self, bars: Progress, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = bars.add_task(stage, total=total)
        bars.update(self._tasks[stage], completed=done, total=total)


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
