"""`cluscomp verify`: all faults of an index folder, by file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluscomp import errors, vocabulary
from cluscomp.cli import common, output
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract

if TYPE_CHECKING:
    from cluscomp.indexes.verify import IndexFault


@exits_by_contract
def verify(
    index: common.IndexFolder,
    level: Annotated[
        vocabulary.VerifyLevel,
        flag("--level", help="quick: sizes and headers; sums: also checksums; deep: also what the rows say."),
    ] = "deep",
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Find every fault of an index folder: exit code 0 without one, 5 with any.

    Nothing is changed, and the index may be in use.

    Examples:
    cluscomp verify scifact.index

    cluscomp verify scifact.index --level sums --json

    """
    from cluscomp.indexes.verify import verify_index

    faults = verify_index(index, level)
    if as_json:
        facts = {"index": str(index), "level": level, "faults": [fault.to_json() for fault in faults]}
        output.result_json(facts)
    else:
        _show(index, level, faults, quiet)
    if faults:
        raise typer.Exit(errors.CorruptIndexError.exit_code)


def _show(index: Path, level: str, faults: list[IndexFault], quiet: bool) -> None:
    for fault in faults:
        output.result(f"{fault.file}\t{fault.message}")
    if not quiet:
        count = f"{len(faults)} {'fault' if len(faults) == 1 else 'faults'}" if faults else "no fault"
        output.note(f"{index}: {count} (level {level})")
