"""`cluscomp eval`: quality, size and speed of an index on a judged collection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from cluscomp import errors, files
from cluscomp.cli import beside as compared
from cluscomp.cli import blocks, both_forms, common, filters, late, output
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.fused import Depth, Fused, FusionFlags, Method, Normalise, Weight
from cluscomp.cli.paths import STDOUT
from cluscomp.cli.progress import StageProgress
from cluscomp.cli.queries import QuerySet, check_k, encode_queries, search_options

if TYPE_CHECKING:
    from cluscomp.eval.paired import Comparison
    from cluscomp.eval.qrels import Qrels
    from cluscomp.eval.retrieval import EvalReport, SearchableIndex
    from cluscomp.indexes.any_index import AnyIndex

DEFAULT_DEPTH = 100


@exits_by_contract
def evaluate(
    index: common.IndexFolder,
    dataset: Annotated[
        Path | None,
        flag("--dataset", help="Folder in the layout of BEIR or MS MARCO, or a hub id (BeIR/scifact)."),
    ] = None,
    split: Annotated[
        str, flag("--split", help="Which judgements: qrels/SPLIT.tsv; of MS MARCO dev.small.")
    ] = "test",
    query_embeddings: Annotated[
        Path | None, flag("--query-embeddings", help="Query vectors, so that no encoder is needed.")
    ] = None,
    query_ids: Annotated[
        Path | None, flag("--query-ids", help="Ids of --query-embeddings, one a line.")
    ] = None,
    output_file: Annotated[
        Path | None,
        flag(
            "--output",
            "-o",
            help="TREC run file to write as well; - for stdout.",
            env=False,
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        flag("--baseline", help="TREC run to compare with, such as the --output of an uncompressed index."),
    ] = None,
    margin: Annotated[
        float, flag("--margin", help="Loss against --baseline that is acceptable; 0.01 is one point.", min=0)
    ] = 0.01,
    fuse: Annotated[
        Path | None,
        flag("--fuse", help="TREC run to fuse the index's with, such as one of BM25.", env=False),
    ] = None,
    fuse_weight: Weight = None,
    fuse_depth: Depth = None,
    fuse_method: Method = None,
    fuse_normalise: Normalise = None,
    beside: compared.Beside = None,
    k: Annotated[int | None, flag("-k", "--k", help="Hits a query. (default: 100)", env=False, min=1)] = None,
    k_beyond: common.KBeyond = "fail",
    nprobe: common.Nprobe = None,
    filter_: filters.Filter = None,
    tenant: filters.Tenant = None,
    all_tenants: filters.AllTenants = False,
    max_nprobe: filters.MaxNprobe = None,
    refine_factor: common.RefineFactor = None,
    query_cut: blocks.QueryCut = None,
    heap_factor: blocks.HeapFactor = None,
    encoder: common.SameEncoder = None,
    query_terms: both_forms.QueryTerms = None,
    query_lengths: late.QueryLengths = None,
    candidates: late.Candidates = None,
    candidates_by: late.CandidatesFrom = None,
    softmax: late.Softmax = None,
    keep: late.Keep = None,
    salience: late.Salience = None,
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Score an index: nDCG@10, Recall@100, MRR@10, bytes per document, latency.

    Averages run over all judged queries of the split, answered or not. Latency is that of single searches
    without encoding; queries per second that of one search with all queries. --baseline adds paired
    randomisation tests: whether the two differ, and whether the index loses less than --margin (95%).
    --fuse adds the figures of another run and of both together (cluscomp fuse); --output and --baseline then
    mean the fused run. Of a hybrid index each side is shown by itself as well. --beside adds the figures of
    other indexes of the same documents, each searched as it is set, in one table. With --output - the run
    goes to stdout, and the figures to stderr.

    Examples:
    cluscomp eval scifact.index --dataset scifact --split test

    cluscomp eval both.index --beside words.index --beside late.index --dataset scifact

    """
    from cluscomp.eval.beir import split_file
    from cluscomp.eval.coverage import report_missing_documents
    from cluscomp.eval.hub import dataset_folder
    from cluscomp.eval.paired import compare_runs
    from cluscomp.eval.qrels import read_qrels
    from cluscomp.eval.runs import read_run, write_run
    from cluscomp.indexes.index import open_index
    from cluscomp.indexes.kind import kind_of

    if output_file == STDOUT and as_json:
        raise errors.UsageError("--output - and --json both write to standard output; choose one of them")
    if beside and query_embeddings is not None:
        raise errors.UsageError(
            "--query-embeddings are vectors for one index, and --beside names others, each of which encodes "
            "the queries itself; leave one of them out"
        )
    if dataset is None:
        raise errors.UsageError("--dataset is missing; name a folder in the layout of BEIR or MS MARCO")
    files = late.QueryFiles(query_embeddings, query_ids, query_lengths, keep, salience, query_terms)
    common.set_threads(threads)
    opened = open_index(index)
    files.check(opened)
    check_k(k, DEFAULT_DEPTH, len(opened), k_beyond)
    dataset = dataset_folder(dataset)
    qrels = read_qrels(split_file(dataset, split))
    reference = None if baseline is None else read_run(baseline)
    other = None if fuse is None else read_run(fuse)
    flags = FusionFlags(fuse_weight, fuse_depth, fuse_method, fuse_normalise)
    depth = DEFAULT_DEPTH if k is None else k
    options = {
        **search_options(opened, nprobe, refine_factor),
        **blocks.block_options(opened, query_cut, heap_factor),
        **late.late_options(opened, candidates, candidates_by, softmax),
        **filters.filter_options(opened, filter_, tenant, all_tenants, max_nprobe),
        **({} if other is not None else flags.of_index(opened)),
    }
    with StageProgress(quiet=quiet) as progress:
        queries = _judged(opened, dataset, split, qrels, files, encoder, progress)
        report = score(opened, queries, qrels, depth, options)
    report_missing_documents(opened, qrels)
    fused = None
    if other is not None:
        fused = Fused.of(report, other, qrels, flags)
    elif kind_of(opened.spec).both:
        fused = Fused.sides(report, opened, queries.vectors, queries.ids, qrels, depth, options)  # type: ignore[arg-type]
    run = report.run if fused is None else fused.run
    if output_file == STDOUT:
        output.result_run(run)
    elif output_file is not None:
        write_run(run, output_file)
    others = [compared.Figures.of(index, opened, report)] if beside else []
    for folder in beside or ():
        others.append(_beside(folder, dataset, split, qrels, depth, files, quiet))
    comparisons: list[Comparison] = []
    if reference is not None:
        comparisons = [compare_runs(run, reference, qrels, m, margin=margin) for m in report.metrics]
    if keep is not None:
        options["keep"] = keep
    _show(report, fused, opened, index, options, comparisons, others, as_json, err=output_file == STDOUT)


def _beside(
    folder: Path, dataset: Path, split: str, qrels: Qrels, depth: int, files: late.QueryFiles, quiet: bool
) -> compared.Figures:
    """Figures of another index, whose own encoder makes its queries."""
    from cluscomp.indexes.index import open_index

    opened = open_index(folder)
    with StageProgress(quiet=quiet) as progress:
        queries = _judged(opened, dataset, split, qrels, files, None, progress)
        return compared.Figures.of(folder, opened, score(opened, queries, qrels, depth, {}))


def score(
    index: AnyIndex, queries: QuerySet, qrels: Qrels, depth: int, options: dict[str, Any]
) -> EvalReport:
    """Evaluate with the cutoffs of the table, as far as `depth` hits reach."""
    from cluscomp.eval.retrieval import evaluate_index

    metrics = (f"ndcg@{min(10, depth)}", f"recall@{min(100, depth)}", f"mrr@{min(10, depth)}")
    # Index.search names the keyword arguments that the protocol leaves open.
    return evaluate_index(
        cast("SearchableIndex", index),
        queries.vectors,
        queries.ids,
        qrels,
        lengths=queries.lengths,
        k=depth,
        metrics=metrics,
        search_kwargs=options,
    )


def _judged(
    index: AnyIndex, dataset: Path, split: str, qrels: Qrels, files: late.QueryFiles, encoder: str | None,
    progress: StageProgress,
) -> QuerySet:  # fmt: skip
    """Vectors of the judged queries; of a hybrid index their terms, too."""
    from cluscomp.eval.coverage import report_missing_queries
    from cluscomp.indexes.kind import kind_of
    from cluscomp.inputs.queries import iter_queries

    if files.embeddings is not None:
        found = files.read(index)
        if files.terms is not None:
            found = both_forms.with_terms(found, files.terms, named=files.ids is not None)
        judged = _with_judgements(found, qrels, files.embeddings)
        if files.terms is not None or not kind_of(index.spec).both:
            return judged
        known = {query.id: query.text for query in iter_queries(dataset, split)}
        return both_forms.with_texts_by_id(index, judged, known)
    texts = {query.id: query.text for query in iter_queries(dataset, split) if query.id in qrels}
    report_missing_queries([q for q in qrels if q not in texts], len(qrels), f"the queries of {dataset}")
    return encode_queries(index, list(texts), list(texts.values()), encoder, progress)


def _with_judgements(queries: QuerySet, qrels: Qrels, source: Path) -> QuerySet:
    from cluscomp.eval.coverage import report_missing_queries

    kept = [row for row, name in enumerate(queries.ids) if name in qrels]
    known = set(queries.ids)
    report_missing_queries([name for name in qrels if name not in known], len(qrels), str(source))
    return queries.select(kept)


def _show(
    report: EvalReport, fused: Fused | None, index: AnyIndex, folder: Path, options: dict[str, Any],
    comparisons: list[Comparison], others: list[compared.Figures], as_json: bool, *, err: bool,
) -> None:  # fmt: skip
    total = files.folder_bytes(folder)
    facts = {
        "index": str(folder),
        "key": str(index.key),
        "metrics": report.metrics,
        "n_docs": report.n_docs,
        "n_queries": report.n_queries,
        "k": report.k,
        "code_bytes_per_document": report.code_bytes_per_document,
        "folder_bytes": total,
        "bytes_per_document": total / report.n_docs,
        "latency_p50_ms": report.latency_p50_ms,
        "latency_p95_ms": report.latency_p95_ms,
        "queries_per_second": report.queries_per_second,
        "missing_hits": report.n_missing,
        "comparisons": [comparison.to_json() for comparison in comparisons],
        **options,
        **({} if fused is None else {"fused": fused.to_json()}),
        **({"indexes": [one.to_json() for one in others]} if others else {}),
    }
    if as_json:
        output.result_json(facts)
        return
    shown = {"key": facts["key"], **{f"{key}": value for key, value in options.items()}}
    rows = [(name, str(value)) for name, value in shown.items()]
    rows += [(label(name), f"{value:.4f}") for name, value in report.metrics.items()]
    rows += [
        ("documents", str(report.n_docs)),
        ("queries", str(report.n_queries)),
        ("code bytes / document", f"{report.code_bytes_per_document:g}"),
        ("bytes / document", f"{total / report.n_docs:.1f}"),
        ("index size", output.size_text(total)),
        ("latency p50", f"{report.latency_p50_ms:.2f} ms"),
        ("latency p95", f"{report.latency_p95_ms:.2f} ms"),
        ("queries / s", f"{report.queries_per_second:.0f}"),
    ]
    output.result_table(["", str(folder)], rows, err=err)
    if fused is not None:
        columns, figures = fused.table()
        output.result_table(["", *map(label, columns), *fused.cost_columns], figures, err=err)
    if others:
        compared.show(others, label, err=err)
    _show_comparisons(comparisons, err=err)


def _show_comparisons(comparisons: list[Comparison], *, err: bool) -> None:
    """Differences to the baseline, with what the tests say of them."""
    if not comparisons:
        return
    rows = [
        (
            label(c.metric),
            f"{c.baseline_mean:.4f}",
            f"{c.difference:+.4f}",
            f"{c.wins} / {c.ties} / {c.losses}",
            f"{c.p_value:.3g}",
            f"{c.lower_bound:+.4f}",
            "yes" if c.non_inferior else "not shown",
        )
        for c in comparisons
    ]
    first = comparisons[0]
    loses = f"loses < {first.margin:g} ({first.confidence:.0%})"
    output.result_table(
        ["", "baseline", "difference", "better / same / worse", "p", "at least", loses], rows, err=err
    )


def label(metric: str) -> str:
    """A metric as papers write it: nDCG@10, Recall@100, MRR@10."""
    name, _, cutoff = metric.partition("@")
    return {"ndcg": "nDCG", "recall": "Recall", "mrr": "MRR"}[name] + f"@{cutoff}"
