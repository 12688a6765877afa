"""convert_index: an index under another key, in the newest format, or as files of other tools."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluscomp import checks
from cluscomp.errors import EmptyInputError, UsageError
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.build.run import build_settings, run_request
from cluscomp.indexes.build.source import Given
from cluscomp.indexes.build.stages import plan_for
from cluscomp.indexes.conversion.exports import export
from cluscomp.indexes.conversion.reencode import reencoding
from cluscomp.indexes.conversion.report import ConvertReport
from cluscomp.indexes.conversion.sides import vectors_alone, vectors_key, write_beside_terms, write_side
from cluscomp.indexes.hybrid.index import HybridIndex
from cluscomp.indexes.index import open_index
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.storage.local_place import LocalPlace
from cluscomp.indexes.storage.manifest import FORMAT_VERSION
from cluscomp.indexes.storage.place import Place
from cluscomp.indexes.storage.places import place_of
from cluscomp.progress import Progress
from cluscomp.vocabulary import IF_EXISTS, LEARNED, TARGETS, IfExists

if TYPE_CHECKING:
    from cluscomp.vocabulary import Target


def convert_index(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    index_key: str | None = None,
    source: Any = None,
    ids: Any = None,
    lengths: Any = None,
    format: int | None = None,
    to: Target | None = None,
    max_memory: int | str | None = None,
    max_train_rows: int | None = None,
    seed: int = 0,
    if_exists: IfExists = "fail",
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ConvertReport:
    """Write an index under another key, in the newest format, or as files of other tools.

    With index_key a new index is trained and built, in memory bounded by max_memory, as `build_index` does,
    also where it was killed. Its rows are those of `source` that have the ids of the index, or else what
    the finest stored codes stand for: then the errors of both codes add up, and the report says so. Ids,
    encoder, metric, texts and the number of the next id are kept, deleted rows are left out. The index at
    `path` is only read.

    Args:
        path: folder of the index.
        output: folder, or file with `to`, to write. None: with `format`, the folder itself.
        index_key: key of the new index, for rows of the same kind. Of a hybrid index its terms stay as they
            are: they stand behind the new key of the vectors, are left out, or are taken alone.
        source: vectors that the rows were made of, for a new key: an array, a file or a VectorSource, as
            `build_index` takes them. Others than those of the index may be among them.
        ids: of the rows of `source`, or of its documents, where it does not hold them; None: 0, 1, 2 ...
        lengths: token vectors of each document of `source`, for keys with a pool.
        format: the newest version of the folder format, in which the index is written as it is.
        to: "faiss", a file of `faiss.write_index` with the codes as they are; "npy", decoded vectors in one
            file, ids in NAME.ids.npy and lengths of documents in NAME.lengths.npy beside it; "parquet",
            columns "id" and "vector", and one for each attribute; "lance" and "cuvs", a .npz file of what was
            learned, for `create_index` of Lance and `build_precomputed` of cuVS (docs/other-tools.md). faiss
            has no text ids: it numbers rows, whose ids are in NAME.ids.npy.
        max_memory: bytes that the process may take for a new key, or a text such as "8G".
        max_train_rows: most vectors to train a new key on.
        seed: of all random choices of a new key.
        if_exists: "fail", "replace" or, for a new key, "resume", as `build_index` takes it.
        dry_run: check everything, and write nothing.
        progress: called as progress(stage, done, total).

    Returns:
        A `ConvertReport`. Without a source its `added_error` is what the new codes lose of the old ones.

    Raises:
        UsageError: not one of index_key, format and to; nothing to decode from (MRL, RepCONC without a
            rerank); a key for rows of another kind; faiss has no counterpart.
        InputError: `source` lacks an id of the index.
        DimensionError: `source` has another dim.
        EmptyInputError: the index holds no rows.
        InfeasibleError: the build does not fit max_memory.
        OutputExistsError: `output` is taken.
        DiskFullError, IndexFolderError: `output` cannot be written.
        IndexMissingError, CorruptIndexError, NewerFormatError, ForeignFileError: `path` cannot be opened.
        OptionalDependencyError: faiss or pyarrow is not installed.
        UnknownKeyError: to or if_exists is unknown.
    """
    folder = checks.path("path", path)
    asked = {"index_key": index_key, "format": format, "to": to}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) != 1:
        what = " and ".join(f"{name}={asked[name]!r}" for name in given) or "none"
        raise UsageError(
            f"one of index_key=, format= and to= says what the index becomes, and {what} is given"
        )
    if source is None and (ids is not None or lengths is not None):
        raise UsageError("ids and lengths belong to the vectors of source, which is not given")
    if source is not None and index_key is None:
        raise UsageError("vectors of a source are encoded under a new key; pass index_key")
    checks.one_of("if_exists", if_exists, IF_EXISTS)
    target = _target(output, folder, format)
    index = open_index(folder)
    report = ConvertReport(str(folder), str(target), index.key, len(index), index.n_deleted)
    if format is not None:
        return _in_format(index, report, checks.integer("format", format, 1), target, if_exists, dry_run)
    if to is not None:
        checks.one_of("to", to, TARGETS)
        replaces = if_exists == "replace"
        files = export(index, to, _local(target), replace=replaces, dry_run=dry_run, progress=progress)
        rows_from = None if to in LEARNED else "codes"
        return _with_files(replace(report, to=to, vectors_from=rows_from), files, dry_run)
    settings = build_settings(str(index_key), index.metric, seed, max_train_rows, max_memory)
    vectors = None if source is None else Given(source, None, ids, lengths, "fail")
    return _in_key(index, report, settings, vectors, target, if_exists, dry_run, progress)


def _target(output: Any, folder: Path, format: int | None) -> Place:
    if output is not None:
        return place_of(output)
    if format is None:
        raise UsageError("output is missing; only format=... may write the folder itself")
    return place_of(folder)


def _local(target: Place) -> Path:
    """Where files for other tools go."""
    if not isinstance(target, LocalPlace):
        raise UsageError(f"files for other tools are written to this machine, not to {target}; name a path")
    return target.folder


def _in_format(
    index: StoredIndex[Any], report: ConvertReport, version: int, target: Place, if_exists: str, dry_run: bool
) -> ConvertReport:
    """Opened and saved: `save` writes the newest format only."""
    if version != FORMAT_VERSION:
        raise UsageError(
            f"format={version}, but this version writes {FORMAT_VERSION} only; pass format={FORMAT_VERSION}"
        )
    in_place = target == place_of(report.index)
    if not in_place:
        target.check_target("replace" if if_exists == "replace" else "fail")
    if not dry_run:
        index.save(str(target), if_exists="replace" if if_exists == "replace" and not in_place else "fail")
    written = 0 if dry_run else target.nbytes()
    has_texts = any(segment.texts is not None for segment in index.segments)
    return replace(
        report, format_version=version, dropped=0, bytes=written, files=(str(target),), texts=has_texts
    )


def _in_key(
    index: StoredIndex[Any],
    report: ConvertReport,
    settings: dict[str, Any],
    given: Given | None,
    target: Place,
    if_exists: IfExists,
    dry_run: bool,
    progress: Progress | None,
) -> ConvertReport:
    start = time.monotonic()
    if not len(index):
        raise EmptyInputError(f"{report.index} holds no rows, so there is nothing to train on")
    if target == place_of(report.index):
        raise UsageError(f"output {target} is the index that is read; write a new folder, and swap them")
    target.check_target("fail" if if_exists == "fail" else "replace")
    whole = settings["spec"]
    if isinstance(index, HybridIndex):
        vectors = vectors_key(index, whole, from_source=given is not None)
        if vectors is None:
            return _as_it_is(index, report, whole, target, if_exists, dry_run)
        settings = settings | {"spec": vectors}
    work = reencoding(index, settings, given, Path(report.index))
    plan = plan_for(work.request)
    report = replace(
        report,
        key=plan.key if vectors_alone(whole) else f"{plan.key}+{whole.terms}",
        vectors_from="codes" if given is None else "source",
        coded_twice=work.coded_twice,
        texts=work.request.kept is not None and work.request.kept.write_texts is not None,
        planned_peak=plan.peak_memory,
        files=(str(target),),
    )
    if dry_run:
        plan.check()
        return report
    converted = {"converted-from": place_of(report.index).name, "key": index.key}

    def build(place: Place) -> None:
        run_request(work.request, place, if_exists, progress, converted, start)

    if vectors_alone(whole):
        build(target)
    else:
        write_beside_terms(index, whole, build, target, if_exists)  # type: ignore[arg-type]
    error, rows = work.added_error(str(target))
    return replace(report, added_error=error, error_rows=rows, bytes=target.nbytes())


def _as_it_is(
    index: HybridIndex, report: ConvertReport, spec: IndexSpec, target: Place, if_exists: str, dry_run: bool
) -> ConvertReport:
    """One side of a hybrid index, or both: nothing is encoded."""
    has_texts = any(segment.texts is not None for segment in index.segments)
    if not dry_run:
        write_side(index, spec, target, if_exists)
    written = 0 if dry_run else target.nbytes()
    return replace(report, key=str(spec), bytes=written, files=(str(target),), texts=has_texts)


def _with_files(report: ConvertReport, files: tuple[Path, ...], dry_run: bool) -> ConvertReport:
    size = 0 if dry_run else sum(path.stat().st_size for path in files)
    return replace(report, files=tuple(map(str, files)), bytes=size)
