"""`cluscomp tune`: the index key and search parameters that are best under limits, and the index itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cluscomp import errors
from cluscomp.cli import common, output
from cluscomp.cli.build_flags import INPUT
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.progress import StageProgress
from cluscomp.progress import as_stage
from cluscomp.vocabulary import MetricName, Prefer

if TYPE_CHECKING:
    import numpy as np

    from cluscomp.eval.tune import TunePoint, TuneResult

LIMITS, QUERIES = "Limits", "Queries"


@exits_by_contract
def tune(
    corpus: Annotated[
        Path | None,
        flag("--corpus", help="Texts: a BEIR folder, a hub id, or a file as in build-index.", panel=INPUT),
    ] = None,
    encoder: Annotated[
        str | None, flag("--encoder", help="Model for --corpus and for texts of queries.", panel=INPUT)
    ] = None,
    bf16: Annotated[
        bool, flag("--bf16/--no-bf16", help="Encode in bfloat16, as in build-index.", env=False, panel=INPUT)
    ] = False,
    embeddings: Annotated[
        Path | None, flag("--embeddings", help="Vectors instead of texts, as in build-index.", panel=INPUT)
    ] = None,
    ids: Annotated[Path | None, flag("--ids", help="Ids of --embeddings, one a line.", panel=INPUT)] = None,
    metric: Annotated[MetricName, flag("--metric", help="Similarity to search by.", panel=INPUT)] = "ip",
    dataset: Annotated[
        Path | None,
        flag("--dataset", help="Judged queries: folder of BEIR or MS MARCO, or hub id.", panel=QUERIES),
    ] = None,
    split: Annotated[str, flag("--split", help="Which judgements of --dataset.", panel=QUERIES)] = "test",
    query_embeddings: Annotated[
        Path | None, flag("--query-embeddings", help="Vectors of queries.", panel=QUERIES)
    ] = None,
    query_ids: Annotated[
        Path | None, flag("--query-ids", help="Ids of --query-embeddings, one a line.", panel=QUERIES)
    ] = None,
    max_bytes: Annotated[
        float | None,
        flag("--max-bytes", help="Bytes a document: all files of the index, ids counted.", panel=LIMITS),
    ] = None,
    max_ms: Annotated[
        float | None, flag("--max-ms", help="Median milliseconds of one query, here.", panel=LIMITS)
    ] = None,
    min_recall: Annotated[
        float | None, flag("--min-recall", help="Recall of the 10 exact neighbours.", panel=LIMITS)
    ] = None,
    min_ndcg: Annotated[float | None, flag("--min-ndcg", help="nDCG@10 on --dataset.", panel=LIMITS)] = None,
    prefer: Annotated[
        Prefer | None,
        flag(
            "--prefer",
            help="Which measure to optimise among points within the limits. "
            "(default: bytes where a floor is given, else quality)",
            panel=LIMITS,
        ),
    ] = None,
    keys: Annotated[
        list[str] | None,
        flag(
            "--key", help="Key to try; may be repeated. (default: those that suit the collection)", env=False
        ),
    ] = None,
    max_documents: Annotated[
        int, flag("--max-documents", help="Without --dataset, tune on a sample of so many.", min=100)
    ] = 100_000,
    results: Annotated[
        Path | None, flag("--results", help="Folder that keeps the rows, so that a run can go on.", env=False)
    ] = None,
    output_folder: Annotated[
        Path | None, flag("--output", "-o", help="Build the chosen index here.", env=False)
    ] = None,
    seed: common.Seed = 0,
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Choose index key and search parameters under limits, by measuring, and build the index.

    Without --dataset and --query-embeddings, quality is measured on documents that are held out, by their
    exact neighbours. Prints the Pareto set (bytes, time, quality) and the chosen point. When no point keeps
    all limits, the nearest is named and the exit code is 3.

    Example: cluscomp tune --corpus scifact --encoder minilm --dataset scifact --max-bytes 100 --max-ms 1
    --output scifact.index
    """
    from cluscomp.eval.tune import tune as tuned

    _check(corpus, encoder, bf16, embeddings, dataset, query_embeddings, min_ndcg, output_folder)
    common.set_threads(threads)
    with StageProgress(quiet=quiet) as progress:
        given = _inputs(
            corpus, encoder, bf16, embeddings, ids, dataset, split, query_embeddings, query_ids, progress
        )
        result = tuned(
            given.documents,
            ids=given.ids,
            queries=given.queries,
            query_ids=given.query_ids,
            qrels=given.qrels,
            metric=metric,
            max_bytes=max_bytes,
            max_ms=max_ms,
            min_recall=min_recall,
            min_ndcg=min_ndcg,
            prefer=prefer,
            keys=keys,
            max_documents=max_documents,
            seed=seed,
            results=results,
            progress=progress,
        )
        built = None
        if output_folder is not None:
            built = build_chosen(result.chosen, given, output_folder, metric, seed, progress)
    _show(result, built, as_json)


class Inputs:
    """Documents, queries and judgements of a call. encoder: that made them, or None."""

    def __init__(self, documents: np.ndarray, ids: Any, encoder: Any = None) -> None:
        self.documents, self.ids, self.encoder = documents, ids, encoder
        self.queries: Any = None
        self.query_ids: Any = None
        self.qrels: Any = None


def _check(
    corpus: Path | None, encoder: str | None, bf16: bool, embeddings: Path | None, dataset: Path | None,
    query_embeddings: Path | None, min_ndcg: float | None, target: Path | None,
) -> None:  # fmt: skip
    from cluscomp.indexes.storage.places import place_of

    common.check_documents(corpus, embeddings, encoder, bf16)
    if dataset is not None and query_embeddings is None and encoder is None:
        raise errors.UsageError("--dataset has texts of queries; give --query-embeddings, or the --encoder")
    if min_ndcg is not None and dataset is None:
        raise errors.UsageError("--min-ndcg needs judgements: give --dataset, or --min-recall instead")
    if target is not None:
        place_of(target).check_target("fail")


def _inputs(
    corpus: Path | None, encoder: str | None, bf16: bool, embeddings: Path | None, ids: Path | None,
    dataset: Path | None, split: str, query_embeddings: Path | None, query_ids: Path | None,
    progress: StageProgress,
) -> Inputs:  # fmt: skip
    from cluscomp.encoders import load_encoder
    from cluscomp.eval.beir import split_file
    from cluscomp.eval.hub import dataset_folder
    from cluscomp.eval.qrels import read_qrels
    from cluscomp.inputs.embeddings import open_embeddings

    folder = None if dataset is None else dataset_folder(dataset)
    qrels = None if folder is None else read_qrels(split_file(folder, split))
    model = None if encoder is None else load_encoder(encoder, bf16=bf16)
    if embeddings is not None:
        source = open_embeddings(embeddings, ids)
        given = Inputs(source.read(0, source.n), source.ids, model)
    else:
        given = _encoded_corpus(dataset_folder(corpus), model, progress)  # type: ignore[arg-type]
    given.qrels = qrels
    if query_embeddings is not None:
        found = open_embeddings(query_embeddings, query_ids)
        given.queries = found.read(0, found.n)
        given.query_ids = [str(name) for name in (range(found.n) if found.ids is None else found.ids)]
    elif folder is not None:
        _encode_queries(given, folder, split, progress)
    if qrels is not None and given.ids is None:
        raise errors.UsageError("--dataset names documents by their ids; give --ids with --embeddings")
    return given


def _encoded_corpus(corpus: Path, model: Any, progress: StageProgress) -> Inputs:
    from cluscomp.encoders import encode_cached
    from cluscomp.inputs.corpus import iter_corpus

    documents = [(document.id, document.content) for document in iter_corpus(corpus, empty_documents="keep")]
    vectors = encode_cached(
        model,
        [text for _, text in documents],
        side="document",
        progress=progress,
    )
    return Inputs(vectors, [name for name, _ in documents], model)


def _encode_queries(given: Inputs, folder: Path, split: str, progress: StageProgress) -> None:
    from cluscomp.encoders import encode_cached
    from cluscomp.inputs.queries import iter_queries

    texts = {query.id: query.text for query in iter_queries(folder, split) if query.id in given.qrels}
    given.query_ids = list(texts)
    given.queries = encode_cached(
        given.encoder,
        list(texts.values()),
        side="query",
        progress=as_stage(progress, "queries"),
    )


def build_chosen(
    chosen: TunePoint, given: Inputs, target: Path, metric: str, seed: int, progress: StageProgress
) -> dict[str, Any]:
    """Build the index of a point at `target`, with its search parameters as defaults."""
    from cluscomp.indexes.build import build_index
    from cluscomp.indexes.index import open_index

    build_index(
        given.documents,
        index_key=chosen.key,
        output=target,
        metric=metric,
        encoder=given.encoder,
        ids=given.ids,
        seed=seed,
        progress=progress,
    )
    index = open_index(target)
    for name, value in chosen.parameters.items():
        setattr(index, name, value)
    index.save(target, grace=0)  # it was built just now: nobody reads it yet
    n_bytes = index.nbytes()["total"]
    return {"output": str(target), "bytes": n_bytes, "bytes_per_document": n_bytes / len(index)}


def _show(result: TuneResult, built: dict[str, Any] | None, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        facts = {name: value for name, value in vars(result).items() if name not in ("points", "pareto")}
        facts |= {"limits": asdict(result.limits), "chosen": asdict(result.chosen), "built": built}
        facts |= {name: [asdict(p) for p in getattr(result, name)] for name in ("points", "pareto")}
        output.result_json(facts)
        return
    rows = [
        (
            "chosen" if point == result.chosen else "",
            point.key,
            str(point.nprobe or "-"),
            str(point.refine_factor or "-"),
            f"{point.bytes_per_document:.1f}",
            f"{point.ms:.3g}",
            f"{point.recall:.3f}",
            "-" if point.ndcg is None else f"{point.ndcg:.4f}",
            "no" if result.limits.misses(point) else "yes",
        )
        for point in result.pareto
    ]
    columns = [
        "",
        "key",
        "nprobe",
        "refine-factor",
        "bytes / document",
        "ms",
        "recall@10",
        "nDCG@10",
        "within",
    ]
    output.result_table(columns, rows)
    part = ", a sample: times grow with the documents" if result.sampled else ""
    output.result(
        f"measured {len(result.points)} points on {result.n_documents} documents and "
        f"{result.n_queries} queries{part}"
    )
    output.result(f"chosen: {result.chosen.text()}")
    if built is not None:
        output.result(f"built {built['output']}: {built['bytes_per_document']:.1f} bytes a document")
