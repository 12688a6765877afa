"""Conditions as text: year >= 2020 and lang in ('en', 'de') and not tags contains 'draft'.

    either     = both {"or" both}
    both       = turned {"and" turned}
    turned     = "not" turned | "(" either ")" | comparison
    comparison = NAME ("==" | "=" | "!=" | ">" | ">=" | "<" | "<=" | "prefix" | "contains") VALUE
               | NAME ["not"] "in" LIST | NAME ("any" | "all") LIST
               | NAME "between" VALUE "and" VALUE | NAME "is" ["not"] "null"
    LIST       = "(" [VALUE {"," VALUE}] ")"
    VALUE      = number | 'text' | "text" | true | false      a quote within a text is written twice
    NAME       = a word of letters, digits, _ . -, or anything between backticks

Words of the grammar may be written in capitals.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cluscomp.attributes.expressions import (
    MAX_NODES,
    Expression,
    Scalar,
    comparison,
    logical,
    require_depth,
    shown,
)
from cluscomp.errors import UsageError

SYMBOLS = ("==", "!=", ">=", "<=", "=", ">", "<")
WORDS = frozenset((
    "and", "or", "not", "in", "between", "prefix", "contains", "any", "all", "is", "null", "true", "false",
))  # fmt: skip
NAME = re.compile(r"[^\W\d][\w.-]*")
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<quoted>`(?:[^`]|``)+`)
    | (?P<symbol>==|!=|>=|<=|=|>|<|\(|\)|,)
    | (?P<word>[^\W\d][\w.-]*)""",
    re.VERBOSE,
)
_MOST_DIGITS = 400


@dataclass(frozen=True)
class Token:
    """A piece of the text. kind: number, text, name, symbol, word (of the grammar) or end."""

    kind: str
    value: str
    place: int


def parsed_text(text: str) -> Expression:
    """The tree of a text. Raises UsageError naming the place of the fault."""
    return _Parser(text, tokens(text)).whole()


def tokens(text: str) -> list[Token]:
    """Pieces of a text, the last of which is its end. Raises UsageError."""
    found: list[Token] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            start = text[place : place + 20]
            what = "a quote that is not closed" if start[0] in "'\"`" else shown(start)
            raise UsageError(f"filter: at character {place + 1} stands {what}")
        kind, value = str(match.lastgroup), match.group()
        if kind != "space":
            found.append(_token(kind, value, place))
        place = match.end()
    return [*found, Token("end", "", len(text))]


def _token(kind: str, value: str, place: int) -> Token:
    if kind in ("text", "quoted"):
        quote = value[0]
        return Token("text" if kind == "text" else "name", value[1:-1].replace(quote * 2, quote), place)
    if kind == "word":
        return Token("word", value.lower(), place) if value.lower() in WORDS else Token("name", value, place)
    return Token(kind, value, place)


class _Parser:
    def __init__(self, text: str, found: list[Token]) -> None:
        self.text, self.tokens, self.at, self.nodes = text, found, 0, 0

    def whole(self) -> Expression:
        tree = self._either(1)
        if self._next.kind != "end":
            raise self._fault("and, or, or the end")
        return tree

    def _either(self, depth: int) -> Expression:
        args = [self._both(depth)]
        while self._takes("word", "or"):
            args.append(self._both(depth))
        return args[0] if len(args) == 1 else logical("or", args)

    def _both(self, depth: int) -> Expression:
        args = [self._turned(depth)]
        while self._takes("word", "and"):
            args.append(self._turned(depth))
        return args[0] if len(args) == 1 else logical("and", args)

    def _turned(self, depth: int) -> Expression:
        require_depth(depth)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise UsageError(f"filter: it has more than {MAX_NODES} parts; pass ids or a Mask")
        if self._takes("word", "not"):
            return logical("not", [self._turned(depth + 1)])
        if self._takes("symbol", "("):
            inner = self._either(depth + 1)
            self._needs("symbol", ")", "a closing bracket")
            return inner
        return self._comparison()

    def _comparison(self) -> Expression:
        if self._next.kind != "name":
            raise self._fault("the name of an attribute")
        name = self._take().value
        token = self._take()
        if token.kind == "symbol" and token.value in SYMBOLS:
            return comparison("==" if token.value == "=" else token.value, name, self._value())
        if token.kind == "word" and token.value in ("prefix", "contains"):
            return comparison(token.value, name, self._value())
        if token.kind == "word" and token.value in ("in", "any", "all"):
            return comparison(token.value, name, self._list())
        if token == Token("word", "not", token.place):
            self._needs("word", "in", "in")
            return comparison("not in", name, self._list())
        if token == Token("word", "between", token.place):
            low = self._value()
            self._needs("word", "and", "and")
            return comparison("between", name, [low, self._value()])
        if token == Token("word", "is", token.place):
            turned = self._takes("word", "not")
            self._needs("word", "null", "null")
            tree: Expression = comparison("is null", name, None)
            return logical("not", [tree]) if turned else tree
        self.at -= 1
        raise self._fault(f"a comparison of {name!r}, such as == or in")

    def _list(self) -> list[Scalar]:
        self._needs("symbol", "(", "a list in brackets")
        values: list[Scalar] = []
        if self._takes("symbol", ")"):
            return values
        values.append(self._value())
        while self._takes("symbol", ","):
            values.append(self._value())
        self._needs("symbol", ")", "a comma or a closing bracket")
        return values

    def _value(self) -> Scalar:
        token = self._take()
        if token.kind == "text":
            return token.value
        if token.kind == "number":
            return _number(token)
        if token.kind == "word" and token.value in ("true", "false"):
            return token.value == "true"
        self.at -= 1
        hint = "; texts need quotes" if token.kind == "name" else ""
        hint = "; ask by: is null" if token.value == "null" else hint
        raise self._fault(f"a value{hint}")

    @property
    def _next(self) -> Token:
        return self.tokens[self.at]

    def _take(self) -> Token:
        token = self.tokens[self.at]
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def _takes(self, kind: str, value: str) -> bool:
        if (self._next.kind, self._next.value) != (kind, value):
            return False
        self.at += 1
        return True

    def _needs(self, kind: str, value: str, what: str) -> None:
        if not self._takes(kind, value):
            raise self._fault(what)

    def _fault(self, wanted: str) -> UsageError:
        token = self._next
        found = "the end" if token.kind == "end" else shown(self.text[token.place : token.place + 20])
        return UsageError(f"filter: at character {token.place + 1} {wanted} is needed, but there is {found}")


def _number(token: Token) -> int | float:
    if len(token.value) > _MOST_DIGITS:
        raise UsageError(f"filter: the number at character {token.place + 1} has {len(token.value)} signs")
    try:
        return int(token.value)
    except ValueError:
        return float(token.value)
