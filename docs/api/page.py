"""The reference of the public names, docs/api.md, made of their signatures and docstrings.

    python docs/api/page.py [OUTPUT]

tests/packaging/test_api_page.py holds the page to what this prints.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import cluscomp as cc

PAGE = Path(__file__).resolve().parents[1] / "api.md"
INTRODUCTION = """# Public names

Every name of `cluscomp`, from its docstring; `help(cluscomp.index_factory)` shows the same. This page is made
by [api/page.py](api/page.py): change the docstrings, not the page.
"""
GROUPS = {
    "Indexes": [
        "index_factory", "open_index", "Index", "MultiVectorIndex", "SparseIndex", "SeismicIndex",
        "HybridIndex", "HybridRows", "AnyIndex",
        "merge_indexes", "convert_index", "verify_index",
    ],
    "Filters": ["Attributes", "Field", "Mask", "SearchInfo", "parse_filter"],
    "Builds of indexes larger than memory": ["build_index", "plan_build", "plan_scale"],
    "Many machines": ["distributed.build", "distributed.open", "distributed.ShardedIndex"],
    "Clustering": [
        "assign", "KMeans", "train_kmeans", "BalancedKMeans", "balanced_assign", "balance_report",
        "SphericalKMeans", "KMedoids", "HierarchicalKMeans", "balanced_sample", "KMeansTree", "Ward",
        "dissimilarities", "hierarchical_identifiers", "PrefixTree",
    ],
    "Optimal transport": ["sinkhorn", "sinkhorn_points"],
    "Quantization": ["ProductQuantizer", "LearnedCodec"],
    "Several vectors a document": ["pool_tokens", "maxsim", "fde_encode"],
    "Encoders and adapters": ["load_encoder", "merge_adapters"],
    "Threads": ["get_num_threads", "set_num_threads"],
    "Errors and warnings": ["errors"],
}  # fmt: skip
SECTION = re.compile(r"(Args|Attributes|Raises|Warns|Returns):")
ITEM = re.compile(r"    (\*{0,2}\w+(?:, \*{0,2}\w+)*): (.*)")
LINE = 110


def page() -> str:
    """The whole page."""
    names = [name for group in GROUPS.values() for name in group]
    left = set(cc.__all__) - {*names, *cc.errors.__all__, "__version__"}
    if left:
        raise SystemExit(f"no group of {Path(__file__).name} has {', '.join(sorted(left))}")
    return INTRODUCTION + "".join(_group(title, names) for title, names in GROUPS.items())


def _group(title: str, names: list[str]) -> str:
    parts = [_errors() if name == "errors" else _entry(name, attrgetter(name)(cc)) for name in names]
    return f"\n## {title}\n" + "".join(parts)


def _entry(name: str, found: Any) -> str:
    if not hasattr(found, "__name__"):
        return f"\n### {name}\n\n`{found}`\n"
    text = f"\n### {name}\n\n{_signature(name, found)}\n{_markdown(inspect.getdoc(found) or '')}"
    if not inspect.isclass(found):
        return text
    properties = [(key, value) for key, value in _members(found) if isinstance(value, property)]
    if properties:
        text += "\nProperties:\n\n"
        text += "".join(f"- `{key}`: {_prose(inspect.getdoc(value) or '')}\n" for key, value in properties)
    for key, value in _members(found):
        if inspect.isfunction(value):
            text += (
                f"\n#### {name}.{key}\n\n{_signature(key, value)}\n{_markdown(inspect.getdoc(value) or '')}"
            )
    return text


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties in the order in which their classes define them, base classes first."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__[:-1]):
        for key, value in vars(base).items():
            if key[0] != "_" and not getattr(value, "__isabstractmethod__", False):
                found[key] = getattr(value, "__func__", value)
    return iter(found.items())


def _errors() -> str:
    """Errors with their parents: a list with one line each, in the order of their definition."""
    text = "\nIn `cluscomp` and `cluscomp.errors`; in parentheses the classes that they derive from.\n\n"
    for name, kind in vars(cc.errors).items():
        if name in cc.errors.__all__:
            parents = ", ".join(parent.__name__ for parent in kind.__bases__)
            text += f"- `{name}` ({parents}): {_prose(inspect.getdoc(kind) or '')}\n"
    return text


def _signature(name: str, found: Callable[..., Any]) -> str:
    """The signature as code; one parameter a line where it is long."""
    signature = inspect.signature(found)
    pieces, was_star = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not was_star:
            pieces.append("*")
            was_star = True
        if parameter.name not in ("self", "cls"):
            pieces.append(_parameter(parameter))
    returned = signature.return_annotation
    end = "" if inspect.isclass(found) or returned is inspect.Signature.empty else f" -> {returned}"
    line = f"{name}({', '.join(pieces)}){end}"
    if len(line) > LINE:
        line = f"{name}(\n    " + ",\n    ".join(pieces) + f",\n){end}"
    return f"```text\n{line}\n```\n"


def _parameter(parameter: inspect.Parameter) -> str:
    star = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(
        parameter.kind, ""
    )
    text = f"{star}{parameter.name}"
    if parameter.annotation is not inspect.Parameter.empty:
        text += f": {parameter.annotation}"
    return text if parameter.default is inspect.Parameter.empty else f"{text} = {parameter.default!r}"


def _markdown(text: str) -> str:
    """A docstring with Args, Returns and Raises as Markdown; other indented lines are code."""
    out: list[str] = []
    for block in re.split(r"\n{2,}", text):
        heading, _, body = block.partition("\n")
        if SECTION.fullmatch(heading):
            out.append(f"**{heading[:-1]}**\n\n{_items(body)}")
        elif re.match(r"\w+\n    ", block) and not heading.endswith("."):
            out.append(f"```text\n{block}\n```")
        else:
            out.append(_prose(block))
    return "\n\n".join(out) + "\n"


def _items(body: str) -> str:
    items: list[str] = []
    for line in body.split("\n"):
        found = ITEM.fullmatch(line)
        if found:
            items.append(f"- `{found[1]}`: {found[2]}")
        elif items:
            items[-1] += " " + line.strip()
        else:
            return _prose(textwrap.dedent(body))
    return "\n".join(_prose(item) for item in items)


def _prose(text: str) -> str:
    """One paragraph on one line; stars and brackets of formulas are no markup."""
    pieces = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(piece if piece.startswith("`") else re.sub(r"([*<])", r"\\\1", piece) for piece in pieces)


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else PAGE).write_text(page(), encoding="utf-8")
