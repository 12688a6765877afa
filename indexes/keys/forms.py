"""How the parts of index keys are written: the table of all forms, which the stages fill when they register.

stages/registry.py registers a form together with what it stands for; grammar.py reads keys by the table.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from cluscomp.errors import UsageError
from cluscomp.indexes.keys.pool import POOL_GRAMMAR, WARD, Pool, parse_pool

STAGES = ("pool", "transform", "partition", "codec", "refine")
"""Kinds of parts in the order in which they stand in a key."""
NUMBER = r"([1-9]\d{0,8})"
"""Pattern of a whole number from 1 to 999999999, as one group."""


@dataclass(frozen=True)
class Form:
    """One way to write a part of a key.

    stage: one of STAGES. pattern: regular expression of the whole part. example: a part of this form. build:
    makes the spec of the pattern's groups, as numbers, or as they are written where `texts`. shown: how the
    grammar shows the form; "" for another spelling of one that is shown. rerank: a codec of this form may
    stand in Refine(...) and BiDR(...), if it can score candidates again. meaning: what the form stands for,
    one sentence without a full stop; "" for the first sentence about the class of the part.
    """

    stage: str
    pattern: str
    example: str
    build: Callable[..., object]
    shown: str = ""
    texts: bool = False
    rerank: bool = True
    meaning: str = ""

    def match(self, token: str) -> object | None:
        """The spec of a part, or None where it is not of this form; UsageError for impossible numbers."""
        found = re.fullmatch(self.pattern, token)
        if found is None:
            return None
        groups = found.groups()
        return self.build(*(groups if self.texts else (_number(group) for group in groups)))


def _number(text: str | None) -> int | float | None:
    if not text:
        return None
    return int(text) if text.isdigit() else float(text)


_FORMS: list[Form] = [
    Form(
        "pool",
        rf"Pool{NUMBER}",
        "Pool16",
        Pool,
        "Pooln",
        meaning="token vectors of a document become n at most, fitted to its score, MaxSim",
    ),
    Form(
        "pool",
        rf"Pool{NUMBER}\({WARD}\)",
        f"Pool16({WARD})",
        partial(Pool, method=WARD),
        f"Pooln({WARD})",
        meaning="token vectors of a document are pooled to n at most, unit means of Ward's groups",
    ),
    Form(
        "pool",
        r"Pool\((.*)\)",
        "Pool(f=4)",
        parse_pool,
        "Pool(setting,...)",
        texts=True,
        meaning="one of n=vectors, f=tokens a vector, bytes=codes a document; also method=NAME, protected=n",
    ),
]


def add_form(form: Form) -> None:
    """Make a form known to every later `parse_key`. UsageError where its pattern is taken."""
    if any((known.stage, known.pattern) == (form.stage, form.pattern) for known in _FORMS):
        raise UsageError(f"the form {form.pattern!r} of a {form.stage} is registered already")
    _FORMS.append(form)


def token_form(token: str) -> Form | None:
    """The form of a part of a key, or None where no form fits."""
    return next((form for form in _FORMS if re.fullmatch(form.pattern, token)), None)


def match_token(token: str) -> tuple[str, object] | None:
    """Stage and spec of a part of a key, or None where no form fits."""
    form = token_form(token)
    return None if form is None else (form.stage, form.match(token))


def is_known(token: str, stage: str | None = None) -> bool:
    """Whether a form, of this stage if one is given, is written so."""
    return any(re.fullmatch(form.pattern, token) for form in _FORMS if stage in (None, form.stage))


def shown_forms() -> list[Form]:
    """The forms that the grammar shows, in the order of their registration."""
    return [form for form in _FORMS if form.shown]


def grammar() -> str:
    """All forms in one sentence, for messages."""
    shown = {stage: ", ".join(f.shown for f in _FORMS if f.stage == stage and f.shown) for stage in STAGES}
    return (
        f"a key reads [pool,][transform,...][partition,]codec[,refine]: {POOL_GRAMMAR}; "
        f"transforms {shown['transform']}; partitions {shown['partition']}; codecs {shown['codec']}; "
        f"refine {shown['refine']}; OPQ and PQ without a number stand behind Pool(bytes=n)"
    )


def nearest_token(token: str) -> str:
    """The example nearest in letters to a part that is no known one, with its numbers where they fit."""
    letters = {re.sub(r"\d+$", "", form.example).lower(): form.example for form in _FORMS}
    letters.update({form.example.lower(): form.example for form in _FORMS})
    wanted = token.lower()
    for probe in (wanted, re.sub(r"\d+.*$", "", wanted)):
        close = difflib.get_close_matches(probe, letters, n=1, cutoff=0.5)
        if close:
            return _with_numbers(letters[close[0]], token)
    return "Flat"


def _with_numbers(example: str, token: str) -> str:
    """`example` with its trailing number replaced by the first number in `token`."""
    number = re.search(r"[1-9]\d{0,8}", token)
    candidate = re.sub(r"\d+$", number.group(), example) if number else example
    return candidate if is_known(candidate) else example
