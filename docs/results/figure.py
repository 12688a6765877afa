"""Draws docs/results/quality_bytes.svg, the figure of the README, from the SciFact table of docs/results.md.

    python docs/results/figure.py            writes the figure
    python docs/results/figure.py --check    exit code 1 if the figure is not the one that the table gives

Each mark is one key at the setting that finds most. The picture has colours for light and dark pages.
"""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "results.md"
FIGURE = Path(__file__).resolve().parent / "quality_bytes.svg"
COLLECTION = "scifact"
ROW = re.compile(r"^\| `(?P<key>[^`]+)` \|[^|]*\| (?P<bytes>[\d. ]+) \| (?P<ndcg>[\d.]+) \|", re.MULTILINE)
EXACT = re.compile(r"one vector a document: nDCG@10 ([\d.]+)\. .*all token vectors .*: nDCG@10 ([\d.]+)\.")

WIDTH, HEIGHT = 760, 430
LEFT, RIGHT, TOP, BOTTOM = 62, 728, 62, 376
BYTES, NDCG = (90, 20_000), (0.595, 0.715)

# Text of a mark and where it stands: dx, dy, anchor. Marks that are not here have none.
LABELS = {
    "OPQ24,PQ24": ("OPQ24,PQ24", 9, 4, "start"),
    "OPQ48,PQ48": ("OPQ48,PQ48", 1, 19, "start"),
    "OPQ48,IVF64,PQ48": ("OPQ48,IVF64,PQ48", 10, -10, "end"),
    "BIVF64,PQ48": ("BIVF64,PQ48", 9, 2, "start"),
    "PQ48": ("PQ48", 9, 12, "start"),
    "RR,RaBitQ": ("RR,RaBitQ", 9, 14, "start"),
    "SQ8": ("SQ8", 0, -10, "middle"),
    "SQfp16": ("SQfp16", 0, -10, "middle"),
    "Flat": ("Flat", 0, -10, "middle"),
    "Pool16,OPQ24,IVF1024,PQ24": ("Pool16,OPQ24,IVF1024,PQ24", -9, 4, "end"),
    "Pool16,OPQ48,IVF1024,PQ48": ("Pool16,OPQ48,IVF1024,PQ48", 9, 12, "start"),
    "Pool16,SQfp16": ("Pool16,SQfp16", 0, 18, "middle"),
    "Pool16(ward),OPQ24,IVF1024,PQ24": ("Pool16(ward),OPQ24,IVF1024,PQ24", -9, 4, "end"),
    "Pool16(ward),OPQ48,IVF1024,PQ48": ("Pool16(ward),OPQ48,IVF1024,PQ48", 9, 12, "start"),
    "Pool16(ward),SQfp16": ("Pool16(ward),SQfp16", 0, 18, "middle"),
    "faiss:PQ48": ("faiss PQ48", -4, -9, "start"),
    "faiss:IVF64,PQ48": ("faiss IVF64,PQ48", 8, 13, "start"),
    "faiss:HNSW16": ("faiss, ScaNN, hnswlib, usearch: float32", -4, 22, "middle"),
}
GROUPS = (
    ("ours", "cluscomp, one vector"),
    ("late", "cluscomp, pooled token vectors"),
    ("other", "other libraries"),
)

STYLE = """
  svg { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif }
  .title { font-size: 15px; font-weight: 600 }
  .page { fill: #ffffff } text { fill: #24292f } .soft { fill: #57606a }
  .grid { stroke: #d8dee4 } .exact { stroke: #8c959f; stroke-dasharray: 5 4 }
  .ours { fill: #0969da } .late { fill: #bc4c00 } .other { fill: #8c959f }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } text { fill: #e6edf3 } .soft { fill: #9198a1 }
    .grid { stroke: #2d333b } .exact { stroke: #768390 }
    .ours { fill: #58a6ff } .late { fill: #f0883e } .other { fill: #768390 }
  }
"""


@dataclass(frozen=True)
class Mark:
    """One key: its group, the bytes of a document and nDCG@10."""

    key: str
    group: str
    bytes: float
    ndcg: float


def group_of(key: str) -> str:
    """Whose key it is, and what it stores."""
    if ":" in key:
        return "other"
    return "late" if key.startswith("Pool") else "ours"


def read_marks(text: str) -> list[Mark]:
    """The best setting of each key in the section of COLLECTION."""
    best: dict[str, Mark] = {}
    for row in ROW.finditer(section(text)):
        key = row["key"]
        mark = Mark(key, group_of(key), float(row["bytes"].replace(" ", "")), float(row["ndcg"]))
        if key not in best or mark.ndcg > best[key].ndcg:
            best[key] = mark
    return list(best.values())


def section(text: str) -> str:
    """The part of docs/results.md about COLLECTION."""
    return text.split(f"\n## {COLLECTION}\n")[1].split("\n## ")[0]


def x_of(size: float) -> float:
    """Pixels of a number of bytes: logarithmic."""
    low, high = map(math.log, BYTES)
    return LEFT + (math.log(size) - low) / (high - low) * (RIGHT - LEFT)


def y_of(ndcg: float) -> float:
    """Pixels of a quality."""
    low, high = NDCG
    return BOTTOM - (ndcg - low) / (high - low) * (BOTTOM - TOP)


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """A line of text. anchor: start, middle or end."""
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def dot(x: float, y: float, group: str) -> str:
    """The mark of a group: circle, diamond or square, so that colour is not all that tells them apart."""
    if group == "ours":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="ours"/>'
    if group == "late":
        return f'<path d="M{x:.1f} {y - 6.5:.1f}l6.5 6.5l-6.5 6.5l-6.5 -6.5z" class="late"/>'
    return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" class="other"/>'


def axes() -> list[str]:
    """Grid lines with their numbers, and what the axes are."""
    parts = []
    for ndcg in (0.6, 0.62, 0.64, 0.66, 0.68, 0.7):
        parts.append(line(LEFT, y_of(ndcg), RIGHT, y_of(ndcg), "grid"))
        parts.append(text(LEFT - 8, y_of(ndcg) + 4, f"{ndcg:.2f}", "soft", "end"))
    for size in (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000):
        parts.append(line(x_of(size), TOP, x_of(size), BOTTOM, "grid"))
        parts.append(text(x_of(size), BOTTOM + 17, f"{size:,}".replace(",", " "), "soft", "middle"))
    parts.append(
        text((LEFT + RIGHT) / 2, BOTTOM + 37, "bytes a document, all files of the index", "soft", "middle")
    )
    return [*parts, text(LEFT - 44, TOP - 10, "nDCG@10", "soft")]


def exact_lines(section_text: str) -> list[str]:
    """What search without compression gives."""
    dense, tokens = map(float, EXACT.search(section_text).groups())  # type: ignore[union-attr]
    return [
        line(LEFT, y_of(dense), RIGHT, y_of(dense), "exact"),
        text(RIGHT - 4, y_of(dense) - 6, "uncompressed, one vector", "soft", "end"),
        line(LEFT, y_of(tokens), RIGHT, y_of(tokens), "exact"),
        text(LEFT + 6, y_of(tokens) - 6, "uncompressed, all token vectors (368 kB)", "soft"),
    ]


def legend() -> list[str]:
    """What the marks mean."""
    parts, x = [], LEFT + 140.0
    for group, words in GROUPS:
        parts += [dot(x, TOP - 14, group), text(x + 10, TOP - 10, words)]
        x += 34 + 6.6 * len(words)
    return parts


def marks(found: list[Mark]) -> list[str]:
    """The keys, ours on top."""
    order = {"other": 0, "ours": 1, "late": 2}
    parts = []
    for mark in sorted(found, key=lambda m: order[m.group]):
        x, y = x_of(mark.bytes), y_of(mark.ndcg)
        title = f"<title>{escape(mark.key)}: {mark.bytes:g} bytes, nDCG@10 {mark.ndcg:.4f}</title>"
        parts.append(f"<g>{title}{dot(x, y, mark.group)}</g>")
        if mark.key in LABELS:
            words, dx, dy, anchor = LABELS[mark.key]
            parts.append(text(x + dx, y + dy, words, "soft" if mark.group == "other" else "", anchor))
    return parts


def draw(results: str) -> str:
    """The figure as SVG."""
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" aria-label="Ranking quality against the bytes of a document on SciFact">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" class="page"/>',
        text(18, 26, "SciFact: ranking quality against size", "title"),
        *axes(),
        *exact_lines(section(results)),
        *legend(),
        *marks(read_marks(results)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main() -> int:
    """Write the figure, or check it."""
    drawn = draw(RESULTS.read_text(encoding="utf-8"))
    if "--check" in sys.argv[1:]:
        return int(not FIGURE.is_file() or FIGURE.read_text(encoding="utf-8") != drawn)
    FIGURE.write_text(drawn, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
