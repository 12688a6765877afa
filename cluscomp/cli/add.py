"""`cluscomp add`: more rows for an index, all of them or none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cluscomp.cli import common, output, rows
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.progress import StageProgress


@exits_by_contract
def add(
    index: common.IndexFolder,
    corpus: Annotated[
        Path | None,
        flag("--corpus", help="Texts: a BEIR folder, or a .jsonl, .tsv, .txt or .parquet file.", env=False),
    ] = None,
    embeddings: Annotated[
        Path | None,
        flag(
            "--embeddings", help="Vectors instead of texts: .npy, .npz, .fvecs, .fbin, .parquet.", env=False
        ),
    ] = None,
    ids: rows.Ids = None,
    lengths: Annotated[
        Path | None,
        flag("--lengths", help="For keys with a pool: .npy, token vectors of each document.", env=False),
    ] = None,
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

    cluscomp add my.index --embeddings x.npy --ids ids.txt

    """
    from cluscomp.indexes.index import open_index

    common.set_threads(threads)
    files = rows.RowFiles(corpus, embeddings, ids, lengths)
    opened = open_index(index)
    files.check(opened)
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
