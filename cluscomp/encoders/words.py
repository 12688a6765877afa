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
from cluscomp.terms import STEMS, STOP_WORDS, TermRows, split_words
from cluscomp.terms.words import FORM, PATTERN

WORDS = "words"
STOP, STEM = "english33", "none"
STEMMED_WORDS = "words(stem=porter)"
"""Name of the encoder of words that hybrid indexes have unless told otherwise."""
_BLOCK = 1024
_SETTINGS = {"stop": (STOP, STOP_WORDS), "stem": (STEM, STEMS)}
_NAME = re.compile(r"words(?:\(((?:stop|stem)=\w+(?:,(?:stop|stem)=\w+)*)\))?")


@dataclass(frozen=True)
class WordInfo(EncoderInfo):
    """How texts are split. form: of Unicode, after which letters become small. pattern: regular expression of
    a word. stop_words: name of the list of words that are left out. stem: "porter" where words lose their
    endings, or "none".
    """

    form: str = FORM
    pattern: str = PATTERN
    stop_words: str = STOP
    stem: str = STEM


class WordEncoder:
    """Counts of words. name: "words", or with settings, such as "words(stop=none,stem=porter)": another list
    of stop words, and stems instead of words.
    """

    def __init__(self, name: str = WORDS) -> None:
        self._info = _info(**_settings(name))
        self._stop_words, self._stem = STOP_WORDS[self._info.stop_words], STEMS[self._info.stem]

    @property
    def info(self) -> WordInfo:
        """Identity of this encoder; kind is "words"."""
        return self._info

    def encode_documents(self, texts: Sequence[str], progress: Progress | None = None) -> TermRows:
        """Words of texts and how often each occurs. Raises UsageError, DTypeError, InputError."""
        checked = check_texts(texts)
        split = []
        for start in range(0, len(checked), _BLOCK):
            words = [split_words(text, self._stop_words) for text in checked[start : start + _BLOCK]]
            split += words if self._stem is None else [[self._stem(word) for word in some] for some in words]
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


def _settings(name: str) -> dict[str, str]:
    """Stop words and stem of a name. Raises UsageError, UnknownKeyError."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise UsageError(
            f"encoder {name!r} splits no texts; write 'words', 'words(stop=none)' or 'words(stem=porter)'"
        )
    given = dict(part.split("=") for part in found[1].split(",")) if found[1] else {}
    return {
        setting: one_of(setting, given.get(setting, usual), known)
        for setting, (usual, known) in _SETTINGS.items()
    }


def _info(stop: str, stem: str) -> WordInfo:
    settings = {"form": FORM, "pattern": PATTERN, "stop_words": sorted(STOP_WORDS[stop])}
    settings |= {} if stem == STEM else {"stem": stem}
    unusual = [f"stop={stop}"] * (stop != STOP) + [f"stem={stem}"] * (stem != STEM)
    text = json.dumps(settings, sort_keys=True)
    return WordInfo(
        name=f"{WORDS}({','.join(unusual)})" if unusual else WORDS,
        kind="words",
        dim=1,
        normalize=False,
        query_prompt="",
        document_prompt="",
        max_seq_length=None,
        fingerprint=hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest(),
        stop_words=stop,
        stem=stem,
    )
