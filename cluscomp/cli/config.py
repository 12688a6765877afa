"""`--config FILE`: a TOML file whose keys are flags. A flag beats the environment, which beats the file."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import typer

from cluscomp.checks import did_you_mean


def read_config(ctx: typer.Context, path: Path | None) -> Path | None:
    """Callback of `--config`: make the file's values the defaults of the running command.

    Keys are flags without the dashes (`max-memory` or `max_memory`), at the top of the file for all commands
    or in a table named like one command. Raises typer.BadParameter for an unknown key or unreadable file.
    """
    if path is not None:
        values = _values(_parse(path), ctx)
        ctx.default_map = {**(ctx.default_map or {}), **values}
    return path


def _parse(path: Path) -> dict[str, Any]:
    try:
        toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    except ImportError as exc:
        raise typer.BadParameter("reading a config file on Python 3.10 needs the package tomli") from exc
    try:
        with path.open("rb") as file:
            values: dict[str, Any] = toml.load(file)
    except OSError as exc:
        raise typer.BadParameter(f"cannot read the config file {path}: {exc.strerror}") from exc
    except ValueError as exc:
        raise typer.BadParameter(f"the config file {path} is not valid TOML: {exc}") from exc
    return values


def _values(content: dict[str, Any], ctx: typer.Context) -> dict[str, Any]:
    """Parameter name -> value for the running command; its own table beats the top of the file."""
    tables = {name: _parameters(command) for name, command in _commands(ctx).items()}
    mine = _parameters(ctx.command)
    known_anywhere = set(mine).union(*tables.values())
    general: dict[str, Any] = {}
    special: dict[str, Any] = {}
    for key, value in content.items():
        table = key.replace("_", "-")
        if isinstance(value, dict) and table in {*tables, ctx.info_name}:
            if table == ctx.info_name:
                special = {mine[_known(inner, set(mine))]: item for inner, item in value.items()}
        elif (name := _known(key, known_anywhere)) in mine:
            general[mine[name]] = value
    return {**general, **special}


def _commands(ctx: typer.Context) -> dict[str, Any]:
    return dict(getattr(ctx.parent.command, "commands", {})) if ctx.parent is not None else {}


def _parameters(command: Any) -> dict[str, str]:
    """Flag without dashes -> name of the parameter that it sets."""
    found = {}
    for parameter in command.params:
        for spelling in parameter.opts:
            found[spelling.lstrip("-").replace("-", "_")] = parameter.name
    return {flag: name for flag, name in found.items() if flag not in ("config", "help", "h", "version")}


def _known(key: str, names: set[str]) -> str:
    name = key.replace("-", "_")
    if name in names:
        return name
    hint = did_you_mean(key, sorted(known.replace("_", "-") for known in names))
    raise typer.BadParameter(f"the config file has the unknown key '{key}'{hint}")
