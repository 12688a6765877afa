"""The pages that users read, taken apart: prose, links, headings as GitHub names them, and code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^(?:```|~~~)")
HEADING = re.compile(r"^#{1,6} +(.*?) *#*$")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^()\s>]+)>?(?: +\"[^\"]*\")?\)")
TAG = re.compile(r"<(?:img|source|a)\b[^>]*?\b(?:src|srcset|href)=\"([^\"]+)\"")
SPAN = re.compile(r"(`+)(.+?)\1")
TESTED = re.compile(r"<!-- tested -->\s*```(python|sh)\n(.*?)```", re.DOTALL)
RUN_SHELL = "import subprocess\nsubprocess.run({!r}, shell=True, check=True)\n"
PROGRAMS = ("cluscomp", "build-index")


@dataclass(frozen=True)
class Line:
    """One line of a page. number: from 1. is_code: in a fenced or indented block."""

    number: int
    text: str
    is_code: bool


def page_files(root: Path) -> list[Path]:
    """README, CONTRIBUTING, CHANGELOG, SECURITY and all of docs/."""
    tops = [root / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY")]
    return [*tops, *sorted((root / "docs").rglob("*.md"))]


def lines_of(text: str) -> Iterator[Line]:
    """Lines of a page, without the fences themselves."""
    in_fence, before_is_blank, in_block = False, True, False
    for number, line in enumerate(text.splitlines(), 1):
        if FENCE.match(line.lstrip()):
            in_fence, in_block = not in_fence, False
            continue
        in_block = not in_fence and line.startswith("    ") and (before_is_blank or in_block)
        yield Line(number, line, in_fence or in_block)
        before_is_blank = not line.strip()


def prose(text: str) -> str:
    """The page without code blocks and code spans."""
    return SPAN.sub("`code`", "\n".join("" if line.is_code else line.text for line in lines_of(text)))


def links(text: str) -> list[str]:
    """Targets of links and images, as written."""
    shown = prose(text)
    return LINK.findall(shown) + TAG.findall(shown)


def anchors(text: str) -> set[str]:
    """Names of the headings: what may stand behind # in a link (GitHub's rule)."""
    found: dict[str, int] = {}
    names = set()
    for line in lines_of(text):
        heading = None if line.is_code else HEADING.match(line.text)
        if heading is None:
            continue
        name = slug(heading[1])
        names.add(f"{name}-{found[name]}" if name in found else name)
        found[name] = found.get(name, 0) + 1
    return names


def slug(heading: str) -> str:
    """Lower case, no punctuation but - and _, blanks as -."""
    plain = LINK.sub(lambda link: re.match(r"!?\[(.*?)\]\(", link[0])[1], heading).replace("`", "")  # type: ignore[index]
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def python_examples(text: str) -> list[str]:
    """Python blocks that follow a line `<!-- tested -->`."""
    return [block for language, block in TESTED.findall(text) if language == "python"]


def python_blocks(text: str) -> list[str]:
    """All fenced Python blocks, tested or not."""
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def page_script(text: str) -> str:
    """All tested blocks of a page, one after the other, as one Python script; shell blocks call the shell."""
    blocks = TESTED.findall(text)
    return "\n".join(
        block if language == "python" else RUN_SHELL.format(f"set -e\n{block}") for language, block in blocks
    )


def commands(text: str) -> Iterator[tuple[int, list[str]]]:
    """(line, words) of each command of ours in a code block; lines that end in a backslash are joined."""
    joined, begin = "", 0
    for line in lines_of(text):
        if not line.is_code:
            continue
        begin = begin if joined else line.number
        joined += line.text.strip()
        if joined.endswith("\\"):
            joined = joined[:-1]
            continue
        words, joined = joined, ""
        if is_command(words):
            yield begin, shlex.split(words, comments=True)


def span_commands(text: str) -> Iterator[list[str]]:
    """Words of each code span of the prose that begins with one of our programs."""
    shown = "\n".join("" if line.is_code else line.text for line in lines_of(text))
    for _, span in SPAN.findall(shown.replace("\n", " ")):
        if is_command(span):
            yield shlex.split(span)


def is_command(text: str) -> bool:
    """Whether a line calls one of our programs, by itself or through torchrun."""
    return text.removeprefix("$ ").split(" ")[0] in PROGRAMS or " -m cluscomp " in text
