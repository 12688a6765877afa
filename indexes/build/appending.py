"""Adding rows from files to an index folder: in blocks that fit a memory limit, one segment, one commit.

The rows go through the stages of a build (stages.py) up to encoded vectors, pooled documents or terms, in a
hidden folder beside the index that a killed `append_rows` leaves and the same call goes on with. Then codes
are written block by block into the folder of the index, under passing names, until the manifest is replaced.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cluscomp import checks, errors
from cluscomp.attributes.schema import Schema
from cluscomp.indexes.attributed import have_attributes
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.build.described import NO_ATTRIBUTES, BuildAttributes
from cluscomp.indexes.build.incoming import IncomingIds
from cluscomp.indexes.build.recipe import open_source, recipe_of
from cluscomp.indexes.build.request import WHOLE, Request
from cluscomp.indexes.build.source import Given, TextInput, VectorInput
from cluscomp.indexes.build.stage import BuildWork, Stage, run_stages
from cluscomp.indexes.build.stages import PLAN
from cluscomp.indexes.build.work import WorkFolder
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.segments.id_lookup import without
from cluscomp.indexes.segments.segment import list_sizes
from cluscomp.indexes.storage.lock import WAIT
from cluscomp.indexes.storage.origin import Origin
from cluscomp.indexes.storage.saving import live_segments, write_index
from cluscomp.indexes.storage.texts import FILE_NAME
from cluscomp.inputs.attributes import AttributesFile
from cluscomp.progress import Progress, silent


@dataclass(frozen=True)
class AppendReport:
    """What `append_rows` did. added, replaced: of the new rows. rows: of the index then."""

    added: int
    replaced: int
    rows: int
    written: bool


@dataclass(frozen=True)
class Facts:
    """Attributes of new rows. file: None for none. new: whether there may be columns that the index lacks."""

    file: AttributesFile | None = None
    new: bool = False

    def schema(self, index: StoredIndex[Any]) -> Schema:
        """Columns of the index with these. Raises InputError."""
        before = index.attribute_schema
        new = self.new or not have_attributes(index.segments)
        return before if self.file is None else before.joined(self.file.table.schema, new=new)


def append_rows(
    index: StoredIndex[Any],
    given: Given,
    *,
    replace_ids: bool = False,
    facts: Facts = Facts(),
    max_memory: int | str | None = None,
    wait: float = WAIT,
    grace: float | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> AppendReport:
    """Add rows to the folder that an index was opened from, with the results of `add` and `save`, or none.

    index: without unsaved changes; holds the new rows afterwards. given: the rows, as `build_index` takes
    them. replace_ids: as `upsert`; False as `add`. max_memory: as of `build_index`. wait, grace: as of
    `index.writer`. dry_run: read everything but encode nothing, lock nothing and write nothing.

    Raises what `add`, `upsert`, `index.writer` and `build_index` raise; InfeasibleError names both numbers.
    """
    index.pipeline.require_trained()
    limit = None if max_memory is None else checks.byte_size("max_memory", max_memory)
    if index.has_changes:
        raise errors.UsageError("the index has changes that were not saved, or no folder; save it first")
    with ExitStack() as stack:
        if not dry_run:
            stack.enter_context(index.writer(wait=wait, grace=grace))
        origin = index.origin
        assert origin is not None
        request = _request(index, given, facts, limit)
        incoming = IncomingIds(index, replace=replace_ids)
        with _work_folder(origin, request, dry_run=dry_run) as folder:
            work = BuildWork(folder, origin.place, progress or silent, replace=True, config={})
            run_stages(_stages(request, incoming, dry_run=dry_run), work, request)
            if not dry_run:
                _write(work, request, incoming, facts, origin, grace)
                index.refresh()
        rows = len(index) + (incoming.rows - incoming.replaced if dry_run else 0)
    return AppendReport(incoming.rows - incoming.replaced, incoming.replaced, rows, not dry_run)


def _request(index: StoredIndex[Any], given: Given, facts: Facts, limit: int | None) -> Request:
    source = _opened(index, given)
    if not kind_of(index.spec).terms and source.dim != index.dim:
        raise errors.DimensionError(f"index has dim {index.dim}, rows have dim {source.dim}")
    described = NO_ATTRIBUTES
    if facts.file is not None:
        described = BuildAttributes(facts.file, facts.schema(index))
    return Request(
        spec=index.spec,
        metric=index.metric,
        seed=index.seed,
        max_train_rows=0,
        store_texts=index.has_texts and isinstance(source, TextInput),
        max_memory=limit,
        source=source,
        described=described,
        into=index,
    )


def _opened(index: StoredIndex[Any], given: Given) -> Any:
    """The source. Without an encoder it holds no texts, also where a build would weigh words itself."""
    if kind_of(index.spec).terms and given.encoder is None:
        from cluscomp.indexes.build.terms import term_input

        return term_input(given)
    return open_source(index.spec, _with_words(index, given))


def _with_words(index: StoredIndex[Any], given: Given) -> Given:
    """With the encoder of the terms of the index, where texts stand beside vectors without one. Raises
    UsageError where the index knows none, and what loading it raises.
    """
    if given.texts is None or given.encoder is not None:
        return given
    from cluscomp.encoders.remembered import remembered_words

    return replace(given, encoder=remembered_words(index.encoder, "pass terms (terms=, --terms)"))


def _stages(request: Request, incoming: IncomingIds, *, dry_run: bool) -> tuple[Stage, ...]:
    """Those of a build before training; ids are compared as soon as they are known."""
    stages = recipe_of(request.spec).prepare(request)
    known = stages.index(PLAN) + 1
    after = stages[known:]
    if dry_run and not isinstance(request.source, VectorInput):  # of vectors, the values are checked then
        after = ()
    return (*stages[:known], Stage("ids", ("read",), incoming.compare), *after)


@contextmanager
def _work_folder(origin: Origin, request: Request, *, dry_run: bool) -> Iterator[WorkFolder]:
    """Where the stages leave files: beside the index, where the next call finds what a killed one left."""
    with ExitStack() as stack:
        if dry_run:
            path = Path(stack.enter_context(TemporaryDirectory()))
        else:
            path = origin.place.work_path("adding")
        folder = WorkFolder(path, request.identity())
        try:
            folder.adopt("fail")
            if folder.discarded:
                warnings.warn(f"what a killed call left of other rows in {path} was discarded", stacklevel=4)
            yield folder
        except Exception:
            folder.remove()
            raise
        except BaseException:  # Ctrl-C: what is finished waits for the same call
            folder.close()
            raise
        folder.remove()


def _write(
    work: BuildWork,
    request: Request,
    incoming: IncomingIds,
    facts: Facts,
    origin: Origin,
    grace: float | None,
) -> None:
    """Write the segment, and publish it with the others."""
    index, recipe = request.new_index(), recipe_of(request.spec)
    with (
        recipe.rows(work, request) as rows,
        origin.place.commit(origin, nullcontext, origin.place.grace(grace)) as staging,
        staging.disk_errors(),
    ):
        part = WHOLE.part(rows.n)
        sizes = None if kind_of(index.spec).terms else list_sizes(index.segments, index.spec.nlist)
        segment = recipe.writer(staging, index.pipeline, n_vectors=rows.n_vectors(part), sizes=sizes)
        try:
            for block, ids in rows.blocks(part, work.plan.block_rows):
                values, n = segment.checked(block)
                segment.add(values, incoming.column(ids, segment.rows, n))
                work.progress("add", segment.rows, rows.n)
            others = write_index(
                staging, index.pipeline, live_segments(without(index.segments, incoming.found))
            )
            taken = {entry.name: entry for entry in others.segments}
            texts = work.path(FILE_NAME) if request.store_texts else None
            entry = segment.finish(work.plan.group_bytes, request.described, texts, taken)
        finally:
            segment.close()
        staging.take_extras(origin)
        whole = replace(others, segments=(*others.segments, entry), files=staging.entries)
        manifest = segment.ids.complete(index.manifest(whole, staging.extra))
        staging.publish(replace(manifest, attributes=facts.schema(index).to_json()))
