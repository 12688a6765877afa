"""build: plan, train, encode by shard and commit, by one engine; and the plan by itself."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cluscomp import checks, errors
from cluscomp.distributed.arguments import BuildArguments, path_text, require_shared
from cluscomp.distributed.committing import commit
from cluscomp.distributed.engines import engine_of
from cluscomp.distributed.job import Job
from cluscomp.distributed.marker import Marker
from cluscomp.distributed.plan import PLAN_NAME, Plan, make_plan, read_plan
from cluscomp.distributed.steps import ENCODE, TRAIN, phases
from cluscomp.distributed.training import train as train_step
from cluscomp.files import FolderLock, real_path, try_lock
from cluscomp.folders import is_free
from cluscomp.indexes.build.memory import peak_bytes
from cluscomp.indexes.build.report import BuildReport, finished_report, is_finished
from cluscomp.indexes.storage.place import Place
from cluscomp.indexes.storage.places import place_of
from cluscomp.progress import Progress, silent
from cluscomp.vocabulary import IF_EXISTS, TRAININGS, EngineName, IfExists, IfTaken, Training

if TYPE_CHECKING:
    from cluscomp.encoders import Encoder, MultiVectorEncoder

LOCK_NAME = ".driver"


def build(
    source: Any,
    *,
    index_key: str,
    output: str | Path,
    shards: int = 1,
    engine: EngineName = "local",
    train: Training = "single",
    address: str | None = None,
    metric: str = "ip",
    encoder: Encoder | MultiVectorEncoder | None = None,
    ids: Any = None,
    lengths: Any = None,
    columns: Mapping[str, str] | None = None,
    max_memory: int | str | None = None,
    seed: int = 0,
    if_exists: IfExists = "fail",
    max_train_rows: int | None = None,
    store_texts: bool = False,
    empty_documents: str = "fail",
    cache: bool = True,
    attributes: Any = None,
    attributes_from: Literal["metadata"] | None = None,
    attribute_kinds: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> BuildReport:
    """Build an index folder in shards: one segment each, of the bits that one machine makes of these rows.

    The trained arrays are those of `build_index` with the same arguments, and one shard makes its index. What
    is unfinished lies in `.NAME.shards` beside the output. A killed build leaves it, and so does an error
    other than one of wrong input; the same call goes on behind the shards that have ended.

    Args:
        source: path of a corpus (with an encoder) or of vectors, as `build_index` takes it.
        index_key: as for `build_index`.
        output: folder to write.
        shards: into how many parts of neighbouring rows the source is cut, 1 to 4096.
        engine: "local", one shard after the other in this process, or "ray".
        train: "single" trains in one process. "distributed" trains the lists of `IVF` keys in as many
            processes as there are shards, with the same bits; this process trains the rest, and holds the
            sample.
        address: of a running Ray cluster; None: the one that this process is connected to, or a new one on
            this machine.
        metric: as for `build_index`.
        encoder: as for `build_index`; other processes load it by the name in its `info`.
        ids: path of the ids of vectors, or None.
        lengths: path of a .npy file of the lengths of documents, for keys with a pool and vectors.
        columns: as for `build_index`.
        max_memory: bytes that the process of a step may take, or a text such as "8G".
        seed: of all random choices.
        if_exists: as for `build_index`.
        max_train_rows: as for `build_index`.
        store_texts: as for `build_index`.
        empty_documents: as for `build_index`.
        cache: as for `build_index`.
        attributes: path of a file of attributes, as for `build_index`.
        attributes_from: as for `build_index`.
        attribute_kinds: as for `build_index`.
        progress: called as progress(stage, done, total).

    Returns:
        A `BuildReport`, whose stages are the steps.

    Raises:
        UsageError, UnknownKeyError: arguments are wrong, or do not go together; the source has changed.
        InfeasibleError: a step does not fit the memory limit.
        DiskFullError: the disk has too little room.
        OutputExistsError: `output` is taken, or another process builds it.
        InputError: the input is wrong; the message names the shard.
        OptionalDependencyError: engine "ray" without the package ray.
    """
    start = time.monotonic()
    checks.one_of("if_exists", if_exists, IF_EXISTS)
    checks.one_of("train", train, TRAININGS)
    target, ticks = place_of(output), progress or silent
    arguments = arguments_of(
        source, index_key=index_key, metric=metric, encoder=encoder, ids=ids, lengths=lengths,
        columns=columns, max_memory=max_memory, seed=seed, max_train_rows=max_train_rows,
        store_texts=store_texts, empty_documents=empty_documents, cache=cache, attributes=attributes,
        attributes_from=attributes_from, attribute_kinds=attribute_kinds,
    )  # fmt: skip
    if engine == "ray":
        require_shared(*arguments.paths)
    running = engine_of(engine, address, shards)
    if if_exists == "fail":
        target.check_target("fail")
    request = arguments.request(encoder)
    if if_exists == "resume" and is_finished(target, request):
        return finished_report(target, (TRAIN, ENCODE), start)
    target.check_target("replace")
    plan = make_plan(arguments, request, shards)
    folder = target.work_path("shards")
    folder.mkdir(parents=True, exist_ok=True)
    lock = _driver_lock(folder)
    try:
        _adopt(folder, plan, if_exists)
        job = Job(folder, read_plan(folder), request)
        with running as engine_:
            if train == "distributed":
                train_step(job, ticks, partial(engine_.crew, job))
            for steps in phases(job):
                engine_.run(job, steps, ticks)
        ticks("commit", 0, 1)
        markers = commit(job, target, if_exists="fail" if if_exists == "fail" else "replace")
        ticks("commit", 1, 1)
    except errors.InputError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        lock.close()
    shutil.rmtree(folder, ignore_errors=True)
    return _report(job, target, markers, start)


def plan_shards(
    folder: str | Path, arguments: BuildArguments, shards: int, *, encoder: Any = None,
    if_exists: IfExists = "fail",
) -> Plan:  # fmt: skip
    """Write the plan of a build, whose steps are then run by `run_step_at`, wherever the folder can be seen.

    if_exists: what to do with a plan in the folder: "fail", "replace" it with all that was done, or "resume"
    it if it is the same. Raises as `build`.
    """
    checks.one_of("if_exists", if_exists, IF_EXISTS)
    path = real_path(checks.path("folder", folder))
    if not is_free(path):
        if not (path / PLAN_NAME).is_file():
            raise errors.OutputExistsError(f"{path} is no plan of shards; name a new folder")
        if if_exists == "fail":
            raise errors.OutputExistsError(
                f"{path} holds a plan; go on with if_exists='resume', or start over with if_exists='replace'"
            )
    plan = make_plan(arguments, arguments.request(encoder), shards)
    path.mkdir(parents=True, exist_ok=True)
    with_lock = _driver_lock(path)
    try:
        _adopt(path, plan, if_exists)
    finally:
        with_lock.close()
    return plan


def commit_plan(
    folder: str | Path, output: str | Path, *, if_exists: IfTaken = "fail", keep: bool = False
) -> BuildReport:
    """The last step of a plan whose shards are encoded: publishes the index. keep: leave the plan there.

    Raises as `committing.commit`, and OutputExistsError while another process runs the plan.
    """
    start = time.monotonic()
    path, target = real_path(checks.path("folder", folder)), place_of(output)
    job = Job.open(path)
    target.check_target(if_exists)
    lock = _driver_lock(path)
    try:
        markers = commit(job, target, if_exists=if_exists)
    finally:
        lock.close()
    if not keep:
        shutil.rmtree(path, ignore_errors=True)
    return _report(job, target, markers, start)


def arguments_of(source: Any, *, encoder: Any = None, **given: Any) -> BuildArguments:
    """Arguments of `build` as a plan records them. Raises UsageError for what is no path."""
    from cluscomp.attributes import Schema

    for name in ("ids", "lengths", "attributes"):
        if given.get(name) is not None:
            given[name] = path_text(name, given[name])
    if given.get("columns") is not None:
        given["columns"] = dict(given["columns"])
    if given.get("attribute_kinds"):
        given["attribute_kinds"] = Schema.of(given["attribute_kinds"]).to_json()
    else:
        given.pop("attribute_kinds", None)
    info = None if encoder is None else encoder.info.to_json()
    return BuildArguments(path_text("source", source), encoder=info, **given)


def _driver_lock(folder: Path) -> FolderLock:
    lock = try_lock(folder / LOCK_NAME)
    if lock is None:
        raise errors.OutputExistsError(
            f"another process runs the plan in {folder}; wait for it, or choose another output"
        )
    return lock


def _adopt(folder: Path, plan: Plan, if_exists: IfExists) -> None:
    """Go on with what the folder holds of the same plan; else start over, but for "resume": UsageError."""
    known = read_plan(folder) if (folder / PLAN_NAME).is_file() else None
    if known is not None and known.id == plan.id and if_exists != "replace":
        return
    if known is not None and if_exists == "resume":
        raise errors.UsageError(
            f"cannot resume the plan in {folder}: it is another one ({known.shards} shards of "
            f"{known.n} rows of {known.arguments.source}, {known.arguments.index_key}); repeat it with the "
            "settings of then, or start over with if_exists='replace'"
        )
    if known is not None and if_exists == "fail":
        warnings.warn(f"an unfinished build of other settings was discarded in {folder}", stacklevel=4)
    for entry in folder.iterdir():
        if entry.name != LOCK_NAME:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    plan.write(folder)


def _report(job: Job, target: Place, markers: list[Marker], start: float) -> BuildReport:
    steps = [{"name": f"{ENCODE} {marker.shard}", **marker.facts()} for marker in markers]
    return BuildReport(
        output=str(target),
        key=str(job.request.spec),
        n=job.plan.n,
        dim=job.index.dim,
        index_bytes=target.nbytes(),
        code_bytes_per_document=job.plan.building.code_bytes_per_document,
        seconds=time.monotonic() - start,
        planned_peak=job.plan.building.peak_memory,
        measured_peak=max(peak_bytes(), *(marker.peak_memory for marker in markers)),
        stages=tuple(steps),
        resumed=(),
    )
