"""`cluscomp upsert`: rows that are added, or take the place of those with their ids."""

from __future__ import annotations

from pathlib import Path

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
    """Add documents or vectors to an index, in the place of those that have their ids.

    As `cluscomp add` otherwise: all or none, one segment, one replacement of the folder. Replaced rows take
    room until `cluscomp compact`. Where --embeddings come without ids, --ids is needed.

    Examples:
    cluscomp upsert my.index --corpus changed.jsonl

    cluscomp upsert my.index --embeddings x.npy --ids ids.txt --attributes facts.parquet

    """
    common.set_threads(threads)
    described = rows.Described(attributes, attributes_from, attributes_new)
    opened, files = rows.open_for(index, rows.RowFiles(corpus, embeddings, ids, lengths, described))
    with StageProgress(quiet=quiet) as progress:
        new = files.read(opened, encoder, progress)
        replaced = opened.upsert(new.rows, rows.given_ids(new), **new.options, progress=progress)
    opened.save(index)
    _show(index, len(new.ids) - replaced, replaced, len(opened), quiet, as_json)


def _show(folder: Path, added: int, replaced: int, n: int, quiet: bool, as_json: bool) -> None:
    if as_json:
        output.result_json({"index": str(folder), "added": added, "replaced": replaced, "rows": n})
    elif not quiet:
        output.note(f"{folder}: {added} added, {replaced} replaced, {n} rows")
