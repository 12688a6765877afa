"""The step commit: segments of all shards become one index folder with one manifest.

Files are linked, or copied where links do not work; each is read once, and its checksum compared.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp import errors
from cluscomp.distributed.job import Job
from cluscomp.distributed.marker import Marker, read_marker
from cluscomp.distributed.unique_ids import SortedIds, require_unique
from cluscomp.indexes.build.report import REPORT_NAME, SETTINGS_NAME
from cluscomp.indexes.segments.id_keys import KEYS, ROWS
from cluscomp.indexes.segments.ids import TEXT, TextIds
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.storage.manifest import FileEntry, Manifest
from cluscomp.indexes.storage.names import array_file
from cluscomp.indexes.storage.place import Place
from cluscomp.indexes.storage.saving import Written, write_stages
from cluscomp.indexes.storage.staging import Draft, Staging, link_or_copy
from cluscomp.indexes.storage.stream import map_array

LONGEST_WAIT = 600.0
"""Seconds to wait, in the end, for a writer of the index that is replaced."""


def commit(
    job: Job, output: Place, *, if_exists: str, extra_files: Mapping[str, bytes] | None = None
) -> list[Marker]:
    """Check all segments and publish the index at `output`; returns their markers. The plan stays.

    if_exists: "fail" or "replace". extra_files: to store with the index; settings and report of the build
    always are.

    Raises UsageError (a shard is not encoded), CorruptIndexError (a marker or file is not what the plan and
    the marker say), DuplicateIdError, InputError (no attribute belongs to a row), OutputExistsError,
    DiskFullError.
    """
    markers = [_checked(job, number) for number in range(job.plan.shards)]
    require_unique([_sorted_ids(job, marker) for marker in markers])
    _require_attributes(job, markers)
    with output.new_index(if_exists, _needed_bytes(job, output, markers), LONGEST_WAIT) as writer:
        with writer.disk_errors():
            mark = write_stages(writer, job.index.pipeline)
            for marker in markers:
                _take(job, marker, writer)
            for name, data in _reports(job, markers).items() | (extra_files or {}).items():
                (writer.folder / name).write_bytes(data)
                writer.take_extra(name)
        segments = tuple(marker.segment for marker in markers)
        manifest = job.index.manifest(Written(mark, segments, writer.entries), writer.extra)
        writer.publish(_with_ids(manifest, markers))
    return markers


def _checked(job: Job, number: int) -> Marker:
    """The marker of a shard, compared with the plan."""
    marker = read_marker(job.parts, number)
    if marker is None:
        raise errors.UsageError(
            f"shard {number} of {job.folder} is not encoded; run `cluscomp shard encode --shard {number}`"
        )
    part, manifest, trained = job.plan.part(number), marker.manifest, job.index.origin.manifest.trained
    for what, found, wanted in (
        ("plan", marker.plan, job.plan.id),
        ("trained arrays", manifest.trained, trained),
        ("number of rows", marker.segment.rows, part.stop - part.start),
    ):
        if found != wanted:
            raise errors.CorruptIndexError(
                f"shard {number} has the {what} {found}, but {wanted} is planned; remove its marker in "
                f"{job.parts} and encode it again"
            )
    return marker


def _sorted_ids(job: Job, marker: Marker) -> SortedIds:
    owner, segment = f"shard {marker.shard}", marker.segment
    if segment.ids == "range":
        return SortedIds(owner, segment.rows, segment.first_id)
    keys, rows = _array(job, marker, KEYS), _array(job, marker, ROWS)
    if segment.ids != TEXT:
        return SortedIds(owner, segment.rows, 0, keys, rows)
    texts = TextIds(_array(job, marker, "ids_text"), _array(job, marker, "ids_offsets"))
    return SortedIds(owner, segment.rows, 0, keys, rows, texts)


def _array(job: Job, marker: Marker, name: str) -> np.ndarray:
    file = array_file(marker.segment.name, name)
    entry = marker.manifest.files.get(file)
    path = job.parts / marker.folder / file
    if entry is None or entry.dtype is None or entry.shape is None or _size(path) != entry.bytes:
        raise _damaged(job, marker, file)
    return map_array(path, ArraySpec(entry.dtype, entry.shape))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _require_attributes(job: Job, markers: Sequence[Marker]) -> None:
    """Raise InputError where attributes were given, and no row has any."""
    file = job.request.described.file
    if file is not None and not any(".attr." in name for marker in markers for name in marker.files):
        raise errors.InputError(
            f"none of the ids of the attributes in {job.plan.arguments.attributes} is that of a row"
        )


def _needed_bytes(job: Job, output: Place, markers: Sequence[Marker]) -> int:
    """Room that files take; nothing where they can be linked."""
    scratch = output.scratch
    folder = next(folder for folder in (scratch, *scratch.parents) if folder.exists())
    if os.stat(folder).st_dev == os.stat(job.parts).st_dev:
        return 0
    return sum(entry.bytes for marker in markers for entry in marker.files.values())


def _take(job: Job, marker: Marker, writer: Staging) -> None:
    """Let the files of a segment be files of the index."""
    for name, entry in marker.files.items():
        source, passing = job.parts / marker.folder / name, writer.passing_name()
        if _size(source) != entry.bytes:
            raise _damaged(job, marker, name)
        link_or_copy(source, writer.folder / passing)
        found = writer.digest(passing)
        if FileEntry(found.bytes, found.sha256, entry.dtype, entry.shape) != entry:
            raise _damaged(job, marker, name)
        writer.settle(name, Draft(passing, entry))


def _damaged(job: Job, marker: Marker, name: str) -> errors.CorruptIndexError:
    return errors.CorruptIndexError(
        f"{job.parts / marker.folder / name} is not the file that shard {marker.shard} wrote: it is missing, "
        "or its size or checksum differs; remove the marker of the shard and encode it again"
    )


def _with_ids(manifest: Manifest, markers: Sequence[Marker]) -> Manifest:
    """The manifest with what the shards say of ids and attributes."""
    parts = [marker.manifest for marker in markers]
    return replace(
        manifest,
        id_kind=parts[0].id_kind,
        next_id=max(part.next_id for part in parts),
        attributes=parts[0].attributes,
    )


def _reports(job: Job, markers: Sequence[Marker]) -> dict[str, bytes]:
    """Settings and report of the build, as `build_index` stores them."""
    stages = [{"name": f"encode {marker.shard}", **marker.facts()} for marker in markers]
    settings = {"settings": dict(job.plan.settings), "config": {"shards": job.plan.shards}}
    report: dict[str, Any] = {
        "planned_peak": job.plan.building.peak_memory,
        "measured_peak": max(marker.peak_memory for marker in markers),
        "seconds": sum(marker.seconds for marker in markers),
        "plan": job.plan.building.to_json(),
        "stages": stages,
        "resumed": [],
    }
    return {SETTINGS_NAME: _json(settings), REPORT_NAME: _json(report)}


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode("utf-8")
