"""The program `cluscomp`: knows the commands, and nothing else. Heavy imports wait inside the commands."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Any

import typer

from cluscomp.cli.add import add
from cluscomp.cli.bench import bench
from cluscomp.cli.build_index import build_index
from cluscomp.cli.compact import compact
from cluscomp.cli.compare import compare
from cluscomp.cli.convert import convert
from cluscomp.cli.delete import delete
from cluscomp.cli.demo import demo
from cluscomp.cli.doctor import doctor
from cluscomp.cli.evaluate import evaluate
from cluscomp.cli.fuse import fuse
from cluscomp.cli.get import get
from cluscomp.cli.health import health
from cluscomp.cli.identifiers import identifiers
from cluscomp.cli.inspect import inspect
from cluscomp.cli.keys import keys
from cluscomp.cli.merge import merge
from cluscomp.cli.merge_lora import merge_lora
from cluscomp.cli.output import note, result
from cluscomp.cli.plan import plan
from cluscomp.cli.search import search
from cluscomp.cli.serve import serve
from cluscomp.cli.shard import shard_app
from cluscomp.cli.streams import run_program
from cluscomp.cli.train import train_app
from cluscomp.cli.tune import tune
from cluscomp.cli.upsert import upsert
from cluscomp.cli.verify import verify

# Options and commands are written with dashes; underscores are understood as the same.
CONTEXT: dict[str, Any] = {
    "token_normalize_func": lambda token: token.replace("_", "-"),
    "help_option_names": ["-h", "--help"],
    "max_content_width": 110,
}


def _show_version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        result(f"cluscomp {importlib.metadata.version('cluscomp')}")
        raise typer.Exit(0)


Version = Annotated[
    bool,
    typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_show_version),
]


FORMER_NAMES = {"benchmark": ("compare", "0.3")}
"""Command that has another name now -> that name, and the version in which the former one goes."""


def _program(context: typer.Context, version: Version = False) -> None:
    """Embedding compression and retrieval indexing by clustering: texts or vectors in, a small index out.

    Results go to stdout, progress and logs to stderr. Exit codes: 0 ok, 1 internal error, 2 usage,
    3 infeasible under the limits, 4 bad input data, 5 index missing, corrupt or incompatible, 130
    interrupted.
    """
    former = context.invoked_subcommand
    if former in FORMER_NAMES:
        now, goes = FORMER_NAMES[former]
        note(f"note: the command {former} is called {now}; the former name goes away in version {goes}")


app = typer.Typer(
    name="cluscomp",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
)
app.callback()(_program)
app.command("build-index")(build_index)
app.command("search")(search)
app.command("serve")(serve)
app.command("eval")(evaluate)
app.command("fuse")(fuse)
app.command("inspect")(inspect)
app.command("add")(add)
app.command("upsert")(upsert)
app.command("delete")(delete)
app.command("get")(get)
app.command("compact")(compact)
app.command("convert")(convert)
app.command("merge")(merge)
app.command("health")(health)
app.command("verify")(verify)
app.command("plan")(plan)
app.command("keys")(keys)
app.command("identifiers")(identifiers)
app.command("merge-lora")(merge_lora)
app.add_typer(train_app)
app.add_typer(shard_app)
app.command("doctor")(doctor)
app.command("demo")(demo)
app.command("bench")(bench)
app.command("compare")(compare)
app.command("benchmark", hidden=True)(compare)
app.command("tune")(tune)

build_index_app = typer.Typer(
    name="build-index", add_completion=False, pretty_exceptions_enable=False, context_settings=CONTEXT
)
build_index_app.command("build-index")(build_index)


def run() -> None:
    """Entry of the program `cluscomp`."""
    _answer_interrupts()
    run_program(lambda: app(prog_name="cluscomp"))


def run_build_index() -> None:
    """Entry of the program `build-index`, the same as `cluscomp build-index`."""
    _answer_interrupts()
    if sys.argv[1:] == ["--version"]:
        run_program(lambda: app(prog_name="cluscomp"))
    run_program(lambda: build_index_app(prog_name="build-index"))


def _answer_interrupts() -> None:
    """Answer SIGINT also where a shell started the program in the background, with that signal ignored.

    Who sends it to a build by `kill -INT` wants it to stop and to be resumable.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
