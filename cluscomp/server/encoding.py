"""The one thread that encodes texts, with the encoders that the served indexes remember."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cluscomp.encoders.remembered import remembered_encoder
from cluscomp.errors import UsageError
from cluscomp.server.room import Room
from cluscomp.server.searching import Observe, Queries
from cluscomp.server.served import Served
from cluscomp.server.waiting import Awaited, deliver


class EncoderThread:
    """Encodes the texts of requests, one request after the other, so that no text's vector depends on others.

    queue: most requests that wait. enabled: whether texts are taken at all.
    """

    def __init__(self, *, queue: int, enabled: bool, observe: Observe) -> None:
        self._room, self._enabled, self._observe = Room("texts", queue), enabled, observe
        self._models: dict[str, Any] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encode")

    @property
    def enabled(self) -> bool:
        """Whether texts are encoded."""
        return self._enabled

    def load(self, served: Served) -> None:
        """Load the encoder of an index, if it knows one and texts are encoded; blocks.

        Raises EncoderMismatchError, MissingInputError, OptionalDependencyError.
        """
        if self._enabled and served.index.encoder is not None:
            self._thread.submit(self._model, served).result()

    def encoded(self, served: Served, texts: Sequence[str]) -> Queries:
        """As `queries`, however long it takes; blocks."""
        self._require(served)
        work = self._thread.submit(lambda: self._model(served).encode_queries(list(texts)))
        return as_queries(work.result())

    async def queries(self, served: Served, texts: Sequence[str], deadline: float) -> Queries:
        """Encode texts as queries. Raises RequestRefusedError, UsageError (no encoder), InputError."""
        encoded = await self.call(served, lambda model: model.encode_queries(list(texts)), deadline)
        return as_queries(encoded)

    async def call(self, served: Served, work: Callable[[Any], Any], deadline: float) -> Any:
        """What `work` makes of the encoder of an index, on the encoder's thread."""
        self._require(served)
        with self._room.entered():
            awaited = Awaited(deadline)
            self._thread.submit(self._run, served, work, awaited)
            return await awaited.result()

    def close(self) -> None:
        """End the thread after the texts that are being encoded."""
        self._thread.shutdown(cancel_futures=True)

    def _require(self, served: Served) -> None:
        if not self._enabled or served.index.encoder is None:
            why = "the server runs without encoders" if not self._enabled else "the index knows no encoder"
            raise UsageError(f"{why}, so texts cannot be encoded; send vectors instead")

    # ---- the thread ----

    def _run(self, served: Served, work: Callable[[Any], Any], awaited: Awaited) -> None:
        if awaited.is_dead():
            return
        begun = time.monotonic()
        try:
            value = work(self._model(served))
        except Exception as exc:  # noqa: BLE001 - the request is told
            value = exc
        self._observe("encode", time.monotonic() - begun)
        deliver([(awaited, value)])

    def _model(self, served: Served) -> Any:
        info = served.index.encoder
        name = str(None if info is None else info.get("fingerprint"))
        if name not in self._models:
            self._models[name] = remembered_encoder(info, None, "send vectors")
        return self._models[name]


def as_queries(encoded: Any) -> Queries:
    """Queries of what an encoder returns: vectors, or vectors and lengths."""
    return Queries(*encoded) if isinstance(encoded, tuple) else Queries(encoded)
