"""Flags that several commands share, with the same name, meaning and environment variable everywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from cluscomp import errors, vocabulary
from cluscomp.cli.config import read_config

PANEL = "Common"
_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, None: 1.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|min)?")


def flag(
    name: str, *more: str, help: str, env: bool | str = True, panel: str | None = None, **extra: Any
) -> Any:
    """An option `--name` that the variable CLUSCOMP_NAME sets too, or the one that `env` names."""
    variable = (
        env if isinstance(env, str) else "CLUSCOMP_" + name.removeprefix("--").replace("-", "_").upper()
    )
    return typer.Option(
        name, *more, help=help, envvar=variable if env else None, rich_help_panel=panel, **extra
    )


IndexFolder = Annotated[
    Path, typer.Argument(metavar="INDEX", help="Folder of the index.", show_default=False)
]
Nprobe = Annotated[int | None, flag("--nprobe", help="Lists to probe in an IVF index.", min=1)]
RefineFactor = Annotated[
    str | None,
    flag("--refine-factor", help="Candidates a hit that the rerank scores again, or bound, or certain."),
]
KBeyond = Annotated[
    vocabulary.KBeyond,
    flag("--k-beyond", help="When -k is above the number of documents: fail, or clip -k to it."),
]
SameEncoder = Annotated[
    str | None, flag("--encoder", help="Must be the encoder of the index. (default: that one)")
]
DryRun = Annotated[bool, flag("--dry-run", help="Say what would be done; write nothing.", env=False)]
Wait = Annotated[
    str,
    flag(
        "--wait",
        help="How long to wait while another writer holds the index, such as 30s or 2min; then exit code 5.",
        env=False,
        metavar="TIME",
    ),
]
Seed = Annotated[int, flag("--seed", help="Seed of everything random.", panel=PANEL, min=0)]
Threads = Annotated[
    int | None,
    flag(
        "--threads",
        help="Threads of the native core. (default: all cores)",
        env="CLUSCOMP_NUM_THREADS",
        panel=PANEL,
        min=1,
    ),
]
MaxMemory = Annotated[
    str | None,
    flag(
        "--max-memory",
        help="Hard limit for the memory of the process, such as 800M or 8G. (default: 80% of what is free)",
        panel=PANEL,
        metavar="SIZE",
    ),
]
Config = Annotated[
    Path | None,
    flag(
        "--config",
        help="TOML file whose keys are flags; flags and CLUSCOMP_* variables beat it.",
        panel=PANEL,
        is_eager=True,
        callback=read_config,
        metavar="FILE",
    ),
]
Quiet = Annotated[bool, flag("--quiet", "-q", help="No progress and no log lines.", env=False, panel=PANEL)]
Verbose = Annotated[
    int,
    flag(
        "--verbose",
        "-v",
        help="More log lines, and tracebacks.",
        env=False,
        panel=PANEL,
        count=True,
        metavar="",
    ),
]
Json = Annotated[bool, flag("--json", help="Print one JSON document.", env=False, panel=PANEL)]


def parse_columns(text: str | None) -> dict[str, str]:
    """The mapping of "id=key,text=body"; nothing for None. Raises UsageError."""
    columns = {}
    for part in text.split(",") if text else ():
        role, equals, name = part.partition("=")
        if not equals or not role.strip() or not name.strip():
            raise errors.UsageError(f"--columns is {text!r}; write ROLE=NAME,..., as in id=key,text=body")
        columns[role.strip()] = name.strip()
    return columns


def check_documents(corpus: Path | None, embeddings: Path | None, encoder: str | None, bf16: bool) -> None:
    """Raise UsageError unless documents come from one place, and texts with an encoder."""
    if (corpus is None) == (embeddings is None):
        both = "both are given" if corpus is not None else "neither is given"
        raise errors.UsageError(f"one of --corpus (texts) and --embeddings (vectors) is needed, and {both}")
    if corpus is not None and encoder is None:
        raise errors.UsageError("--corpus needs --encoder, such as --encoder minilm")
    if bf16 and encoder is None:
        raise errors.UsageError("--bf16 says how --encoder works, which is not given")


def set_threads(threads: int | None) -> None:
    """Give the native core its thread budget; None leaves the default."""
    if threads is not None:
        from cluscomp import native

        native.set_num_threads(threads)


def seconds(name: str, text: str) -> float:
    """A time as flags spell it: 500ms, 10s, 2min; a number alone is seconds. Raises UsageError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise errors.UsageError(f"{name} is {text!r}; write a time such as 500ms, 10s or 2min")
    return float(found[1]) * _UNITS[found[2]]
