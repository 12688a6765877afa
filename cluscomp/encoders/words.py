"""The words of texts, for BM25: an encoder without a model, so that an index can say how texts were split."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluscomp.checks import one_of
from cluscomp.encoders.base import EncoderInfo, check_texts
from cluscomp.errors import UsageError
from cluscomp.progress import Progress
from cluscomp.terms import STOP_WORDS, TermRows, split_words
from cluscomp.terms.words import FORM, PATTERN

WORDS = "words"
STOP = "english33"
_BLOCK = 1024
_NAME = re.compile(r"words(?:\(stop=(\w+)\))?")


@dataclass(frozen=True)
class WordInfo(EncoderInfo):
    """How texts are split. form: of Unicode, after which letters become small. pattern: regular expression of
    a word. stop_words: name of the list of words that are left out.
    """

    form: str = FORM
    pattern: str = PATTERN
    stop_words: str = STOP


class WordEncoder:
    """Counts of words. name: "words", or "words(stop=NAME)" with another list of stop words."""

    def __init__(self, name: str = WORDS) -> None:
        found = _NAME.fullmatch(name)
        if found is None:
            raise UsageError(f"encoder {name!r} splits no texts; write 'words' or 'words(stop=none)'")
        stop = one_of("stop", found[1] or STOP, STOP_WORDS)
        self._stop_words = STOP_WORDS[stop]
        self._info = _info(WORDS if stop == STOP else f"words(stop={stop})", stop)

    @property
    def info(self) -> WordInfo:
        """Identity of this encoder; kind is "words"."""
        return self._info

    def encode_documents(self, texts: Sequence[str], progress: Progress | None = None) -> TermRows:
        """Words of texts and how often each occurs. Raises UsageError, DTypeError, InputError."""
        checked = check_texts(texts)
        split = []
        for start in range(0, len(checked), _BLOCK):
            split += [split_words(text, self._stop_words) for text in checked[start : start + _BLOCK]]
            if progress is not None:
                progress("encode", len(split), len(checked))
        return TermRows.from_words(split)

    def encode_queries(self, texts: Sequence[str], progress: Progress | None = None) -> TermRows:
        """The same for queries."""
        return self.encode_documents(texts, progress)


def word_encoder(info: Mapping[str, Any]) -> WordEncoder:
    """The encoder of a description; UsageError where it is one of another kind."""
    if info.get("kind") != "words":
        raise UsageError(
            f"the terms of the index were made by {info.get('name')!r}, which splits no texts into words; "
            "pass what its encoder gives for them"
        )
    return WordEncoder(str(info["name"]))


def _info(name: str, stop: str) -> WordInfo:
    settings = {"form": FORM, "pattern": PATTERN, "stop_words": sorted(STOP_WORDS[stop])}
    text = json.dumps(settings, sort_keys=True)
    return WordInfo(
        name=name,
        kind="words",
        dim=1,
        normalize=False,
        query_prompt="",
        document_prompt="",
        max_seq_length=None,
        fingerprint=hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest(),
        stop_words=stop,
    )
