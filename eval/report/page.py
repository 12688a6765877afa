"""The report of a comparison: one HTML file that needs nothing else, not even a network."""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from cluscomp import checks
from cluscomp.errors import EmptyInputError, require
from cluscomp.eval.report.figures import FIGURES
from cluscomp.eval.report.labels import Row, exact_searches, number, rounded, settings
from cluscomp.files import atomic_file

EXPLANATIONS = {
    "quality": "Each key at the setting that finds most; the dotted line joins keys that no other beats in "
    "both.",
    "speed": "Each line is a key, each point a setting of its search; rings mark points that no other beats "
    "in both. All queries in one call.",
    "loss": "Coarse miss: not in the probed lists. Quantization: coded too roughly. Rerank: the finer codes' "
    "error. Pooling: token vectors made few. Negative is gained. Keys of this project only.",
    "balance": "Partitioned keys of this project.",
    "latency": "One query at a time, encoding not counted.",
}


def write_report(
    rows: Sequence[Row], path: str | Path, *, title: str = "Comparison", notes: Sequence[str] = ()
) -> Path:
    """Write the report of the rows of a comparison; the file appears complete or not at all.

    rows: as `CompareResult.rows`; failed ones are listed with their reasons. notes: further lines, such as
    libraries that were not installed. Raises EmptyInputError without a measured row, OptionalDependencyError
    without plotly (pip install 'cluscomp[report]').
    """
    text = render_report(rows, title=title, notes=notes)
    path = checks.path("path", path)
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))
    return path


def render_report(rows: Sequence[Row], *, title: str = "Comparison", notes: Sequence[str] = ()) -> str:
    """The HTML text of `write_report`."""
    good = [row for row in rows if row.get("error") is None]
    if not good:
        raise EmptyInputError("there is no measured row to report")
    offline = require("plotly.offline", extra="report", why="the report of a comparison")
    names = list(dict.fromkeys(row["dataset"] for row in good))
    sections = [_section(name, [row for row in good if row["dataset"] == name]) for name in names]
    here = files("cluscomp.eval.report")
    return Template(here.joinpath("page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        style=here.joinpath("page.css").read_text(encoding="utf-8"),
        script=here.joinpath("page.js").read_text(encoding="utf-8"),
        plotly=offline.get_plotlyjs(),
        circumstances=_circumstances(good),
        links=" ".join(f'<a href="#{_anchor(name)}">{html.escape(name)}</a>' for name in names),
        sections="\n".join(sections),
        notes=_notes(rows, notes),
    )


def _section(name: str, rows: list[Row]) -> str:
    first = rows[0]
    parts = [
        f'<section id="{_anchor(name)}"><h2>{html.escape(name)}</h2>',
        f"<p>{first['n_docs']} documents, {first['n_queries']} queries, {first['dim']} dimensions, "
        f"metric {html.escape(first['metric'])}. {' '.join(exact_searches(rows))}</p>",
    ]
    for kind, title, draw in FIGURES:
        figure = draw(rows)
        if figure is None:
            continue
        drawn = figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            div_id=f"{_anchor(name)}-{kind}",
            config={"responsive": True, "displaylogo": False},
        )
        parts.append(
            f"<figure><figcaption><b>{title}.</b> {EXPLANATIONS[kind]}</figcaption>{drawn}"
            '<div class="command" hidden><button type="button">copy</button><pre></pre></div></figure>'
        )
    parts.append(_table(rows))
    return "\n".join([*parts, "</section>"])


def _table(rows: list[Row]) -> str:
    recall = f"recall@{rows[0]['k']}"
    columns: list[tuple[str, Any]] = [
        ("key", lambda row: html.escape(str(row["label"]))),
        ("search", lambda row: html.escape(settings(row))),
        ("nDCG@10", lambda row: number(row["ndcg@10"])),
        (recall.capitalize(), lambda row: number(row[recall])),
        ("exact recall@10", lambda row: number(row["exact_recall@10"], 3)),
        ("loses less than (95%)", lambda row: number(row["loss_below"])),
        ("bytes / document", lambda row: rounded(row["bytes_per_document"])),
        ("queries / s", lambda row: rounded(row["queries_per_second"])),
        ("p50 ms", lambda row: rounded(row["latency_p50_ms"])),
        ("p95 ms", lambda row: rounded(row["latency_p95_ms"])),
        ("p99 ms", lambda row: rounded(row["latency_p99_ms"])),
        ("build s", lambda row: rounded(row["build_seconds"])),
    ]
    head = "".join(f"<th>{html.escape(name)}</th>" for name, _ in columns)
    body = "".join(
        f'<tr data-command="{html.escape(row["command"])}">'
        + "".join(f"<td>{cell(row)}</td>" for _, cell in columns)
        + "</tr>"
        for row in rows
    )
    return (
        "<figure><figcaption><b>All rows.</b> A click on a column sorts, a click on a row shows its command."
        f'</figcaption><div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        '</div><div class="command" hidden><button type="button">copy</button><pre></pre></div></figure>'
    )


def _circumstances(rows: Sequence[Row]) -> str:
    """Machine, versions and seeds, as far as the rows agree."""

    def values(name: str) -> str:
        found = dict.fromkeys(str(row[name]) for row in rows if row.get(name) is not None)
        return html.escape(", ".join(found)) or "-"

    versions = dict.fromkeys(f"{row['library']} {row['version']}" for row in rows)
    facts = {
        "Machine": f"{values('processor')}, {values('cores')} cores, {values('simd')}; "
        f"{values('threads')} thread(s) used",
        "Versions": html.escape(", ".join(versions)) + f"; Python {values('python')}, NumPy "
        f"{values('numpy')}",
        "Seed": values("seed"),
        "Measured": html.escape(
            f"{min(row['measured_at'] for row in rows)} to {max(row['measured_at'] for row in rows)}"
        ),
        "Cores busy": f"{min(row['load'] or 0 for row in rows):.1f} to "
        f"{max(row['load'] or 0 for row in rows):.1f}, other processes' included; above the number of cores, "
        "times are noisy",
    }
    return "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in facts.items())


def _notes(rows: Sequence[Row], notes: Sequence[str]) -> str:
    failed = [
        f"{row['dataset']}, {row['label']}: {row['error']}" for row in rows if row.get("error") is not None
    ]
    lines = [html.escape(line) for line in [*notes, *failed]]
    if not lines:
        return ""
    items = "".join(f"<li>{line}</li>" for line in lines)
    return f"<section><h2>Not measured</h2><ul>{items}</ul></section>"


def _anchor(name: str) -> str:
    return "d-" + "".join(char if char.isalnum() else "-" for char in name.lower())
