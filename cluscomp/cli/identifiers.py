"""`cluscomp identifiers`: hierarchical identifiers of documents, and a prefix tree over them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cluscomp import errors
from cluscomp.cli import common, output, rows
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.paths import STDOUT
from cluscomp.cli.progress import StageProgress
from cluscomp.vocabulary import Balance

Paths = list[tuple[int, ...]]


@exits_by_contract
def identifiers(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="VECTORS", help="File of vectors; or INDEX, with --codes.", show_default=False
        ),
    ],
    output_file: Annotated[
        Path, flag("--output", "-o", help="File to write, one JSON object a line; - for stdout.", env=False)
    ],
    ids: rows.Ids = None,
    codes: Annotated[
        bool,
        flag("--codes", help="Take the list and the product codes of an index instead of a tree.", env=False),
    ] = False,
    branching: Annotated[int, flag("--branching", help="Most children of a node.", min=2)] = 30,
    leaf_size: Annotated[int, flag("--leaf-size", help="Most documents of a leaf.", min=1)] = 30,
    balance: Annotated[
        Balance, flag("--balance", help="How children share a node; none follows the data.")
    ] = "exact",
    prefix_tree: Annotated[
        Path | None,
        flag(
            "--prefix-tree",
            help="Write the tree of all beginnings, for constrained decoding: .npz.",
            env=False,
        ),
    ] = None,
    seed: common.Seed = 0,
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Name documents by their paths in a tree of clusters, such as [3, 17, 2], for generative retrieval.

    Documents with a common beginning are alike. No path is the beginning of another. The same vectors in the
    same order with the same --seed have the same paths; in another order they may have others.

    Example: cluscomp identifiers vectors.npy --ids ids.txt --output identifiers.jsonl
    """
    if output_file == STDOUT and as_json:
        raise errors.UsageError("--output - and --json both write to standard output; choose one of them")
    if prefix_tree == output_file:
        raise errors.UsageError(f"--output and --prefix-tree are both {output_file}; name two files")
    common.set_threads(threads)
    if codes:
        names, paths = _of_codes(source, ids)
    else:
        with StageProgress(quiet=quiet) as progress:
            tree = {"branching": branching, "leaf_size": leaf_size, "balance": balance, "seed": seed}
            names, paths = _of_vectors(source, ids, tree | {"progress": progress})
    _write(_lines(names, paths), output_file)
    if prefix_tree is not None:
        from cluscomp.clustering.prefix_tree import PrefixTree

        PrefixTree.of(paths).save(prefix_tree)
    _show(paths, output_file, prefix_tree, as_json)


def _of_codes(folder: Path, ids: Path | None) -> tuple[Sequence[Any], Paths]:
    from cluscomp.indexes.code_identifiers import code_identifiers
    from cluscomp.indexes.index import open_index

    if ids is not None:
        raise errors.UsageError("--ids belong to vectors; with --codes the index has its own")
    index = open_index(folder)
    return index.ids.tolist(), code_identifiers(index)


def _of_vectors(path: Path, ids: Path | None, tree: dict[str, Any]) -> tuple[Sequence[Any], Paths]:
    from cluscomp.clustering.identifiers import hierarchical_identifiers
    from cluscomp.inputs.embeddings import open_embeddings

    if (path / "manifest.json").is_file():
        raise errors.UsageError(f"{path} is an index; add --codes to name its documents by their codes")
    vectors = open_embeddings(path, ids)
    names = range(vectors.n) if vectors.ids is None else list(vectors.ids)
    return names, hierarchical_identifiers(vectors.read(0, vectors.n), **tree)


def _lines(names: Sequence[Any], paths: Paths) -> Iterator[str]:
    for name, path in zip(names, paths, strict=True):
        yield json.dumps(
            {"id": name if isinstance(name, str) else int(name), "path": path}, ensure_ascii=False
        )


def _write(lines: Iterator[str], path: Path) -> None:
    from cluscomp.files import atomic_file

    if path == STDOUT:
        for line in lines:
            output.result(line)
        return
    with atomic_file(path) as file:
        for line in lines:
            file.write(f"{line}\n".encode())


def _show(paths: Paths, path: Path, prefix_tree: Path | None, as_json: bool) -> None:
    lengths = dict(sorted(Counter(map(len, paths)).items()))
    if as_json:
        found = {"output": str(path), "documents": len(paths), "lengths": lengths}
        output.result_json(found | ({} if prefix_tree is None else {"prefix_tree": str(prefix_tree)}))
    elif path != STDOUT:
        shown = ", ".join(f"{count} of {length} numbers" for length, count in lengths.items())
        output.result(f"{path}: {len(paths)} documents, {shown}")
