"""`cluscomp add`: more rows for an index, all of them or none."""

from __future__ import annotations

from cluscomp.cli import common, filters, output, rows
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.progress import StageProgress


@exits_by_contract
def add(
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
    """Add documents or vectors to an index: all of them as one segment, or none if an id is there already.

    Texts are encoded by the encoder of the index; titles and texts are stored where the index stores some.
    Rows are read in blocks that --max-memory allows. Readers meet the old state or the new one. No other
    command changes the index meanwhile: it waits, or ends with exit code 5. Killed, the index is as it was;
    the same command goes on with the texts that were encoded.

    Examples:
    cluscomp add my.index --corpus more.jsonl

    cluscomp add my.index --embeddings x.npy --ids ids.txt --attributes facts.parquet

    """
    common.set_threads(threads)
    described = rows.Described(attributes, attributes_from, attributes_new)
    files = rows.RowFiles(corpus, embeddings, ids, lengths, described, terms)
    with StageProgress(quiet=quiet) as progress:
        opened, report = files.append(
            index,
            encoder,
            max_memory=max_memory,
            wait=common.seconds("--wait", wait),
            dry_run=dry_run,
            progress=progress,
        )
    facts = {"index": str(index), "written": report.written, "added": report.added, "rows": report.rows}
    if as_json:
        output.result_json(facts | {"segments": len(opened.segments), "generation": opened.generation})
    elif not quiet:
        verb = "would be added" if dry_run else "added"
        output.note(f"{index}: {facts['added']} {verb}, {report.rows} rows")
