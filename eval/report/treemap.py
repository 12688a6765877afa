"""A treemap of the lists of an index: one HTML file with a static drawing, larger lists in larger cells.

Cells are squarified (Bruls, Huizing and van Wijk, 2000), and lists that are alike stand together, as in
DendroMap (arXiv 2205.06935).
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from cluscomp import checks
from cluscomp.errors import EmptyInputError, UsageError
from cluscomp.eval.report.list_tree import ListTree, list_tree
from cluscomp.files import atomic_file

if TYPE_CHECKING:
    from cluscomp.indexes.any_index import AnyIndex

WIDTH, HEIGHT = 1080.0, 720.0
GROUPS = 16
_LOOSE, _TIGHT = (0xFF, 0xF4, 0xD6), (0x9F, 0xD3, 0xC7)
_LINE, _LETTER, _EDGE = 15.0, 7.0, 2.0
_LEAST = 1e-12  # what rounding leaves of a side when the last row is placed


def squarify(
    areas: Sequence[float] | np.ndarray, x: float, y: float, width: float, height: float
) -> np.ndarray:
    """Divide a rectangle among areas, so that each part is near to a square.

    Parts stand in rows along the shorter side of what is left. A row takes the next part as long as its worst
    ratio of sides does not grow.

    Args:
        areas: (n,) above 0, descending; their sum takes the whole rectangle.
        x: left side of the rectangle.
        y: upper side of the rectangle.
        width: of the rectangle, above 0.
        height: of the rectangle, above 0.

    Returns:
        (n, 4) float64: x, y, width and height of each part.

    Raises:
        UsageError: an area or a side is not above 0, or areas do not descend.
    """
    found = np.asarray(areas, dtype=np.float64)
    if not (found > 0).all() or (np.diff(found) > 0).any() or not (width > 0 and height > 0):
        raise UsageError("areas must descend, and they and the sides of the rectangle must be above 0")
    found = found * (width * height / found.sum()) if found.size else found
    parts, start = np.empty((len(found), 4)), 0
    while start < len(found):
        side = min(width, height)
        stop = _end_of_row(found, start, side)
        row = found[start:stop]
        thickness = float(row.sum()) / side
        along = row / thickness
        before, same = np.cumsum(along) - along, np.ones_like(row)
        if width >= height:
            columns = (x * same, y + before, thickness * same, along)
            x, width = x + thickness, max(width - thickness, _LEAST)
        else:
            columns = (x + before, y * same, along, thickness * same)
            y, height = y + thickness, max(height - thickness, _LEAST)
        parts[start:stop] = np.stack(columns, axis=1)
        start = stop
    return parts


def _end_of_row(areas: np.ndarray, start: int, side: float) -> int:
    total, largest, stop, worst = 0.0, float(areas[start]), start, np.inf
    while stop < len(areas):
        total += float(areas[stop])
        ratio = max(side * side * largest / total**2, total**2 / (side * side * float(areas[stop])))
        if ratio > worst * (1 + 1e-12):
            break
        worst, stop = ratio, stop + 1
    return stop


def groups_of(tree: ListTree, most: int) -> list[list[int]]:
    """Lists of a tree, by place, in `most` groups: its highest merges undone. Larger groups, and larger lists
    in them, come first.
    """
    n = len(tree.numbers)
    members = {place: [place] for place in range(n)}
    for number, (left, right) in enumerate(tree.merges[: max(0, n - most)].tolist()):
        members[n + number] = members.pop(left) + members.pop(right)
    groups = [sorted(group, key=lambda place: (-tree.rows[place], place)) for group in members.values()]
    return sorted(groups, key=lambda group: (-sum(tree.rows[place] for place in group), group))


def write_treemap(index: AnyIndex, path: str | Path, *, title: str = "Lists") -> Path:
    """Write the treemap of the lists of an index; the file appears complete or not at all.

    Titles of documents are those that the index stores; without any, ids stand there. Of an index of tenants
    only sizes are drawn, without documents.

    Args:
        index: an index with lists.
        path: of the HTML file.
        title: of the page.

    Returns:
        The path.

    Raises:
        UsageError: the key has no lists.
        EmptyInputError: the index has no row.
        TooLargeError: more than 4096 lists.
    """
    path = checks.path("path", path)
    whose = {} if index.attribute_schema.tenant is None else {"tenant": None}
    tree = list_tree(index, **whose)
    names = [name for group in tree.medoids for name in group] if not whose else []
    text = render_treemap(tree, titles_of(index, names), title=title)
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))
    return path


def titles_of(index: AnyIndex, names: Sequence[str], **whose: Any) -> dict[str, str]:
    """What a reader calls documents: id -> title, else the beginning of the text, else the id."""
    from cluscomp.inputs.ids import ids_of_kind

    known: dict[str, str] = {}
    wanted = ids_of_kind(list(dict.fromkeys(names)), index.id_kind)
    for record in index.get(wanted, vectors=False, missing="ignore", **whose) if wanted else ():
        shown = (record.title or "").strip() or (record.text or "").strip()[:120] or str(record.id)
        known[str(record.id)] = shown
    return known


def render_treemap(tree: ListTree, titles: Mapping[str, str], *, title: str = "Lists") -> str:
    """The HTML text of `write_treemap`. titles: id -> title; documents that are not there are not shown."""
    if not len(tree.numbers):
        raise EmptyInputError("the index has no row, so there is nothing to draw")
    groups = groups_of(tree, GROUPS)
    sizes = [float(sum(tree.rows[place] for place in group)) for group in groups]
    cells = []
    for group, part in zip(groups, squarify(sizes, 0, 0, WIDTH, HEIGHT).tolist(), strict=True):
        inside = squarify(tree.rows[group], *_inner(*part))
        cells += [_cell(tree, *one, titles) for one in zip(group, inside.tolist(), strict=True)]
    here = files("cluscomp.eval.report")
    return Template(here.joinpath("treemap.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        style=here.joinpath("page.css").read_text(encoding="utf-8"),
        lists=len(tree.numbers),
        rows=f"{int(tree.rows.sum()):,}",
        groups=len(groups),
        width=f"{WIDTH:g}",
        height=f"{HEIGHT:g}",
        loose=_hex(_LOOSE),
        tight=_hex(_TIGHT),
        least=f"{tree.cohesion.min():.2f}",
        most=f"{tree.cohesion.max():.2f}",
        cells="\n".join(cells),
    )


def _inner(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    edge = min(_EDGE, width / 4, height / 4)
    return x + edge, y + edge, width - 2 * edge, height - 2 * edge


def _cell(tree: ListTree, place: int, part: Sequence[float], titles: Mapping[str, str]) -> str:
    x, y, width, height = part
    shown = [titles[name] for name in tree.medoids[place] if name in titles]
    head = f"{int(tree.rows[place]):,}"
    about = f"List {tree.numbers[place]}: {head} rows, mean cosine {tree.cohesion[place]:.3f}"
    tip = html.escape("\n".join([about, *shown]))
    room, space = int((width - 8) // _LETTER), int((height - 3) // _LINE)
    lines = [head, *_wrapped(shown, room, space - 1)] if room > 3 else []
    texts = "".join(
        f'<text x="5" y="{_LINE * (number + 1):g}"{_HEAD if number == 0 else ""}>{html.escape(line)}</text>'
        for number, line in enumerate(lines[:space])
    )
    return (
        f'<svg x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"><title>{tip}</title>'
        f'<rect width="100%" height="100%" fill="{_colour(tree, place)}"/>{texts}</svg>'
    )


_HEAD = ' font-weight="700"'


def _wrapped(titles: Sequence[str], room: int, space: int) -> list[str]:
    """Lines of at most `room` letters, as many of each title as `space` lines let all have."""
    lines = []
    for title in titles:
        most = max(1, space // len(titles))
        lines += textwrap.wrap(title, room, max_lines=most, placeholder="\u2026", break_on_hyphens=False)
    return lines


def _colour(tree: ListTree, place: int) -> str:
    """From loose to tight, by the mean cosine among those of all lists."""
    low, high = float(tree.cohesion.min()), float(tree.cohesion.max())
    share = (float(tree.cohesion[place]) - low) / (high - low) if high > low else 1.0
    return _hex([a + share * (b - a) for a, b in zip(_LOOSE, _TIGHT, strict=True)])


def _hex(colour: Sequence[float]) -> str:
    return "#" + "".join(f"{round(part):02x}" for part in colour)
