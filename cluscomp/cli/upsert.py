"""`cluscomp upsert`: rows that are added, or take the place of those with their ids."""

from __future__ import annotations

from typing import Any

from cluscomp.cli import common, filters, output, rows
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.progress import StageProgress


@exits_by_contract
def upsert(
    index: common.IndexFolder,
    corpus: rows.Corpus = None,
    embeddings: rows.Embeddings = None,
    ids: rows.Ids = None,
    lengths: rows.Lengths = None,
    terms: rows.Terms = None,
    attributes: filters.Attributes = None,
    attributes_from: filters.AttributesFrom = None,
    attributes_new: filters.AttributesNew = False,
    encoder: common.SameEncoder = None,
    wait: common.Wait = "5s",
    dry_run: common.DryRun = False,
    threads: common.Threads = None,
    max_memory: common.MaxMemory = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Add documents or vectors to an index, in the place of those that have their ids.

    As `cluscomp add` otherwise: all or none, one segment, one commit. Replaced rows take
    room until `cluscomp compact`. Where --embeddings come without ids, --ids is needed.

    Examples:
    cluscomp upsert my.index --corpus changed.jsonl

    cluscomp upsert my.index --embeddings x.npy --ids ids.txt --attributes facts.parquet

    """
    common.set_threads(threads)
    described = rows.Described(attributes, attributes_from, attributes_new)
    files = rows.RowFiles(corpus, embeddings, ids, lengths, described, terms)
    with StageProgress(quiet=quiet) as progress:
        opened, report = files.append(
            index,
            encoder,
            replace_ids=True,
            max_memory=max_memory,
            wait=common.seconds("--wait", wait),
            dry_run=dry_run,
            progress=progress,
        )
    facts: dict[str, Any] = {
        "index": str(index),
        "written": report.written,
        "added": report.added,
        "replaced": report.replaced,
        "rows": report.rows,
    }
    if as_json:
        output.result_json(facts | {"generation": opened.generation})
    elif not quiet:
        verb = "would be " if dry_run else ""
        output.note(
            f"{index}: {report.added} {verb}added, {report.replaced} {verb}replaced, {report.rows} rows"
        )
