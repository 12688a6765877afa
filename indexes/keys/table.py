"""The whole grammar of index keys as a table, made of the forms that are registered."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cluscomp.indexes.keys.forms import STAGES, Form, shown_forms
from cluscomp.indexes.keys.specs import OnDisk

ORDER = "[pool,][transform,...][partition,]codec[,refine]"
"""In which order the parts of a key stand; those in brackets may be missing."""


@dataclass(frozen=True)
class KeyPart:
    """One line of the table. stage: kind of part. form: how it is written, with n, m and d for numbers.
    example: a part of this form. meaning: what it stands for, one sentence without a full stop.
    """

    stage: str
    form: str
    example: str
    meaning: str


def key_parts() -> list[KeyPart]:
    """Every form of every part, in the order in which parts stand in a key."""
    forms = sorted(shown_forms(), key=lambda form: STAGES.index(form.stage))
    return [KeyPart(form.stage, form.shown, form.example, meaning_of(form)) for form in forms]


def key_table(indent: str = "") -> str:
    """The table as text."""
    parts = key_parts()
    width = max(len(part.form) for part in parts) + 2
    lines, stage = [], ""
    for part in parts:
        if part.stage != stage:
            stage = part.stage
            lines.append(f"{indent}{stage}")
        lines.append(f"{indent}    {part.form:<{width}}{part.meaning}")
    return "\n".join(lines)


def meaning_of(form: Form, token: str | None = None) -> str:
    """What a form stands for: what it says itself, or the first sentence about the class of the part.

    token: a part that is written so; None for the example of the form.
    """
    if form.meaning:
        return form.meaning
    spec = form.match(form.example if token is None else token)
    if isinstance(spec, OnDisk):
        return f"the best candidates are scored again by their {spec.codec} codes, which stay on disk"
    if form.stage == "refine":
        return f"the best candidates are scored again by their {spec} codes"
    sentence = first_sentence(type(spec).__doc__)
    return sentence if sentence[1:2].isupper() else sentence[:1].lower() + sentence[1:]


def first_sentence(text: str | None) -> str:
    """The first sentence of a docstring on one line, without its full stop."""
    line = " ".join((text or "").split())
    return re.split(r"\.(?:\s|$)", line, maxsplit=1)[0].replace("`", "")
