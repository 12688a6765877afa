"""How rows are named and described to readers."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from cluscomp.eval.compare.config import SEARCH_PARAMETERS
from cluscomp.eval.compare.elsewhere import COLUMNS, TRAINED_ON

Row = dict[str, Any]

# Okabe and Ito's palette, which readers who see few colours can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#808080")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "hexagon", "cross")


def settings(row: Row) -> str:
    """Text such as "nprobe 16, refine_factor 4"; nothing for a key without parameters."""
    return ", ".join(f"{name} {row[name]}" for name in SEARCH_PARAMETERS if row.get(name) is not None)


def name_of(row: Row) -> str:
    """Label and settings on one line."""
    found = settings(row)
    return f"{row['label']} ({found})" if found else str(row["label"])


def quality_of(rows: Sequence[Row]) -> tuple[str, str]:
    """Column of the quality of these rows and its name: nDCG@10 where there are judgements."""
    if any(row.get("ndcg@10") is not None for row in rows):
        return "ndcg@10", "nDCG@10"
    return "exact_recall@10", "recall of the 10 exact neighbours"


def per_key(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows of each key, in their order."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["library"], row["key"]), []).append(row)
    return list(groups.values())


def thorough(rows: Sequence[Row]) -> Row:
    """Of the rows of one key the one that finds most: exact neighbours, then k hits; then the faster."""

    def found(row: Row) -> tuple[float, int, float]:
        return round(row["exact_recall@10"], 6), -row["missing_hits"], row["queries_per_second"]

    return max(rows, key=found)


def family(row: Row) -> str:
    """Library, and what documents are: rows of one colour."""
    names = {"tokens": "token vectors", "terms": "words", "sparse": "sparse vectors", "dense": "vectors"}
    form = row.get("vectors", "dense")
    more = "" if form == "dense" else ", " + " and ".join(names[part] for part in form.split("+"))
    return f"{row['library']}{more}"


def exact_value(rows: Sequence[Row], column: str) -> float:
    """What the uncompressed search reaches, which the rows were compared with."""
    return float(rows[0][column] + rows[0][f"loss_{column}"])


def by_vectors(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows by what a document is (compare/config.py: Form); each has an exact search of its own."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.get("vectors", "dense"), []).append(row)
    return groups


def exact_searches(rows: Sequence[Row]) -> list[str]:
    """A sentence for each uncompressed search that rows are compared with."""
    column, title = quality_of(rows)
    if column != "ndcg@10":
        return []
    lines = []
    for vectors, group in by_vectors(rows).items():
        named = {
            "dense": "one vector a document",
            "tokens": f"all token vectors ({group[0]['vectors_per_document']:.1f} a document)",
            "terms": "words (BM25, 32 bits a weight)",
            "sparse": "sparse vectors (32 bits a weight)",
        }
        what = " and ".join(named[part] for part in vectors.split("+"))
        lines.append(f"Exact search of {what}: {title} {number(exact_value(group, column))}.")
    return lines


def families(rows: Iterable[Row]) -> list[str]:
    """Families in order of appearance."""
    return list(dict.fromkeys(family(row) for row in rows))


def number(value: float | None, digits: int = 4) -> str:
    """A figure with so many digits behind the point, or a dash."""
    return "-" if value is None else f"{value:.{digits}f}"


def elsewhere_cells(row: Row) -> list[str]:
    """NDCG@10 and `exact` of the key trained on another collection."""
    return [number(row.get(name), digits) for name, digits in zip(COLUMNS.values(), (4, 3), strict=True)]


def rounded(value: float | None) -> str:
    """A figure of three significant digits without an exponent, or a dash."""
    if value is None:
        return "-"
    if value >= 99.95:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def hover(row: Row) -> str:
    """What a point says when the pointer is over it: key, figures, and the command that makes it again."""
    lines = [
        f"<b>{html.escape(str(row['label']))}</b>",
        html.escape(settings(row)),
        f"nDCG@10 {number(row.get('ndcg@10'))}, exact recall@10 {number(row['exact_recall@10'], 3)}",
        f"{rounded(row['bytes_per_document'])} bytes a document",
        f"{rounded(row['queries_per_second'])} queries/s, p50 {rounded(row['latency_p50_ms'])} ms, "
        f"p99 {rounded(row['latency_p99_ms'])} ms",
        _trained_elsewhere(row),
        *wrapped(str(row["command"])),
    ]
    return "<br>".join(line for line in lines if line)


def _trained_elsewhere(row: Row) -> str:
    """A line of `hover`; nothing without a second training."""
    if not row.get(TRAINED_ON):
        return ""
    ndcg, exact = elsewhere_cells(row)
    return f"trained on {html.escape(row[TRAINED_ON])}: nDCG@10 {ndcg}, exact recall@10 {exact}"


def wrapped(command: str, width: int = 76) -> list[str]:
    """A command in lines of about `width` characters, escaped."""
    lines = []
    for part in command.splitlines():
        line = ""
        for word in part.split(" "):
            if line and len(line) + len(word) >= width:
                lines.append(line + " \\")
                line = "    "
            line += ("" if line.strip() == "" else " ") + word
        lines.append(line)
    return [f"<span style='font-family:monospace'>{html.escape(line)}</span>" for line in lines]
