"""Building an index from texts or vectors that may be larger than memory, in stages that survive a kill.

    read    texts: into a spool on disk; vectors: one pass that checks every value
    encode  texts only: vectors by the encoder, a block at a time
    sample  rows to train on, for keys that learn
    train   rotation, lists and codebooks
    add     codes of all rows, a block at a time
    write   lists, checksums, report, and the rename that makes the index appear

Everything unfinished lies in hidden folders beside the output (work.py); the output itself appears, or
is exchanged for the old index, in the last step. add and write are one step to a resumed build.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluscomp import checks, errors
from cluscomp.files import folder_bytes, real_path
from cluscomp.indexes.build.memory import peak_bytes
from cluscomp.indexes.build.plan import BuildPlan
from cluscomp.indexes.build.source import TextInput, VectorInput, open_document_input, open_input
from cluscomp.indexes.build.stages import (
    REPORT_NAME,
    SETTINGS_NAME,
    STAGES,
    Builder,
    Progress,
    Request,
    plan_for,
)
from cluscomp.indexes.build.work import WorkFolder, work_path
from cluscomp.indexes.keys.grammar import parse_key
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.storage.folder import check_index_target
from cluscomp.indexes.storage.manifest import MANIFEST_NAME
from cluscomp.resume import first_difference
from cluscomp.vocabulary import IF_EXISTS, IfExists

if TYPE_CHECKING:
    from cluscomp.encoders import Encoder, MultiVectorEncoder

__all__ = ["BuildReport", "build_index", "plan_build"]


@dataclass(frozen=True)
class BuildReport:
    """What a build made, in bytes and seconds. stages: those that ran, measured. resumed: those taken over.

    measured_peak: largest resident memory of the process since it started, which is more than the build's own
    if the process had held more before.
    """

    output: str
    index_key: str
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


def build_index(
    source: Any,
    *,
    index_key: str,
    output: str | Path,
    metric: str = "ip",
    encoder: Encoder | MultiVectorEncoder | None = None,
    ids: Any = None,
    lengths: Any = None,
    max_memory: int | None = None,
    seed: int = 0,
    if_exists: IfExists = "fail",
    train_rows: int | None = None,
    store_texts: bool = False,
    empty_documents: str = "fail",
    cache: bool = True,
    progress: Progress | None = None,
    config: Mapping[str, Any] | None = None,
) -> BuildReport:
    """Build an index folder at `output` from texts or vectors, within a memory limit.

    source: with an encoder, a corpus (BEIR folder, .jsonl, .tsv, .txt, .parquet) or an iterable of documents
    (Document, (id, title, text), or mapping); without, vectors (n, dim): a path (.npy, .npz, .fvecs, .fbin,
    .parquet), an array, or a VectorSource. A VectorSource or array with an encoder: vectors that it made.
    ids: of vectors: n integers or texts, or a path; None numbers them from 0.
    lengths: for keys with a pool, whose rows are documents: token vectors (n,) of each; ids are then those of
    the documents, and an encoder must be of kind "tokens" or "multivector".
    max_memory: bytes that the whole process may take; None: 80% of what is free now.
    if_exists: "fail" (OutputExistsError if `output` is taken), "replace" (an old index, which stays until the
    new one is complete), or "resume". An interrupted build with the same settings is continued by "fail" and
    "resume"; one with other settings is discarded by "fail" and refused by "resume".
    train_rows: rows to train on; None: what the key wants, less if the memory is short.
    store_texts: keep titles and texts in docs.sqlite. empty_documents: "fail", "skip" or "keep".
    cache: keep encodings in the cache folder, so that the next build from the same texts need not encode.
    progress(stage, done, total); config: further settings to record in build.json.

    Wrong input leaves nothing behind; an interrupted or killed build leaves `.NAME.partial` beside the
    output.
    Raises UsageError, UnknownKeyError, InfeasibleError, DiskFullError, OutputExistsError, InputError and its
    kinds.
    """
    start = time.monotonic()
    request = _request(index_key, metric, seed, train_rows, store_texts, max_memory, cache)
    checks.one_of("if_exists", if_exists, IF_EXISTS)
    if store_texts and encoder is None:
        raise errors.UsageError("store_texts needs a corpus of texts and an encoder; vectors have no texts")
    target = real_path(output)
    if if_exists == "fail":
        check_index_target(target, "fail")
    opened = _open(request, source, encoder, lengths, ids, empty_documents)
    if if_exists == "resume" and _is_finished(target, request, opened):
        return _finished_report(target, start)
    check_index_target(target, "replace")
    builder, plan = _build(request, opened, target, if_exists, progress or _silent, dict(config or {}))
    return _report(builder, plan, target, start)


def plan_build(
    source: Any,
    *,
    index_key: str,
    metric: str = "ip",
    encoder: Encoder | MultiVectorEncoder | None = None,
    ids: Any = None,
    lengths: Any = None,
    max_memory: int | None = None,
    seed: int = 0,
    train_rows: int | None = None,
    store_texts: bool = False,
    empty_documents: str = "fail",
) -> BuildPlan:
    """What `build_index` with the same arguments would need; writes nothing, but reads a corpus to count it.

    Raises what wrong arguments and unreadable input raise; a plan that does not fit is returned with feasible
    False.
    """
    request = _request(index_key, metric, seed, train_rows, store_texts, max_memory)
    opened = _open(request, source, encoder, lengths, ids, empty_documents)
    if request.spec.pool is not None:
        from cluscomp.indexes.build.documents_plan import document_plan

        return document_plan(request, opened, None, timed=True)
    return plan_for(request, opened)


def _open(request: Request, source: Any, encoder: Any, lengths: Any, ids: Any, empty_documents: str) -> Any:
    """The input that the key is for: vectors or texts, or documents of several vectors."""
    if request.spec.pool is not None:
        return open_document_input(source, encoder, lengths, ids, empty_documents)
    if lengths is not None:
        raise errors.UsageError(
            f"lengths belong to token vectors, but the rows of {str(request.spec)!r} are single vectors; "
            "use a key that begins with a pool, such as Pool16,IVF1024,PQ96"
        )
    return open_input(source, encoder, ids, empty_documents)


def _request(
    index_key: str,
    metric: str,
    seed: int,
    train_rows: int | None,
    store_texts: bool,
    max_memory: int | None,
    cache: bool = True,
) -> Request:
    metric = checks.metric(metric)
    for name, value in (("train_rows", train_rows), ("max_memory", max_memory)):
        if value is not None:
            checks.integer(name, value, 1)
    checks.integer("seed", seed, 0)
    return Request(parse_key(index_key).resolved(), metric, seed, train_rows, store_texts, max_memory, cache)


def _build(
    request: Request, source: VectorInput | TextInput, target: Path, if_exists: IfExists, progress: Progress,
    config: dict[str, Any],
) -> tuple[Builder, BuildPlan]:  # fmt: skip
    from cluscomp.indexes.multivector.pooling import fitted_spec

    dim = source.encoder.info.dim if isinstance(source, TextInput) else source.vectors.dim
    fitted_spec(request.spec, dim).stage_dims(
        dim
    )  # a key that does not fit is an error before anything is written
    work = WorkFolder(work_path(target), request.identity(source))
    try:
        work.adopt(if_exists)
    except errors.UsageError:
        work.close()  # the unfinished build of other settings is not ours to remove
        raise
    if work.discarded:
        warnings.warn(f"an unfinished build of other settings was discarded in {work.path}", stacklevel=3)
    builder = kind_of(request.spec).recipe()(request, source, work, target, progress)
    try:
        plan = builder.run(replace=if_exists != "fail", config=config)
    except Exception:
        work.remove()
        raise
    except BaseException:  # Ctrl-C: what is finished waits for a resume
        work.close()
        raise
    work.remove()
    return builder, plan


def _is_finished(target: Path, request: Request, source: VectorInput | TextInput) -> bool:
    """Whether `target` is the index this build would make; OutputExistsError if it has other settings."""
    if not (target / MANIFEST_NAME).is_file():
        return False
    try:
        built = json.loads((target / SETTINGS_NAME).read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        built = {}
    wanted = json.loads(json.dumps(request.identity(source)))
    difference = first_difference(built, wanted)
    if difference is None:
        return True
    if work_path(target).is_dir():
        return False  # a replacement was interrupted; its own record decides
    raise errors.OutputExistsError(
        f"{target} is a finished index of other settings: {difference}; replace it with if_exists='replace', "
        "or choose another output"
    )


def _finished_report(target: Path, start: float) -> BuildReport:
    """Report of an index that an earlier build completed, with the memory figures of that build."""
    from cluscomp.indexes.index import open_index

    index = open_index(target)
    measured = json.loads((target / REPORT_NAME).read_text(encoding="utf-8"))
    return BuildReport(
        output=str(target),
        index_key=index.key,
        n=len(index),
        dim=index.dim,
        index_bytes=folder_bytes(target),
        code_bytes_per_document=index.code_size,
        seconds=time.monotonic() - start,
        planned_peak=measured["planned_peak"],
        measured_peak=measured["measured_peak"],
        stages=(),
        resumed=STAGES,
    )


def _report(builder: Builder, plan: BuildPlan, target: Path, start: float) -> BuildReport:
    return BuildReport(
        output=str(target),
        index_key=plan.index_key,
        n=plan.n,
        dim=plan.dim,
        index_bytes=folder_bytes(target),
        code_bytes_per_document=plan.code_bytes_per_document,
        seconds=time.monotonic() - start,
        planned_peak=plan.peak_memory,
        measured_peak=peak_bytes(),
        stages=tuple(builder.ran),
        resumed=tuple(builder.resumed),
    )


def _silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""
