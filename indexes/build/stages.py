"""The stages of a build, run in order; each is skipped when the work folder says that it is finished."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluscomp.indexes.build.memory import peak_bytes
from cluscomp.indexes.build.plan import BuildPlan, make_plan, text_shape, vector_shape
from cluscomp.indexes.build.source import TextInput, VectorInput
from cluscomp.indexes.build.vectors import blocks_with_ids, check_vectors, encode_documents, write_sample
from cluscomp.indexes.build.work import WorkFolder
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.stages.pipeline import largest_value
from cluscomp.indexes.storage.texts import (
    FILE_NAME,
    CorpusFacts,
    DocumentStore,
    scan_documents,
    write_documents,
)
from cluscomp.inputs.embeddings import open_embeddings

Progress = Callable[[str, int, int], None]
STAGES = ("read", "encode", "sample", "train", "add", "write")
REPORT_NAME, SETTINGS_NAME = "report.json", "build.json"


@dataclass(frozen=True)
class Request:
    """What a caller asked for; all but max_memory and cache decides the bits of the index."""

    spec: IndexSpec
    metric: str
    seed: int
    train_rows: int | None
    store_texts: bool
    max_memory: int | None
    cache: bool = True

    def identity(self, source: VectorInput | TextInput) -> dict[str, Any]:
        """JSON value that two builds share exactly when they make the same index."""
        encoder = source.encoder.info.to_json() if isinstance(source, TextInput) else source.encoder
        return {
            "index_key": str(self.spec),
            "metric": self.metric,
            "seed": self.seed,
            "train_rows": self.train_rows,
            "store_texts": self.store_texts,
            "source": source.identity,
            "encoder": encoder,
        }


def plan_for(
    request: Request,
    source: VectorInput | TextInput,
    facts: CorpusFacts | None = None,
    sizes: Mapping[str, int] | None = None,
) -> BuildPlan:
    """The plan of a build.

    facts: of the corpus if it has been read already, else it is read for them. sizes: train_rows and
    block_rows of an interrupted build, which must be kept so that its bits are continued.
    """
    if isinstance(source, VectorInput):
        shape = vector_shape(request.spec, request.metric, source.vectors)
    else:
        # Timing the encoder takes a second or more: for a plan that is shown, not for a build that has begun.
        timed = facts is None
        facts = scan_documents(source.documents()) if facts is None else facts
        shape = text_shape(
            request.spec, request.metric, facts, source.encoder, request.store_texts, timed=timed
        )
    train_rows, block_rows = request.train_rows, None
    if sizes is not None:
        train_rows, block_rows = sizes["train_rows"], sizes["block_rows"]
    return make_plan(shape, max_memory=request.max_memory, train_rows=train_rows, block_rows=block_rows)


class Builder:
    """Runs the stages of one build in a work folder and publishes the index at `output`."""

    def __init__(
        self,
        request: Request,
        source: VectorInput | TextInput,
        work: WorkFolder,
        output: Path,
        progress: Progress,
    ) -> None:
        self.request, self.source, self.work, self.output = request, source, work, output
        self.progress = progress
        self.resumed: list[str] = []
        self.ran: list[dict[str, Any]] = []

    def run(self, *, replace: bool, config: Mapping[str, Any]) -> BuildPlan:
        """All stages; the index stands at the output when this returns."""
        source = self.source
        store: DocumentStore | None = None
        with ExitStack() as stack:
            if isinstance(source, TextInput):
                store_path = self.work.path / FILE_NAME
                facts = self._read_documents(source, store_path)
                plan = self._settle(facts)
                store = stack.enter_context(DocumentStore(store_path))
                vectors = self._encode(source, store, facts.n)
            else:
                vectors = source.vectors
                plan = self._settle(None)
                self._check_vectors(vectors, plan.block_rows)
            index = self._train(vectors, plan)
            encoder = source.encoder.info if isinstance(source, TextInput) else source.encoder
            index.encoder = encoder
            self._write(index, vectors, store, plan, replace, config)
        return plan

    # ---- stages ----

    def _read_documents(self, source: TextInput, target: Path) -> CorpusFacts:
        """Spool the corpus. An iterable is read again and compared, a file is known by its identity."""
        known = self.work.facts("read")
        if known is not None and target.is_file() and "bytes" in source.identity:
            self._skip("read", known["n"])
            return CorpusFacts(**{**known, "sample": tuple(known["sample"])})
        with self._stage("read"):
            facts = write_documents(target, self._counted(source.documents()))
        if known is not None and known["digest"] != facts.digest:
            self.work.forget_from("plan", ("plan", *STAGES))
        self.work.finish("read", **facts.__dict__)
        self.progress("read", facts.n, facts.n)
        return facts

    def _counted(self, documents: Iterator[Any]) -> Iterator[Any]:
        for count, document in enumerate(documents):
            if count % 1000 == 0:
                self.progress("read", count, count + 1)
            yield document

    def _check_vectors(self, vectors: Any, block_rows: int) -> None:
        if self.work.facts("read") is not None:
            self._skip("read", vectors.n)
            return
        with self._stage("read"):
            largest = largest_value(self.request.spec, self.request.metric, vectors.dim)
            check_vectors(vectors, block_rows, self._tick("read"), largest=largest)
        self.work.finish("read")

    def _encode(self, source: TextInput, store: DocumentStore, n: int) -> Any:
        """Vectors of the texts. The cache knows what it holds; a file of our own is known by the record."""
        own_file = self.work.path / "vectors.npy"
        if self.work.facts("encode") is not None and own_file.is_file():
            self._skip("encode", n)
            return open_embeddings(own_file)
        with self._stage("encode"):
            vectors = encode_documents(
                store, n, source.encoder, own_file, cache=self.request.cache, tick=self._tick("encode")
            )
        self.work.finish("encode")
        return vectors

    def _settle(self, facts: CorpusFacts | None) -> BuildPlan:
        """Make the plan, and refuse it here if it does not fit."""
        known = self.work.facts("plan")
        plan = plan_for(self.request, self.source, facts, known)
        plan.check()
        plan.check_disk(self.output)
        if known is None:
            self.work.finish("plan", train_rows=plan.train_rows, block_rows=plan.block_rows)
        return plan

    def _train(self, vectors: Any, plan: BuildPlan) -> Any:
        from cluscomp.indexes.factory import index_factory
        from cluscomp.indexes.index import open_index

        trained = self.work.path / "trained"
        if self.work.facts("train") is not None:
            self.resumed.append("train")
            return open_index(trained)
        index = index_factory(plan.index_key, vectors.dim, plan.metric, seed=self.request.seed)
        if plan.train_rows:
            sample = self._sample(vectors, plan.train_rows)
            with self._stage("train"):
                index.train(
                    sample, progress=lambda part, done, total: self.progress(f"train {part}", done, total)
                )
            del sample
        index.save(trained, if_exists="replace")
        self.work.finish("train")
        if plan.train_rows:
            self.progress("train", plan.train_rows, plan.train_rows)
        # Read back even now, so that an interrupted build and one that ran through go on from the same bits.
        return open_index(trained)

    def _sample(self, vectors: Any, rows: int) -> Any:
        target = self.work.path / "sample.npy"
        if self.work.facts("sample") is not None:
            self._skip("sample", rows)
        else:
            with self._stage("sample"):
                write_sample(vectors, rows, self.request.seed, target)
            self.work.finish("sample")
            self.progress("sample", rows, rows)
        source = open_embeddings(target)
        return source.read(0, source.n)

    def _write(
        self, index: Any, vectors: Any, store: DocumentStore | None, plan: BuildPlan, replace: bool,
        config: Mapping[str, Any],
    ) -> None:  # fmt: skip
        from cluscomp.indexes.build.writer import IndexWriter

        extra = self._extra_files(store, plan, config)
        if_exists = "replace" if replace else "fail"
        with IndexWriter(
            index, self.output, if_exists=if_exists, n_rows=vectors.n, max_block_bytes=plan.group_bytes
        ) as writer:
            with self._stage("add"):
                for block, ids in blocks_with_ids(vectors, store, plan.block_rows):
                    writer.add(block, ids)
                    self.progress("add", writer.rows_written, vectors.n)
            self.progress("write", 0, vectors.n)
            writer.finish(extra_files=extra)
            self.progress("write", vectors.n, vectors.n)

    # ---- bookkeeping ----

    def _extra_files(
        self, store: DocumentStore | None, plan: BuildPlan, config: Mapping[str, Any]
    ) -> LateFiles:
        """Settings and report of the build, and the texts where they are kept."""
        settings = {"settings": self.request.identity(self.source), "config": dict(config)}
        extra = LateFiles(
            {SETTINGS_NAME: lambda: to_bytes(settings), REPORT_NAME: lambda: to_bytes(self.report(plan))}
        )
        if store is not None and self.request.store_texts:
            extra.files[FILE_NAME] = lambda: self.work.path / FILE_NAME
        return extra

    def report(self, plan: BuildPlan) -> dict[str, Any]:
        """Plan and measurements so far, as JSON values."""
        return {
            "planned_peak": plan.peak_memory,
            "measured_peak": peak_bytes(),
            "seconds": sum(stage["seconds"] for stage in self.ran),
            "plan": plan.to_json(),
            "stages": self.ran,
            "resumed": self.resumed,
        }

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.ran.append({"name": name, "seconds": time.monotonic() - start, "peak_memory": peak_bytes()})

    def _skip(self, name: str, rows: int) -> None:
        self.resumed.append(name)
        self.progress(name, rows, rows)

    def _tick(self, stage: str) -> Callable[[int, int], None]:
        return lambda done, total: self.progress(stage, done, total)


class LateFiles(Mapping[str, Any]):
    """Files made when they are asked for, since the report knows the peak only at the very end."""

    def __init__(self, files: dict[str, Callable[[], Any]]) -> None:
        self.files = files

    def __getitem__(self, name: str) -> Any:
        return self.files[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


def to_bytes(value: Any) -> bytes:
    """JSON text with a line end."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode("utf-8")
