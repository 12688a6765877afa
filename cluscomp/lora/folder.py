"""Whether the output folder may be written, or replaced."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cluscomp.errors import OutputExistsError, UsageError

REPORT_NAME = "cluscomp_merge.json"
IF_EXISTS = ("fail", "replace")


def check_output(target: Path, if_exists: str, sources: Sequence[Path]) -> None:
    """Raise OutputExistsError unless `target` is free, empty, or a merge of ours that may be replaced."""
    if if_exists not in IF_EXISTS:
        raise UsageError(f"if_exists={if_exists!r} is unknown; valid are 'fail' and 'replace'")
    if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
        return
    if any(os.path.samefile(target, source) for source in sources):
        raise OutputExistsError(f"{target} is one of the adapters to merge; choose another output")
    if if_exists == "fail":
        raise OutputExistsError(
            f"{target} exists already; choose another path, or replace it (--if-exists replace, in Python "
            "if_exists='replace')"
        )
    if not (target / REPORT_NAME).is_file():
        raise OutputExistsError(f"{target} was not made by a merge and is not replaced; choose another path")
