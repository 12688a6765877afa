"""`cluscomp search`: one query to the terminal, or a file of queries to a TREC run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cluscomp import errors
from cluscomp.cli import blocks, both_forms, common, filters, fused, late, output
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.paths import STDOUT
from cluscomp.cli.progress import StageProgress
from cluscomp.cli.queries import (
    QuerySet,
    check_k,
    encode_queries,
    search_in_batches,
    search_options,
)

if TYPE_CHECKING:
    from cluscomp.indexes.any_index import AnyIndex

DEFAULT_HITS, DEFAULT_RUN_HITS = 10, 100
SNIPPET = 160


@exits_by_contract
def search(
    index: common.IndexFolder,
    query: Annotated[str | None, flag("--query", help="Text to search for.", env=False)] = None,
    queries: Annotated[
        Path | None, flag("--queries", help="Many queries: a BEIR folder, or .jsonl, .tsv, .txt (id, text).")
    ] = None,
    query_embeddings: Annotated[
        Path | None, flag("--query-embeddings", help="Query vectors instead of texts: .npy, .npz, .fvecs ...")
    ] = None,
    query_ids: Annotated[
        Path | None, flag("--query-ids", help="Ids of --query-embeddings, one a line. (default: 0, 1, ...)")
    ] = None,
    output_file: Annotated[
        Path | None,
        flag("--output", "-o", help="TREC run file to write; - is standard output. (default: -)", env=False),
    ] = None,
    k: Annotated[
        int | None,
        flag("-k", "--k", help="Hits a query. (default: 10 for --query, 100 for a run)", env=False, min=1),
    ] = None,
    fuse_weight: fused.Weight = None,
    fuse_depth: fused.Depth = None,
    fuse_method: fused.Method = None,
    fuse_normalise: fused.Normalise = None,
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
    """Search an index.

    One --query prints a line a hit: rank, score, id, and title and snippet if the index stores texts,
    separated by tabs. --queries and --query-embeddings make a TREC run. A hybrid index is searched by vectors
    and words together: the best documents of either are scored by both, and scores from 0 to 1 are the
    weighted mean of both; where its vectors came ready, --query-embeddings stand beside --queries or
    --query-terms.

    Examples:
    cluscomp search scifact.index --query "Do statins lower mortality?" -k 5

    cluscomp search scifact.index --queries scifact --output run.trec

    cluscomp search scifact.index --query "statins" --filter "year >= 2015 and not tags contains 'retracted'"

    """
    from cluscomp.indexes.index import open_index

    files = late.QueryFiles(query_embeddings, query_ids, query_lengths, keep, salience, query_terms)
    _check_flags(query, queries, files)
    common.set_threads(threads)
    opened = open_index(index)
    files.check(opened)
    options = {
        **search_options(opened, nprobe, refine_factor),
        **blocks.block_options(opened, query_cut, heap_factor),
        **late.late_options(opened, candidates, candidates_by, softmax),
        **filters.filter_options(opened, filter_, tenant, all_tenants, max_nprobe),
        **fused.FusionFlags(fuse_weight, fuse_depth, fuse_method, fuse_normalise).of_index(opened),
    }
    with StageProgress(quiet=quiet) as progress:
        if query is not None:
            found = encode_queries(opened, ["query"], [_text(query)], encoder, None)
        else:
            found = _query_set(opened, queries, files, encoder, progress)
        if query is not None:
            hits = check_k(k, DEFAULT_HITS, len(opened), k_beyond)
            _show_hits(one_query(opened, index, found, hits, options), query, as_json)
            return
        hits = check_k(k, DEFAULT_RUN_HITS, len(opened), k_beyond)
        run = search_in_batches(opened, found, hits, options, progress)
    _give_run(run, output_file, as_json, quiet)


def _check_flags(query: str | None, queries: Path | None, files: late.QueryFiles) -> None:
    flags = {"--query": query, "--queries": queries, "--query-embeddings": files.embeddings}
    given = [name for name, value in flags.items() if value is not None]
    if len(given) != 1 and given != ["--queries", "--query-embeddings"]:
        what = " and ".join(given) + " are given" if given else "none is given"
        raise errors.UsageError(f"one of --query, --queries and --query-embeddings is needed; {what}")


def _text(query: str) -> str:
    if not query.strip():
        raise errors.UsageError("--query is empty; give the text to search for")
    return query


def _query_set(
    index: AnyIndex,
    queries: Path | None,
    files: late.QueryFiles,
    encoder: str | None,
    progress: StageProgress,
) -> QuerySet:
    from cluscomp.inputs.queries import iter_queries

    if files.embeddings is not None:
        return _beside_vectors(index, queries, files)
    texts = list(iter_queries(queries))  # type: ignore[arg-type]
    return encode_queries(index, [q.id for q in texts], [q.text for q in texts], encoder, progress)


def _beside_vectors(index: AnyIndex, queries: Path | None, files: late.QueryFiles) -> QuerySet:
    """Queries of --query-embeddings, of a hybrid index in both forms."""
    from cluscomp.indexes.kind import kind_of
    from cluscomp.inputs.queries import iter_queries

    if not kind_of(index.spec).both:
        if queries is not None:
            raise errors.UsageError(
                "--queries and --query-embeddings are both given, which hybrid indexes alone take together, "
                f"and {str(index.key)!r} is the key of none; leave one out"
            )
        return files.read(index)
    if (queries is None) == (files.terms is None):
        what = "neither is" if queries is None else "both are"
        raise errors.UsageError(
            "a hybrid index is searched by vectors and terms; beside --query-embeddings one of --queries "
            f"(texts) and --query-terms is needed, and {what} given"
        )
    named, vectors = files.ids is not None, files.read(index)
    if files.terms is not None:
        return both_forms.with_terms(vectors, files.terms, named=named)
    return both_forms.with_texts(index, vectors, list(iter_queries(queries)), named=named)  # type: ignore[arg-type]


def one_query(
    index: AnyIndex, folder: Path, query: QuerySet, k: int, options: dict[str, Any]
) -> list[dict[str, Any]]:
    """Hits of one query, with title and text where the index stores them."""
    vectors, belonging = query.part(0, 1)
    scores, ids = index.search(vectors, k, **belonging, **options)
    hits: list[dict[str, Any]] = [
        {"rank": rank, "score": float(score), "id": str(name)}
        for rank, (score, name) in enumerate(zip(scores[0].tolist(), list(ids[0]), strict=True), 1)
        if score != float("-inf")
    ]
    if index.has_texts:
        whose = {name: options[name] for name in ("tenant",) if name in options}
        records = index.get(list(ids[0])[: len(hits)], vectors=False, **whose)
        for hit, record in zip(hits, records, strict=True):
            hit["title"], hit["text"] = record.title or "", record.text or ""
    return hits


def _show_hits(hits: list[dict[str, Any]], query: str, as_json: bool) -> None:
    if as_json:
        output.result_json({"query": query, "hits": hits})
        return
    for hit in hits:
        cells = [str(hit["rank"]), f"{hit['score']:.6f}", hit["id"]]
        if "text" in hit:
            cells += [_one_line(hit["title"]), snippet(hit["text"])]
        output.result("\t".join(cells))


def snippet(text: str) -> str:
    """The first words of a text on one line."""
    line = _one_line(text)
    return line if len(line) <= SNIPPET else line[:SNIPPET].rsplit(" ", 1)[0] + " ..."


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _give_run(run: dict[str, dict[str, float]], file: Path | None, as_json: bool, quiet: bool) -> None:
    from cluscomp.eval.runs import write_run

    n_hits = sum(len(scores) for scores in run.values())
    if file is not None and file != STDOUT:
        write_run(run, file)
        if as_json:
            output.result_json({"output": str(file), "queries": len(run), "hits": n_hits})
        elif not quiet:
            output.note(f"{file}: {len(run)} queries, {n_hits} hits")
    elif as_json:
        output.result_json(run)
    else:
        output.result_run(run)
