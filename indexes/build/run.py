"""Building an index from texts or vectors that may be larger than memory, in stages that survive a kill.

Which stages there are say stages.py and the recipe of the kind (vectors.py, documents.py). Everything
unfinished lies in hidden folders beside the output (work.py); the output itself appears, or is exchanged for
the old index, in the last stage.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cluscomp import checks, errors
from cluscomp.indexes.build.described import BuildAttributes
from cluscomp.indexes.build.plan import BuildPlan
from cluscomp.indexes.build.recipe import open_source
from cluscomp.indexes.build.report import BuildReport, finished_report, is_finished, report_of
from cluscomp.indexes.build.request import Request
from cluscomp.indexes.build.source import Given, Source, TextInput
from cluscomp.indexes.build.stage import BuildWork, run_stages
from cluscomp.indexes.build.stages import PLAN, plan_for, stages_of
from cluscomp.indexes.build.work import WorkFolder, work_path
from cluscomp.indexes.keys.grammar import parse_key
from cluscomp.indexes.multivector.pooling import query_directions
from cluscomp.indexes.storage.place import Place
from cluscomp.indexes.storage.places import place_of
from cluscomp.progress import Progress, silent
from cluscomp.vocabulary import IF_EXISTS, IfExists

if TYPE_CHECKING:
    from cluscomp.encoders import Encoder, MultiVectorEncoder

__all__ = ["BuildReport", "build_index", "plan_build"]


def build_index(
    source: Any,
    *,
    index_key: str,
    output: str | Path,
    metric: str = "ip",
    encoder: Encoder | MultiVectorEncoder | None = None,
    ids: Any = None,
    lengths: Any = None,
    texts: Any = None,
    terms: Any = None,
    columns: Mapping[str, str] | None = None,
    max_memory: int | str | None = None,
    seed: int = 0,
    if_exists: IfExists = "fail",
    max_train_rows: int | None = None,
    store_texts: bool = False,
    pool_sample: Any = None,
    empty_documents: str = "fail",
    cache: bool = True,
    attributes: Any = None,
    attributes_from: Literal["metadata"] | None = None,
    attribute_kinds: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    config: Mapping[str, Any] | None = None,
) -> BuildReport:
    """Build an index folder from texts or vectors, within a memory limit.

    Wrong input leaves nothing behind; an interrupted or killed build leaves `.NAME.partial` beside the
    output, and the same call goes on from there.

    Args:
        source: with an encoder, a corpus (BEIR folder, .jsonl, .tsv, .txt, .parquet) or an iterable of
            documents (Document, (id, title, text), or mapping); without, vectors (n, dim): a path (.npy,
            .npz, .fvecs, .fbin, .parquet), an array, or a VectorSource. A VectorSource or array with an
            encoder: vectors that it made.
        index_key: key of the index, as `index_factory` takes it.
        output: folder to write, or an address of an object store such as s3://bucket/my.index.
        metric: "ip", "l2" or "cosine".
        encoder: what `load_encoder` returns; of kind "tokens" or "multivector" for keys with a pool.
        ids: of vectors: n integers or texts, or a path; None numbers them from 0. With lengths they are those
            of the documents.
        lengths: for keys with a pool, whose rows are documents: token vectors (n,) of each.
        texts: for hybrid keys whose source are vectors: a corpus of the same documents in the same order, as
            `source` may be one. Their words are taken, or what the encoder gives for them: of kind "words" or
            "sparse", or a `HybridEncoder`, or that of the vectors, which is only written down. Documents have
            the ids of the corpus.
        terms: for hybrid keys whose source are vectors: their terms, a .jsonl file of ids and terms, a .npz
            file of a sparse matrix, or rows in any form of `SparseIndex.add` but texts.
        columns: names of fields of a file where they are not the usual ones: "id", "title" and "text" of a
            corpus, "vectors" and "id" of .parquet vectors.
        max_memory: bytes that the whole process may take, or a text such as "8G"; None: 80% of what is free
            now.
        seed: of all random choices.
        if_exists: "fail" (OutputExistsError if `output` is taken), "replace" (an old index, which stays until
            the new one is complete), or "resume". An interrupted build with the same settings is continued by
            "fail" and "resume"; one with other settings is discarded by "fail" and refused by "resume".
        max_train_rows: most vectors to train on; None: what the key wants, less if the memory is short.
        store_texts: keep titles and texts, which `Index.get` returns.
        pool_sample: for pools that are fitted to MaxSim: vectors (n, dim) of likely queries, as
            `MultiVectorIndex.train` takes them.
        empty_documents: what to do with documents without text: "fail", "skip" or "keep".
        cache: keep encodings in the cache folder, so that the next build from the same texts need not encode.
        attributes: facts about the rows for filters: a .parquet or .jsonl file whose column `_id` or `id`
            says which row is meant, or, without ids, a table of any form of `Index.add`, one row for each.
        attributes_from: "metadata": take the object of this name of each document of a .jsonl corpus.
        attribute_kinds: kinds of attributes by name, as `Index.declare_attributes` takes them.
        progress: called as progress(stage, done, total).
        config: further settings to record in build.json.

    Returns:
        A `BuildReport`: bytes, seconds and memory, planned and measured.

    Raises:
        UsageError, UnknownKeyError: arguments are wrong, or do not go together.
        InfeasibleError: the build does not fit the memory limit; the message has both numbers and the remedy.
        DiskFullError: the disk has too little room.
        OutputExistsError: `output` is taken.
        InputError: the input is wrong, or texts or terms are not of the documents of the vectors; its kinds
            say how.
    """
    start = time.monotonic()
    settings = build_settings(index_key, metric, seed, max_train_rows, max_memory)
    checks.one_of("if_exists", if_exists, IF_EXISTS)
    target = place_of(output)
    if if_exists == "fail":
        target.check_target("fail")
    given = Given(source, encoder, ids, lengths, empty_documents, columns, texts, terms)
    opened = open_source(settings["spec"], given)
    if store_texts and not isinstance(opened, TextInput):
        raise errors.UsageError("store_texts needs a corpus of texts and an encoder; vectors have no texts")
    described = BuildAttributes.of(
        attributes, attributes_from, source if texts is None else texts, attribute_kinds
    )
    request = Request(
        **settings, store_texts=store_texts, source=opened, cache=cache, described=described,
        directions=_directions(pool_sample, settings, opened),
    )  # fmt: skip
    return run_request(request, target, if_exists, progress, config, start)


def plan_build(
    source: Any,
    *,
    index_key: str,
    metric: str = "ip",
    encoder: Encoder | MultiVectorEncoder | None = None,
    ids: Any = None,
    lengths: Any = None,
    texts: Any = None,
    terms: Any = None,
    columns: Mapping[str, str] | None = None,
    max_memory: int | str | None = None,
    seed: int = 0,
    max_train_rows: int | None = None,
    store_texts: bool = False,
    pool_sample: Any = None,
    empty_documents: str = "fail",
    attributes: Any = None,
    attributes_from: Literal["metadata"] | None = None,
    attribute_kinds: Mapping[str, Any] | None = None,
) -> BuildPlan:
    """Say what `build_index` with the same arguments would need; writes nothing, but reads a corpus to count
    it.

    Args:
        source: as in `build_index`.
        index_key: as in `build_index`.
        metric: as in `build_index`.
        encoder: as in `build_index`.
        ids: as in `build_index`.
        lengths: as in `build_index`.
        texts: as in `build_index`.
        terms: as in `build_index`.
        columns: as in `build_index`.
        max_memory: as in `build_index`.
        seed: as in `build_index`.
        max_train_rows: as in `build_index`.
        store_texts: as in `build_index`.
        pool_sample: as in `build_index`.
        empty_documents: as in `build_index`.
        attributes: as in `build_index`.
        attributes_from: as in `build_index`.
        attribute_kinds: as in `build_index`.

    Returns:
        A `BuildPlan`: memory, disk and time of each stage. One that does not fit the limit has feasible
        False.

    Raises:
        UsageError, UnknownKeyError: arguments are wrong, or do not go together.
        InputError: the input is wrong; its kinds say how.
    """
    settings = build_settings(index_key, metric, seed, max_train_rows, max_memory)
    given = Given(source, encoder, ids, lengths, empty_documents, columns, texts, terms)
    opened = open_source(settings["spec"], given)
    described = BuildAttributes.of(
        attributes, attributes_from, source if texts is None else texts, attribute_kinds
    )
    directions = _directions(pool_sample, settings, opened)
    return plan_for(
        Request(
            **settings, store_texts=store_texts, source=opened, described=described, directions=directions
        )
    )


def run_request(
    request: Request,
    target: Place,
    if_exists: IfExists,
    progress: Progress | None,
    config: Mapping[str, Any] | None,
    start: float,
) -> BuildReport:
    """Build what was asked for, or go on with it. start: of the monotonic clock. Raises as `build_index`."""
    if if_exists == "resume" and is_finished(target, request):
        stages = tuple(stage.name for stage in stages_of(request) if stage is not PLAN)
        return finished_report(target, stages, start)
    target.check_target("replace")
    work = _build(request, target, if_exists, progress or silent, config or {})
    return report_of(work, start)


def _directions(pool_sample: Any, settings: Mapping[str, Any], opened: Source) -> np.ndarray | None:
    """`query_directions` for what is built."""
    dim = 0 if pool_sample is None else opened.dim
    return query_directions(pool_sample, settings["spec"], dim, settings["seed"])


def build_settings(
    index_key: str, metric: str, seed: int, max_train_rows: int | None, max_memory: int | str | None
) -> dict[str, Any]:
    """Checked arguments, as `Request` takes them."""
    metric = checks.metric(metric)
    if max_train_rows is not None:
        checks.integer("max_train_rows", max_train_rows, 1)
    return {
        "spec": parse_key(index_key).resolved(),
        "metric": metric,
        "seed": checks.integer("seed", seed, 0),
        "max_train_rows": max_train_rows,
        "max_memory": None if max_memory is None else checks.byte_size("max_memory", max_memory),
    }


def _build(
    request: Request, target: Place, if_exists: IfExists, progress: Progress, config: Mapping[str, Any]
) -> BuildWork:
    request.new_index()  # a key that does not fit is an error before anything is written
    folder = WorkFolder(work_path(target), request.identity())
    try:
        folder.adopt(if_exists)
    except errors.UsageError:
        folder.close()  # the unfinished build of other settings is not ours to remove
        raise
    if folder.discarded:
        warnings.warn(f"an unfinished build of other settings was discarded in {folder.path}", stacklevel=4)
    work = BuildWork(folder, target, progress, replace=if_exists != "fail", config=config)
    try:
        run_stages(stages_of(request), work, request)
    except Exception:
        folder.remove()
        raise
    except BaseException:  # Ctrl-C: what is finished waits for a resume
        folder.close()
        raise
    folder.remove()
    return work
