"""The one thread that encodes texts, with the encoders that the served indexes remember."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cluscomp.encoders.remembered import encodes_texts, remembered_encoder, remembered_words
from cluscomp.errors import UsageError
from cluscomp.server.room import Room
from cluscomp.server.searching import Observe, Queries
from cluscomp.server.served import Served
from cluscomp.server.waiting import Awaited, deliver

MOST_AT_ONCE = 4
"""Most texts of different requests that are encoded at the same time: each waits for the others."""


@dataclass(frozen=True)
class _Text:
    """The one text of a request."""

    served: Served
    text: str
    awaited: Awaited


class EncoderThread:
    """Encodes the texts of requests, each request for itself, so that no text's vector depends on others.
    Requests with one text are encoded some at a time, where the encoder can do that.

    queue: most requests that wait. enabled: whether texts are taken at all.
    """

    def __init__(self, *, queue: int, enabled: bool, observe: Observe) -> None:
        self._room, self._enabled, self._observe = Room("texts", queue), enabled, observe
        self._models: dict[str, Any] = {}
        self._texts: deque[_Text] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encode")

    @property
    def enabled(self) -> bool:
        """Whether texts are encoded."""
        return self._enabled

    def takes_texts(self, served: Served) -> bool:
        """Whether texts alone are queries of an index."""
        return self._enabled and encodes_texts(served.index.encoder)

    def load(self, served: Served) -> None:
        """Load the encoder of an index, if it knows one and texts are encoded; blocks.

        Raises EncoderMismatchError, MissingInputError, OptionalDependencyError.
        """
        if self.takes_texts(served):
            self._thread.submit(self._model, served).result()
        elif self._enabled and served.both and (served.index.encoder or {}).get("words"):
            self._thread.submit(self._words, served).result()

    def encoded(self, served: Served, texts: Sequence[str]) -> Queries:
        """As `queries`, however long it takes; blocks."""
        self._require(served)
        work = self._thread.submit(lambda: self._model(served).encode_queries(list(texts)))
        return as_queries(work.result())

    async def queries(self, served: Served, texts: Sequence[str], deadline: float) -> Queries:
        """Encode texts as queries. Raises RequestRefusedError, UsageError (no encoder), InputError."""
        if len(texts) > 1:
            return as_queries(
                await self.call(served, lambda model: model.encode_queries(list(texts)), deadline)
            )
        self._require(served)
        with self._room.entered():
            one = _Text(served, texts[0], Awaited(deadline))
            self._texts.append(one)
            self._thread.submit(self._run_texts)
            found: Queries = await one.awaited.result()
            return found

    async def call(self, served: Served, work: Callable[[Any], Any], deadline: float) -> Any:
        """What `work` makes of the encoder of an index, on the encoder's thread."""
        self._require(served)
        return await self._called(lambda: work(self._model(served)), deadline)

    async def terms(self, served: Served, work: Callable[[Any], Any], deadline: float) -> Any:
        """What `work` makes of the encoder of the terms of a hybrid index, on the encoder's thread."""
        if not self._enabled:
            raise UsageError("the server runs without encoders, so texts make no terms; send terms instead")
        return await self._called(lambda: work(self._words(served)), deadline)

    def close(self) -> None:
        """End the thread after the texts that are being encoded."""
        self._thread.shutdown(cancel_futures=True)

    def _require(self, served: Served) -> None:
        if not self.takes_texts(served):
            why = (
                "the server runs without encoders"
                if not self._enabled
                else "the index knows no encoder of them"
            )
            where = "beside them, or beside terms" if served.both else "instead"
            raise UsageError(f"{why}, so texts cannot be encoded; send vectors {where}")

    async def _called(self, work: Callable[[], Any], deadline: float) -> Any:
        with self._room.entered():
            awaited = Awaited(deadline)
            self._thread.submit(self._run, work, awaited)
            return await awaited.result()

    # ---- the thread ----

    def _run(self, work: Callable[[], Any], awaited: Awaited) -> None:
        if awaited.is_dead():
            return
        begun = time.monotonic()
        try:
            value = work()
        except Exception as exc:  # noqa: BLE001 - the request is told
            value = exc
        self._observe("encode", time.monotonic() - begun)
        deliver([(awaited, value)])

    def _run_texts(self) -> None:
        """Encode the text that waits longest, and with it others for the same encoder."""
        taken = self._taken()
        if taken:
            self._answer_texts(taken)

    def _taken(self) -> list[_Text]:
        taken: list[_Text] = []
        while self._texts and len(taken) < MOST_AT_ONCE:
            one = self._texts[0]
            if taken and not (_name_of(one.served) == _name_of(taken[0].served) and self._encodes_apart(one)):
                break
            self._texts.popleft()
            if not one.awaited.is_dead():
                taken.append(one)
        return taken

    def _encodes_apart(self, one: _Text) -> bool:
        """Whether the encoder, which is loaded by now, encodes texts at the same time and yet each alone."""
        return hasattr(self._models.get(_name_of(one.served)), "encode_queries_apart")

    def _answer_texts(self, taken: list[_Text]) -> None:
        begun = time.monotonic()
        try:
            model, texts = self._model(taken[0].served), [one.text for one in taken]
            encode = model.encode_queries if len(taken) == 1 else model.encode_queries_apart
            queries = as_queries(encode(texts))
            found: list[Any] = [queries.part(number, number + 1) for number in range(len(taken))]
        except Exception as exc:  # noqa: BLE001 - the request that it belongs to is told
            if len(taken) > 1:  # one text's fault is not the others'
                for one in taken:
                    self._answer_texts([one])
                return
            found = [exc]
        self._observe("encode", time.monotonic() - begun)
        deliver([(one.awaited, value) for one, value in zip(taken, found, strict=True)])

    def _model(self, served: Served) -> Any:
        name = _name_of(served)
        if name not in self._models:
            self._models[name] = remembered_encoder(served.index.encoder, None, "send vectors")
        return self._models[name]

    def _words(self, served: Served) -> Any:
        """The encoder of the terms of a hybrid index."""
        info = served.index.encoder
        name = f"words of {_name_of(served)}"
        if name not in self._models:
            self._models[name] = remembered_words(info, "send terms")
        return self._models[name]


def _name_of(served: Served) -> str:
    """What the encoders of indexes are told apart by."""
    info = served.index.encoder
    return str(None if info is None else info.get("fingerprint"))


def as_queries(encoded: Any) -> Queries:
    """Queries of what an encoder returns: vectors, or vectors and lengths."""
    return Queries(*encoded) if isinstance(encoded, tuple) else Queries(encoded)
