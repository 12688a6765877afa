"""How long operations tell of their progress: one callback, and a counter that calls it.

Every public function and method that takes long accepts `progress` and calls it as progress(stage, done,
total) from the caller's thread. stage: what is going on, in a word or two, such as "encode", or the part of
the index key that is being trained. done and total count rows, documents or steps; done never falls within a
stage and ends at total.
"""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called as progress(stage, done, total)."""


def as_stage(progress: Progress | None, stage: str) -> Progress | None:
    """A callback that passes everything on under the name of one stage of a larger operation."""
    return None if progress is None else lambda _, done, total: progress(stage, done, total)


def silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


class Ticker:
    """Counts finished units of one stage and passes them on to a progress callback, if there is one."""

    def __init__(self, progress: Progress | None, stage: str, total: int) -> None:
        self._progress = progress
        self._stage = stage
        self._total = total
        self._done = 0

    def advance(self, units: int) -> None:
        """Add finished units."""
        self._done = min(self._done + units, self._total)
        if self._progress is not None:
            self._progress(self._stage, self._done, self._total)

    def as_progress(self) -> Progress:
        """A callback for a part of the work: passes on how far each call is ahead of the one before."""
        before = 0

        def progress(_: str, done: int, __: int) -> None:
            nonlocal before
            self.advance(done - before)
            before = done

        return progress

    def finish(self) -> None:
        """Report completion; an early stop leaves units uncounted."""
        if self._done < self._total:
            self.advance(self._total - self._done)
