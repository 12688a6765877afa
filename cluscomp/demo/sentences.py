"""What a definition says: its first sentence, which can be a query, and the text without it."""

from __future__ import annotations

import re

from cluscomp.demo.definitions import Entry

MIN_QUERY_WORDS = 4
MAX_QUERY_CHARACTERS = 200

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`'\"(])|\n\s*\n")
_SIGNATURE_LINE = re.compile(r"^[\w.]+\([^)]*\)\s*(->.*)?$")


def split_docstring(docstring: str) -> tuple[str, str]:
    """(first sentence on one line, all after it). A first line that only repeats the signature is dropped."""
    lines = docstring.strip().splitlines()
    if lines and _SIGNATURE_LINE.match(lines[0].strip()):
        lines = lines[1:]
    text = "\n".join(lines).strip()
    end = _SENTENCE_END.search(text)
    if end is None:
        return " ".join(text.split()), ""
    return " ".join(text[: end.start()].split()), text[end.end() :]


def as_query(sentence: str, text: str) -> str:
    """The sentence, or "" where it is too short or too long to be asked, or the text holds it."""
    enough = len(re.findall(r"[A-Za-z]{2,}", sentence)) >= MIN_QUERY_WORDS
    short = len(sentence) <= MAX_QUERY_CHARACTERS
    return sentence if enough and short and sentence.casefold() not in text.casefold() else ""


def own_name(entry: Entry) -> str:
    """The last part of the dotted name."""
    return entry.name.rpartition(".")[2]


def one_line(text: str, length: int) -> str:
    """The text with single spaces, at most `length` characters of it, ending with a whole word."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length + 1].rsplit(" ", 1)[0][:length]
