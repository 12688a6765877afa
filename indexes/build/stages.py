"""The stages that builds of all kinds share: read texts, plan, sample, train, write.

read    texts into a spool on disk; of vectors, a kind has a stage of this name that checks them
plan    sizes that fit the memory; recorded, since a resumed build must keep them
sample  vectors to train on, for keys that learn
train   rotation, lists and codebooks
write   codes of all rows, a block at a time ("add"), then checksums, report, and the rename that makes
        the index appear: one step to a resumed build
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.errors import SubsampleWarning
from cluscomp.files import flush
from cluscomp.indexes.build.plan import BuildPlan, make_plan
from cluscomp.indexes.build.recipe import recipe_of
from cluscomp.indexes.build.report import build_files
from cluscomp.indexes.build.request import Request, Shard
from cluscomp.indexes.build.source import TextInput
from cluscomp.indexes.build.stage import BuildWork, Facts, Stage, WorkDone
from cluscomp.indexes.build.writer import IndexWriter
from cluscomp.indexes.index import open_index
from cluscomp.indexes.storage.texts import FILE_NAME, CorpusFacts, scan_documents, write_documents
from cluscomp.inputs.embeddings import open_embeddings

TRAINED, SAMPLE_FILE = "trained", "sample.npy"


def stages_of(request: Request) -> tuple[Stage, ...]:
    """All stages of a build, in order."""
    recipe = recipe_of(request.spec)
    return (*recipe.prepare(request), *(recipe.training or (SAMPLE, TRAIN)), WRITE)


def plan_for(
    request: Request, corpus: CorpusFacts | None = None, sizes: Mapping[str, int] | None = None
) -> BuildPlan:
    """The plan of a build.

    corpus: what is known of the texts if they have been read already, else they are read for it. sizes:
    train_rows and block_rows of an interrupted build, which must be kept so that its bits are continued.
    """
    # Timing the encoder takes a second or more: for a plan that is shown, not for a build that has begun.
    timed = corpus is None
    if isinstance(request.source, TextInput) and corpus is None:
        corpus = scan_documents(request.source.documents())
    train_rows, block_rows = request.max_train_rows, None
    if sizes:
        train_rows, block_rows = sizes["train_rows"], sizes["block_rows"]
    shape = recipe_of(request.spec).shape(request, corpus, timed)
    shape = replace(shape, attributes=request.described.shape(shape.n))
    return make_plan(shape, max_memory=request.max_memory, train_rows=train_rows, block_rows=block_rows)


def corpus_of(work: WorkDone) -> CorpusFacts | None:
    """What the stage "read" found in the texts; None where vectors are read."""
    facts = work.facts("read").get("corpus")
    return None if facts is None else CorpusFacts(**{**facts, "sample": tuple(facts["sample"])})


def _read_texts(work: BuildWork, request: Request, shard: Shard) -> Facts:
    """Spool the corpus. Facts: what was found."""
    source = request.source
    assert isinstance(source, TextInput)
    corpus = write_documents(work.path(FILE_NAME), _counted(work, source.documents()))
    return {"rows": corpus.n, "corpus": asdict(corpus)}


def _counted(work: BuildWork, documents: Iterator[Any]) -> Iterator[Any]:
    for count, document in enumerate(documents):
        if count % 1000 == 0:
            work.progress("read", count, count + 1)
        yield document


def _is_spooled(work: BuildWork, request: Request, facts: Facts) -> bool:
    """A file is known by its identity; an iterable is read again and compared."""
    return "bytes" in request.source.identity and work.path(FILE_NAME).is_file()


def _plan(work: BuildWork, request: Request, shard: Shard) -> Facts:
    """Make the plan, and refuse it here if what is left to do does not fit."""
    work.plan = plan_for(request, corpus_of(work), work.facts("plan"))
    work.plan.check(work.folder.finished)
    work.plan.check_disk(work.output)
    return {"train_rows": work.plan.train_limit, "block_rows": work.plan.block_rows}


def _sample(work: BuildWork, request: Request, shard: Shard) -> Facts:
    """Leave a random sample of the vectors, in the dtype of the source, where the key learns anything."""
    limit = work.facts("plan")["train_rows"]
    if not limit:
        return {"rows": 0}
    with recipe_of(request.spec).rows(work, request) as rows:
        sample = rows.sample(limit, request.seed)
        n = rows.n
    with work.path(SAMPLE_FILE).open("wb") as file:
        np.lib.format.write_array(file, sample, allow_pickle=False)
        flush(file)
    return {"rows": len(sample), "of": n}


def _train(work: BuildWork, request: Request, shard: Shard) -> Facts:
    """Leave the trained index without rows."""
    index, n = request.new_index(), work.facts("sample")["rows"]
    recipe_of(request.spec).take_over(work, index.pipeline)
    if n:
        sample = open_embeddings(work.path(SAMPLE_FILE)).read(0, n)
        most, wanted = index.training_limit, work.facts("plan")["train_rows"]
        if wanted > most:
            warnings.warn(
                f"the index trains on {most} rows, all that its key can use, of the {wanted} asked for",
                SubsampleWarning,
                stacklevel=2,
            )
        index.train_vectors(
            sample,
            lambda part, done, total: work.progress(f"train {part}", done, total),
            n_rows=work.facts("sample")["of"],
            lists=work.lists,
        )
    index.encoder = request.source.info
    if request.kept is not None:
        index.next_id = request.kept.next_id
    index.save(work.path(TRAINED), if_exists="replace")
    return {"rows": n}


def _write(work: BuildWork, request: Request, shard: Shard) -> None:
    """Write codes, ids and what belongs to them, and publish the index."""
    # Read back, so that an interrupted build and one that ran through go on from the same bits.
    index = open_index(work.path(TRAINED))
    with recipe_of(request.spec).rows(work, request) as rows:
        part = shard.part(rows.n)
        n = part.stop - part.start
        with IndexWriter(
            index,
            work.output,
            if_exists="replace" if work.replace else "fail",
            n_rows=n,
            n_vectors=rows.n_vectors(part),
            max_block_bytes=work.plan.group_bytes,
            described=request.described,
        ) as writer:
            with work.timed("add"):
                for block, ids in rows.blocks(part, work.plan.block_rows):
                    writer.add(block, ids)
                    work.progress("add", writer.rows_written, n)
            work.progress("write", 0, n)
            writer.finish(texts=_texts(work, request), extra_files=build_files(work, request))
            work.progress("write", n, n)


def _texts(work: BuildWork, request: Request) -> Path | None:
    """The file of titles and texts of the rows, where they are kept."""
    path = work.path(FILE_NAME)
    if request.kept is not None and request.kept.write_texts is not None:
        request.kept.write_texts(path)
        return path
    return path if request.store_texts else None


def _never(work: BuildWork, request: Request, facts: Facts) -> bool:
    return False


READ_TEXTS = Stage("read", (), _read_texts, holds=_is_spooled)
PLAN = Stage("plan", ("read",), _plan, holds=_never)
SAMPLE = Stage("sample", ("read", "plan", "encode", "pool"), _sample)
TRAIN = Stage("train", ("sample",), _train)
WRITE = Stage("write", ("train",), _write)
