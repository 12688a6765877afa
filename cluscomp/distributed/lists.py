"""Lists of bounded size over shards: a row's list depends on all rows before it, its choices do not.

choose   of each shard, in any order: the first choice of each vector and the next PREFERENCES
place    once: all vectors in their order go to their best list that has room
encode   of each shard: codes of vectors whose lists are known

Placing reads 4 bytes a vector, and the further choices of those whose first choice was full.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp import errors
from cluscomp.distributed.attempts import new_attempt, passing_folder
from cluscomp.distributed.job import Job
from cluscomp.distributed.shard_rows import projected_vectors, shard_rows
from cluscomp.files import atomic_file, sync_folder
from cluscomp.indexes.stages.balanced_ivf import PREFERENCES
from cluscomp.indexes.storage.stream import ArrayStream
from cluscomp.progress import Progress, silent

LABELS, CHOICES = "labels.npy", "choices.npy"


class GivenLists:
    """Says the lists (n,) int32 of vectors in their order, which were chosen beforehand."""

    def __init__(self, lists: np.ndarray) -> None:
        self._lists, self._done = lists, 0

    def assign(self, x: np.ndarray) -> np.ndarray:
        """The lists of the next vectors."""
        part = self._lists[self._done : self._done + len(x)]
        self._done += len(x)
        return np.array(part, dtype=np.int32)


# ---- choose ----


def chosen_folder(job: Job, number: int) -> Path:
    """Where the choices of a shard are, once they are complete."""
    return job.lists / f"choices{number}"


def choose(job: Job, number: int, progress: Progress) -> None:
    """Leave the choices of the vectors of a shard."""
    if chosen_folder(job, number).is_dir():
        return
    with new_attempt(job.lists, f"choices{number}") as attempt:
        with shard_rows(job, number, attempt / "work", progress) as rows:
            _write_choices(job, attempt, projected_vectors(job, rows))
        shutil.rmtree(attempt / "work", ignore_errors=True)
        try:
            os.rename(attempt, chosen_folder(job, number))
        except OSError:
            if not chosen_folder(job, number).is_dir():
                raise
            shutil.rmtree(attempt)  # another attempt was first
    sync_folder(job.lists)


def _write_choices(job: Job, folder: Path, vectors: Iterator[np.ndarray]) -> None:
    partition: Any = job.index.pipeline.partition
    length = min(PREFERENCES, partition.nlist)
    with (
        closing(ArrayStream(folder / LABELS, "<i4", ())) as labels,
        closing(ArrayStream(folder / CHOICES, "<i4", (length,))) as choices,
    ):
        for x in vectors:
            labels.append(partition.assign(x))
            choices.append(partition.preferences(x, length))
        labels.finish()
        choices.finish()


# ---- place ----


def lists_file(job: Job, number: int) -> Path:
    """File of the lists of the vectors of a shard."""
    return job.lists / f"lists{number}.npy"


def place(job: Job, progress: Progress) -> None:
    """Leave the lists of all vectors. Raises UsageError where a shard has not chosen."""
    shards = range(job.plan.shards)
    if all(lists_file(job, number).is_file() for number in shards):
        return
    labels = [_load(job, number, LABELS) for number in shards]
    partition: Any = job.index.pipeline.partition
    assigner = partition.list_assigner(np.zeros(partition.nlist, dtype=np.int64), sum(map(len, labels)))
    for number in shards:
        with closing(_Preferences(job, number)) as preferences:
            placed = assigner.place(np.array(labels[number]), preferences)
        with atomic_file(lists_file(job, number)) as file:
            np.lib.format.write_array(file, placed, allow_pickle=False)
        progress("place", number + 1, job.plan.shards)


def placed_lists(job: Job, number: int) -> GivenLists:
    """The lists of the vectors of a shard. Raises UsageError before they were placed."""
    if not lists_file(job, number).is_file():
        raise errors.UsageError(
            f"the lists of shard {number} are not placed; run `cluscomp shard choose` for each shard and "
            "`cluscomp shard place` first"
        )
    return GivenLists(np.load(lists_file(job, number), mmap_mode="r"))


def _load(job: Job, number: int, name: str) -> np.ndarray:
    path = chosen_folder(job, number) / name
    if not path.is_file():
        raise errors.UsageError(
            f"shard {number} has not chosen lists; run `cluscomp shard choose --shard {number}`"
        )
    return np.load(path, mmap_mode="r")


class _Preferences:
    """The best lists of some vectors of a shard: those that were stored, or, where all of these are full,
    more of them, for which the vectors are read again.
    """

    def __init__(self, job: Job, number: int) -> None:
        self._job, self._number = job, number
        self._choices = _load(job, number, CHOICES)
        self._reader: Iterator[np.ndarray] | None = None
        self._read_rows = 0
        self._kept: deque[tuple[int, np.ndarray]] = deque()  # first row and vectors of blocks

    def __call__(self, rows: slice, length: int) -> np.ndarray:
        if length <= self._choices.shape[1]:
            return np.array(self._choices[rows, :length])
        partition: Any = self._job.index.pipeline.partition
        found = [partition.preferences(x, length) for x in self._vectors(rows)]
        return np.concatenate(found)

    def close(self) -> None:
        """Stop reading vectors."""
        if self._reader is not None:
            self._reader.close()  # type: ignore[attr-defined]

    def _vectors(self, rows: slice) -> Iterator[np.ndarray]:
        """Vectors of a slice in blocks. No slice begins before the one that was asked for last, so that a
        shard is read once at most.
        """
        if self._reader is None:
            self._reader = self._read()
        while self._kept and self._kept[0][0] + len(self._kept[0][1]) <= rows.start:
            self._kept.popleft()
        while self._read_rows < rows.stop:
            block = next(self._reader)
            if self._read_rows + len(block) > rows.start:
                self._kept.append((self._read_rows, block))
            self._read_rows += len(block)
        for first, block in self._kept:
            if first < rows.stop:
                yield block[max(0, rows.start - first) : rows.stop - first]

    def _read(self) -> Iterator[np.ndarray]:
        with (
            passing_folder(self._job.lists, f"again{self._number}") as folder,
            shard_rows(self._job, self._number, folder, silent) as rows,
        ):
            yield from projected_vectors(self._job, rows)
