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
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Add documents or vectors to an index: all of them as one segment, or none if an id is there already.

    Texts are encoded by the encoder of the index; titles and texts are not stored. The new rows are held in
    memory. The folder is replaced at once when all is written, unless somebody changed it meanwhile (exit
    code 2).

    Examples:
    cluscomp add my.index --corpus more.jsonl

    cluscomp add my.index --embeddings x.npy --ids ids.txt --attributes facts.parquet

    """
    common.set_threads(threads)
    described = rows.Described(attributes, attributes_from, attributes_new)
    opened, files = rows.open_for(index, rows.RowFiles(corpus, embeddings, ids, lengths, described))
    before = len(opened)
    with StageProgress(quiet=quiet) as progress:
        new = files.read(opened, encoder, progress)
        opened.add(new.rows, new.ids, **new.options, progress=progress)
    opened.save(index)
    facts = {"index": str(index), "added": len(opened) - before, "rows": len(opened)}
    if as_json:
        output.result_json(facts | {"segments": len(opened.segments)})
    elif not quiet:
        output.note(f"{index}: {facts['added']} added, {facts['rows']} rows")
