"""The step encode: the segment of one shard, in a folder of its own, and its marker."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluscomp.distributed.attempts import new_attempt
from cluscomp.distributed.job import Job
from cluscomp.distributed.lists import placed_lists
from cluscomp.distributed.marker import Marker, publish, read_marker
from cluscomp.distributed.part_folder import PartFolder
from cluscomp.distributed.shard_rows import ShardRows, shard_rows
from cluscomp.errors import CorruptIndexError
from cluscomp.indexes.build.memory import peak_bytes
from cluscomp.indexes.build.segment_writer import SegmentWriter
from cluscomp.indexes.storage.manifest import Manifest
from cluscomp.indexes.storage.saving import Written
from cluscomp.indexes.storage.staging import Staging
from cluscomp.indexes.storage.texts import FILE_NAME, DocumentStore, write_rows
from cluscomp.progress import Progress


def encode(job: Job, number: int, progress: Progress) -> Marker:
    """Leave the files of the segment of a shard, and its marker; a shard that has one is done.

    Raises UsageError before training, or where lists are placed in order and are not; what encoding raises.
    """
    known = read_marker(job.parts, number)
    if known is not None:
        _require_same_plan(job, known)
        return known
    start = time.monotonic()
    with new_attempt(job.parts, str(number)) as attempt:
        manifest = _encoded(job, number, attempt, progress)
        shutil.rmtree(attempt / "work", ignore_errors=True)
        seconds = round(time.monotonic() - start, 3)
        marker = Marker(job.plan.id, number, attempt.name, manifest, seconds, peak_bytes())
        return publish(job.parts, marker)


def _require_same_plan(job: Job, marker: Marker) -> None:
    if marker.plan != job.plan.id:
        raise CorruptIndexError(
            f"the marker of shard {marker.shard} in {job.parts} belongs to the plan {marker.plan}, not to "
            f"{job.plan.id}; remove it and encode again"
        )


def _encoded(job: Job, number: int, attempt: Path, progress: Progress) -> Manifest:
    """Write the segment; returns a manifest of it."""
    with (
        PartFolder(job.folder, attempt) as staging,
        shard_rows(job, number, attempt / "work", progress) as rows,
        staging.disk_errors(),
    ):
        segment = _writer(job, number, rows, staging)
        try:
            for block, ids in rows.blocks():
                segment.add(*segment.ready(block, ids))
                progress("add", segment.rows, rows.n)
            texts = _texts(rows, attempt / "work")
            entry = segment.finish(rows.plan.group_bytes, rows.request.described, texts)
        finally:
            segment.close()
        manifest = job.index.manifest(Written(_mark(job), (entry,), staging.entries), staging.extra)
        schema = rows.request.described.schema.to_json()
        return staging.publish(replace(segment.ids.complete(manifest), attributes=schema))[0]


def _writer(job: Job, number: int, rows: ShardRows, staging: Staging) -> SegmentWriter:
    chosen = placed_lists(job, number) if job.places_in_order else None
    return job.recipe.writer(staging, job.index.pipeline, n_vectors=rows.n_vectors, chosen=chosen)


def _mark(job: Job) -> str:
    origin: Any = job.index.origin
    return str(origin.manifest.trained)


def _texts(rows: ShardRows, folder: Path) -> Path | None:
    """File of titles and texts of the rows, where they are kept."""
    if not rows.request.store_texts:
        return None
    folder.mkdir(exist_ok=True)
    with DocumentStore(rows.work.path(FILE_NAME)) as store:
        write_rows(folder / FILE_NAME, store.rows(rows.part.start, rows.part.stop))
    return folder / FILE_NAME
