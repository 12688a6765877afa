"""What commands print: results to stdout (text, table or JSON), everything else to stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer

_QUANTITY = re.compile(r"-|-?\d[\d.]*(%| ?[A-Za-z]+( \d+ ?[A-Za-z]+)?)?")


def note(message: str) -> None:
    """One line to stderr."""
    typer.echo(message, err=True)


def result(line: str) -> None:
    """One line to stdout."""
    typer.echo(line)


def result_json(value: Any) -> None:
    """One JSON document to stdout; NumPy values become plain ones, NaN and infinity become null."""
    typer.echo(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def result_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None) -> None:
    """A table to stdout; columns that hold nothing but numbers and quantities stand to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    cells = list(rows)
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for position, column in enumerate(columns):
        is_number = all(_QUANTITY.fullmatch(row[position]) for row in cells)
        table.add_column(column, justify="right" if is_number else "left", no_wrap=is_number)
    for row in cells:
        table.add_row(*row)
    # Off a terminal lines must not be wrapped or cut: a reader downstream has no width.
    width = None if sys.stdout.isatty() else 200
    Console(file=sys.stdout, width=width, markup=False, highlight=False).print(table)


def size_text(n_bytes: float) -> str:
    """Bytes as people read them: "640 B", "1.2 MB" (powers of 1000)."""
    value = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def seconds_text(seconds: float) -> str:
    """A duration as people read it: "3.2 ms", "12.1 s", "4 min 05 s", "2 h 10 min"."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _plain(value: Any) -> Any:
    import math

    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays, without importing numpy here
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
