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
    attributes: filters.Attributes = None,
    attributes_from: filters.AttributesFrom = None,
    attributes_new: filters.AttributesNew = False,
    encoder: common.SameEncoder = None,
    wait: common.Wait = "5s",
    dry_run: common.DryRun = False,
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Add documents or vectors to an index: all of them as one segment, or none if an id is there already.

    Texts are encoded by the encoder of the index; titles and texts are stored where the index stores some.
    The new rows are held in memory. Readers meet the old state or the new one. No other command changes the
    index meanwhile: it waits, or ends with exit code 5.

    Examples:
    cluscomp add my.index --corpus more.jsonl

    cluscomp add my.index --embeddings x.npy --ids ids.txt --attributes facts.parquet

    """
    common.set_threads(threads)
    described = rows.Described(attributes, attributes_from, attributes_new)
    files = rows.RowFiles(corpus, embeddings, ids, lengths, described)
    with StageProgress(quiet=quiet) as progress, rows.changing(index, wait, dry_run=dry_run) as opened:
        files.check(opened)
        before = len(opened)
        new = files.read(opened, encoder, progress)
        opened.add(new.rows, new.ids, **new.options, progress=progress)
    facts = {"index": str(index), "written": not dry_run, "added": len(opened) - before, "rows": len(opened)}
    if as_json:
        output.result_json(facts | {"segments": len(opened.segments), "generation": opened.generation})
    elif not quiet:
        verb = "would be added" if dry_run else "added"
        output.note(f"{index}: {facts['added']} {verb}, {facts['rows']} rows")
