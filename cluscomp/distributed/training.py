"""The step train: an index without rows, with the bits that a build of all rows trains.

Of files of vectors, only the sample is read; of files of token vectors, documents are pooled until there are
enough. Texts and terms go through all stages up to training, and stay for the shards: a text gets the vector
that it gets in a build of all, whose encoder sees it among the same others.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.arrays import iter_blocks, require_finite
from cluscomp.distributed.job import Job
from cluscomp.distributed.parted_lists import CrewOf, PartedLists
from cluscomp.files import flush, sync_folder
from cluscomp.indexes.build.guides import GUIDES
from cluscomp.indexes.build.recipe import recipe_of
from cluscomp.indexes.build.request import Request, Shard
from cluscomp.indexes.build.source import RaggedInput
from cluscomp.indexes.build.stage import BuildWork, Facts, Stage, run_stages
from cluscomp.indexes.build.stages import PLAN, SAMPLE, SAMPLE_FILE, TRAIN, TRAINED
from cluscomp.indexes.build.token_blocks import require_tokens, some_tokens
from cluscomp.indexes.build.vectors import sample_rows
from cluscomp.indexes.build.work import WorkFolder
from cluscomp.indexes.multivector.pooling import pooled
from cluscomp.inputs.embeddings import open_embeddings
from cluscomp.progress import Progress

_DOCUMENTS = 256  # pooled at a time


def train(job: Job, progress: Progress, crew_of: CrewOf | None = None) -> None:
    """Leave PLAN/trained; a killed step goes on behind its last finished stage.

    crew_of: makes what trains the lists, in as many parts as there are shards; None: this process does.

    Raises OutputExistsError while another process trains, and what training raises.
    """
    if job.is_trained:
        return
    folder = WorkFolder(job.work, {"plan": job.plan.id})
    try:
        folder.adopt("fail")
        if folder.facts("plan") is None:
            building = job.plan.building
            folder.finish("plan", train_rows=building.train_limit, block_rows=building.block_rows)
        work = BuildWork(folder, job.folder, progress, replace=False, config={})
        if crew_of is not None:
            pipeline = job.request.new_index().pipeline
            normalizes = pipeline.normalizes and pipeline.support is None
            work.lists = PartedLists(work.path(SAMPLE_FILE), normalizes, job.plan.shards, crew_of)
        run_stages(_stages(job), work, job.request)
        if not job.is_trained:
            os.rename(work.path(TRAINED), job.trained)
            sync_folder(job.folder)
    finally:
        folder.close()


def _stages(job: Job) -> tuple[Stage, ...]:
    if not job.reads_parts:
        return (*job.recipe.prepare(job.request), *(job.recipe.training or (SAMPLE, TRAIN)))
    if not isinstance(job.request.source, RaggedInput):
        return PLAN, SAMPLE, CHECK_SAMPLE, TRAIN
    learns = GUIDES in job.recipe.prepare(job.request)
    return (PLAN, *((GUIDES,) if learns else ()), SAMPLE_DOCUMENTS, TRAIN)


def _check_sample(work: BuildWork, request: Request, shard: Shard) -> Facts:
    """Refuse values of the sample that cannot be compared, before hours of training."""
    facts = work.facts("sample")
    if not facts["rows"]:
        return {}
    vectors: Any = request.source.vectors  # type: ignore[attr-defined]
    numbers = sample_rows(facts["of"], facts["rows"], request.seed)
    names = numbers if vectors.ids is None else [vectors.ids[number] for number in numbers]
    sample, largest = open_embeddings(work.path(SAMPLE_FILE)), request.new_index().pipeline.largest
    for part in iter_blocks(sample.n, work.plan.block_rows):
        block = sample.read(part.start, part.stop)
        require_finite(block, name="sample", ids=names[part], first_row=part.start, largest=largest)
    return {}


def _sample_documents(work: BuildWork, request: Request, shard: Shard) -> Facts:
    """Leave the vectors that `DocumentRows.sample` draws of all documents, having pooled these alone."""
    source, size = request.source, work.facts("plan")["train_rows"]
    assert isinstance(source, RaggedInput)
    if not size:
        return {"rows": 0}
    pipeline = request.new_index().pipeline
    recipe_of(request.spec).take_over(work, pipeline)
    order, found, total = checks.rng(request.seed).permutation(source.n), {}, 0
    for numbers in iter_blocks(source.n, _DOCUMENTS):
        if total >= size:
            break
        chosen = order[numbers].tolist()
        place = 0
        for tokens, ids in some_tokens(source, None, chosen, work.plan.block_rows):
            require_tokens(pipeline, tokens, ids)
            block = pooled(pipeline, tokens)
            for document in range(len(block)):
                if total < size:
                    rows = block.rows[block.offsets[document] : block.offsets[document + 1]]
                    found[chosen[place + document]] = np.array(rows, dtype=np.float32)
                    total += len(rows)
            place += len(block)
        work.progress("sample", min(total, size), size)
    sample = np.concatenate([found[number] for number in sorted(found)])
    with work.path(SAMPLE_FILE).open("wb") as file:
        np.lib.format.write_array(file, sample, allow_pickle=False)
        flush(file)
    return {"rows": len(sample), "of": source.n}


CHECK_SAMPLE = Stage("check", ("sample",), _check_sample)
SAMPLE_DOCUMENTS = Stage("sample", ("plan", "guides"), _sample_documents)
