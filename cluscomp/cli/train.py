"""`cluscomp train METHOD`: one command a method."""

from __future__ import annotations

import typer

from cluscomp.cli.train_crisp import train_crisp
from cluscomp.cli.train_repconc import train_repconc

train_app = typer.Typer(
    name="train",
    no_args_is_help=True,
    help="Train an encoder or a codec for an index; METHOD --help has the rest.",
)
train_app.command("repconc")(train_repconc)
train_app.command("crisp")(train_crisp)
