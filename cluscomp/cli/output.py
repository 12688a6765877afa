"""What commands print: results to stdout (text, table or JSON), everything else to stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import typer

from cluscomp.cli.streams import discard

# Control characters but for tab and line feed: "␛" for escape, "␡" for delete, and "�" for those after it.
_SYMBOLS = {code: chr(0x2400 + code) for code in range(32) if code not in (9, 10)}
_SYMBOLS |= {127: "␡"} | dict.fromkeys(range(128, 160), "�")
_JSON_CONTROL = re.compile("[\x7f-\x9f]")  # those that json.dumps leaves alone
_QUANTITY = re.compile(r"-|-?\d[\d.]*(%| ?[A-Za-z]+( \d+ ?[A-Za-z]+)?)?")


def note(message: str) -> None:
    """One line to stderr; nothing where nobody reads it, which ends no command."""
    try:
        typer.echo(readable(message, sys.stderr), err=True)
    except BrokenPipeError:
        discard(sys.stderr)


def result(line: str) -> None:
    """One line to stdout."""
    typer.echo(readable(line, sys.stdout))


def result_json(value: Any) -> None:
    """One JSON document to stdout; NumPy values become plain ones, NaN and infinity become null."""
    text = json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    typer.echo(_JSON_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def result_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None, err: bool = False
) -> None:
    """A table to stdout (err: to stderr); columns of numbers and quantities stand to the right.

    No name is cut: where a terminal is too narrow for the longest words, lines are longer than it.
    """
    from rich import box
    from rich.measure import Measurement
    from rich.table import Table

    stream = sys.stderr if err else sys.stdout
    cells = [[readable(cell, stream) for cell in row] for row in rows]
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for position, column in enumerate(columns):
        is_number = all(_QUANTITY.fullmatch(row[position]) for row in cells)
        justify: Literal["left", "right"] = "right" if is_number else "left"
        table.add_column(column, justify=justify, no_wrap=is_number, overflow="fold")
    for row in cells:
        table.add_row(*row)
    # Off a terminal lines must not be wrapped or cut: a reader downstream has no width.
    console = _console(stream, None if stream.isatty() else 200)
    anything = console.options.update(max_width=1 << 16)
    console.width = max(console.width, Measurement.get(console, anything, table).minimum)
    console.print(table)


def _console(stream: Any, width: int | None) -> Any:
    from rich.console import Console

    class Plain(Console):
        """Leaves a broken pipe to the command; rich's own way is to leave with 1."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Plain(file=stream, width=width, markup=False, highlight=False)


def readable(text: str, stream: Any) -> str:
    """The text as it is; on a terminal with control characters as symbols, since documents may hold any."""
    return text.translate(_SYMBOLS) if stream.isatty() else text


def result_run(run: Mapping[str, Mapping[str, float]]) -> None:
    """A TREC run to stdout: all of it, or none where an id cannot stand in one."""
    from cluscomp.eval.runs import run_lines

    for lines in [run_lines(query_id, scores) for query_id, scores in run.items()]:
        if lines:
            result(lines.decode().rstrip("\n"))


def bound_text(bound: int | None, exceeded_by: int) -> str:
    """What follows the sizes of balanced lists: ", bound of 20 rows kept"; nothing without a bound."""
    if bound is None:
        return ""
    return f", bound of {bound} rows {f'exceeded by {exceeded_by}' if exceeded_by else 'kept'}"


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
