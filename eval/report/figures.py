"""The figures of a report, as plotly objects, each of the rows of one dataset."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from cluscomp.errors import require
from cluscomp.eval.report.labels import (
    COLOURS,
    SYMBOLS,
    Row,
    by_vectors,
    exact_value,
    families,
    family,
    hover,
    name_of,
    per_key,
    quality_of,
    thorough,
)
from cluscomp.eval.report.pareto import pareto_front

GREY = "#888888"  # visible on white and on black
FRONT = {"color": GREY, "width": 1.5, "dash": "dot"}
CAUSES = (
    ("pooling", "pooling", "#CC79A7"),
    ("coarse", "coarse miss", "#0072B2"),
    ("quantization", "quantization", "#E69F00"),
    ("rerank", "rerank", "#009E73"),
)
BAR_HEIGHT = 26


def plotly() -> Any:
    """Plotly's graph objects."""
    return require("plotly.graph_objects", extra="report", why="the report of a comparison")


def quality_against_bytes(rows: Sequence[Row]) -> Any:
    """Quality against bytes a document: each key at its most thorough setting, the front marked."""
    go = plotly()
    column, title = quality_of(rows)
    best = [thorough(group) for group in per_key(rows)]
    points = [(row["bytes_per_document"], row[column]) for row in best]
    front = pareto_front(points, (False, True))
    figure = go.Figure()
    figure.add_scatter(
        x=[points[i][0] for i in front], y=[points[i][1] for i in front], mode="lines", line=FRONT,
        name="Pareto front", hoverinfo="skip",
    )  # fmt: skip
    for name, colour, symbol in _styles(best):
        mine = [i for i, row in enumerate(best) if family(row) == name]
        figure.add_scatter(
            x=[points[i][0] for i in mine],
            y=[points[i][1] for i in mine],
            mode="markers+text",
            text=[best[i]["label"] if i in front else "" for i in mine],
            textposition="top center",
            textfont={"size": 10},
            marker={"color": colour, "symbol": symbol, "size": 10, "line": {"width": 1, "color": "white"}},
            name=name,
            cliponaxis=False,
            **_hovers([best[i] for i in mine]),
        )
    for vectors, group in by_vectors(best).items():
        what = {"tokens": "all token vectors, exact", "terms": "words, BM25"}
        text = what.get(vectors, "uncompressed, exact")
        figure.add_hline(y=exact_value(group, column), line={"color": "#999999", "width": 1},
                         annotation_text=text, annotation_font_size=10,
                         annotation_position="top right")  # fmt: skip
    figure.update_xaxes(title="bytes a document, all files of the index", **_log([x for x, _ in points]))
    figure.update_yaxes(title=title)
    return _laid_out(figure, 460)


def recall_against_speed(rows: Sequence[Row]) -> Any:
    """Recall of the exact neighbours against queries a second: a line a key, the front marked."""
    go = plotly()
    figure = go.Figure()
    for number, group in enumerate(by_vectors(rows).values()):
        points = [(row["exact_recall@10"], row["queries_per_second"]) for row in group]
        front = pareto_front(points, (True, True))
        figure.add_scatter(
            x=[points[i][0] for i in front], y=[points[i][1] for i in front], mode="lines+markers",
            line=FRONT, marker={"size": 17, "color": "rgba(0,0,0,0)", "line": {"width": 1.5, "color": GREY}},
            name="Pareto front", legendgroup="front", showlegend=number == 0, hoverinfo="skip",
        )  # fmt: skip
    shown: set[str] = set()
    style = {name: (colour, symbol) for name, colour, symbol in _styles(rows)}
    for group in per_key(rows):
        ordered = sorted(group, key=lambda row: row["exact_recall@10"])
        name = family(group[0])
        colour, symbol = style[name]
        figure.add_scatter(
            x=[row["exact_recall@10"] for row in ordered],
            y=[row["queries_per_second"] for row in ordered],
            mode="lines+markers",
            line={"color": colour, "width": 1},
            marker={"color": colour, "symbol": symbol, "size": 8},
            name=name,
            legendgroup=name,
            showlegend=name not in shown,
            **_hovers(ordered),
        )
        shown.add(name)
    figure.update_xaxes(title="recall of the 10 exact neighbours")
    figure.update_yaxes(title="queries a second", **_log([row["queries_per_second"] for row in rows]))
    return _laid_out(figure, 460)


def loss_split(rows: Sequence[Row]) -> Any | None:
    """Losses of our keys by cause, in nDCG@10 or recall; None where no row has them."""
    mine = [row for row in rows if row.get("coarse_loss_exact_recall@10") is not None]
    if not mine:
        return None
    go = plotly()
    judged = mine[0].get("coarse_loss_ndcg@10") is not None
    measures = [("ndcg@10", "nDCG@10")] * judged + [("exact_recall@10", "exact recall@10")]
    causes = [c for c in CAUSES if any(row.get(f"{c[0]}_loss_exact_recall@10") is not None for row in mine)]
    figure = go.Figure()
    for number, (measure, _) in enumerate(measures):
        for cause, name, colour in causes:
            figure.add_bar(
                x=[row.get(f"{cause}_loss_{measure}") for row in mine],
                y=[name_of(row) for row in mine],
                orientation="h",
                name=name,
                marker={"color": colour},
                visible=number == 0,
                **_hovers(mine),
            )
    if judged:
        _choice(figure, [title for _, title in measures], len(causes))
    figure.update_layout(barmode="relative")
    figure.update_xaxes(title="lost against the exact search")
    return _bars(figure, len(mine))


def list_balance(rows: Sequence[Row]) -> Any | None:
    """Evenness of the lists of our partitioned keys; None where there are none."""
    mine = [group[0] for group in per_key(rows) if group[0].get("lists_cv") is not None]
    if not mine:
        return None
    go = plotly()
    figure = go.Figure()
    bars = (
        ("lists_max_over_mean", "largest list / mean", "#D55E00"),
        ("lists_expected_scan", "rows read a probe / mean", "#56B4E9"),
        ("lists_cv", "coefficient of variation", "#CC79A7"),
    )
    for column, name, colour in bars:
        figure.add_bar(
            x=[row[column] for row in mine], y=[str(row["label"]) for row in mine], orientation="h",
            name=name, marker={"color": colour}, text=[f"{row[column]:.2f}" for row in mine], **_hovers(mine),
        )  # fmt: skip
    figure.update_xaxes(title="equal lists: 1, 1 and 0")
    return _bars(figure, 2 * len(mine))


def latencies(rows: Sequence[Row]) -> Any:
    """p50, p95 and p99 of single searches, the fastest first."""
    go = plotly()
    ordered = sorted(rows, key=lambda row: row["latency_p50_ms"])
    names = [name_of(row) for row in ordered]
    figure = go.Figure()
    x: list[float | None] = []
    y: list[str | None] = []
    for row, name in zip(ordered, names, strict=True):
        x += [row["latency_p50_ms"], row["latency_p99_ms"], None]
        y += [name, name, None]
    figure.add_scatter(x=x, y=y, mode="lines", line={"color": "#bbbbbb", "width": 2}, hoverinfo="skip",
                       showlegend=False)  # fmt: skip
    for column, colour, symbol in (("p50", "#0072B2", "circle"), ("p95", "#E69F00", "diamond"),
                                   ("p99", "#D55E00", "line-ns")):  # fmt: skip
        figure.add_scatter(
            x=[row[f"latency_{column}_ms"] for row in ordered],
            y=names,
            mode="markers",
            name=column,
            marker={"color": colour, "symbol": symbol, "size": 9, "line": {"color": colour, "width": 2}},
            **_hovers(ordered),
        )
    ends = [row[f"latency_{p}_ms"] for row in rows for p in ("p50", "p99")]
    figure.update_xaxes(title="milliseconds a query, one at a time", **_log(ends))
    return _bars(figure, len(ordered))


FIGURES: tuple[tuple[str, str, Callable[[Sequence[Row]], Any | None]], ...] = (
    ("quality", "Quality against size", quality_against_bytes),
    ("speed", "Recall against speed", recall_against_speed),
    ("loss", "Where quality is lost", loss_split),
    ("balance", "Balance of the lists", list_balance),
    ("latency", "Latency", latencies),
)
"""Name, title and function of every figure; a function may give None."""


def _styles(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Family, colour and symbol."""
    return [
        (name, COLOURS[i % len(COLOURS)], SYMBOLS[i % len(SYMBOLS)]) for i, name in enumerate(families(rows))
    ]


def _log(values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis with ticks at 1, 2 and 5 times the powers of ten, written out."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    ticks = [digit * 10.0**power for power in range(low, high + 1) for digit in (1, 2, 5)]
    edge = max(0.1 * math.log10(max(values) / min(values)), 0.05)
    return {
        "type": "log",
        "tickvals": ticks,
        "ticktext": [f"{tick:g}" if tick < 1e4 else f"{tick:,.0f}".replace(",", " ") for tick in ticks],
        "range": [math.log10(min(values)) - edge, math.log10(max(values)) + edge],
    }


def _hovers(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "hovertext": [hover(row) for row in rows],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "customdata": [[row["command"]] for row in rows],
    }


def _choice(figure: Any, titles: Sequence[str], each: int) -> None:
    """Buttons that show `each` of the traces at a time."""
    count = len(titles) * each
    buttons = [
        {
            "label": title,
            "method": "update",
            "args": [{"visible": [i // each == number for i in range(count)]}],
        }
        for number, title in enumerate(titles)
    ]
    figure.update_layout(
        updatemenus=[
            {
                "type": "buttons",
                "direction": "right",
                "buttons": buttons,
                "x": 0,
                "xanchor": "left",
                "y": 1,
                "yanchor": "bottom",
                "pad": {"b": 32},
                "font": {"size": 11},
                "bgcolor": "#dddddd",
            }
        ]
    )


def _bars(figure: Any, count: int) -> Any:
    """A figure of one line a row, the first on top."""
    figure.update_yaxes(autorange="reversed", automargin=True, tickfont={"size": 11})
    return _laid_out(figure, 190 + BAR_HEIGHT * max(count, 2))


def _laid_out(figure: Any, height: int) -> Any:
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 60, "r": 20, "t": 70, "b": 60},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        hoverlabel={"align": "left", "bgcolor": "white", "font": {"size": 11}},
        font={"size": 12},
    )
    return figure
