"""The one thread that searches: requests that came while it was busy are answered by one search.

Nothing waits for company unless `batch_wait` says so, so an idle server adds nothing. The score of a row does
not depend on what is searched beside it, hence requests may share a search in any way.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.server.conditions import filter_value
from cluscomp.server.served import Served
from cluscomp.server.waiting import Awaited, deliver
from cluscomp.terms import HybridRows, TermRows

Observe = Callable[[str, float], None]
"""Called as observe(what, value): "batch" in queries, "search" and "queue" in seconds, "rows" read."""


@dataclass(frozen=True)
class Queries:
    """Vectors (N, dim) of queries, or their weighted terms, or both (HybridRows); lengths (n,) where each has
    several vectors.
    """

    vectors: Any
    lengths: np.ndarray | None = None

    @property
    def n(self) -> int:
        """Number of queries."""
        return len(self.vectors if self.lengths is None else self.lengths)

    def part(self, start: int, stop: int) -> Queries:
        """Queries start to stop."""
        if self.lengths is None:
            return Queries(self.vectors[start:stop])
        first, last = int(self.lengths[:start].sum()), int(self.lengths[:stop].sum())
        return Queries(self.vectors[first:last], self.lengths[start:stop])


@dataclass(frozen=True)
class Found:
    """scores and ids (n, k) of the queries of one request; how long it waited and was searched, in seconds.

    batch: queries of the search that it was part of. probed, complete: (n,) where the search tells them.
    """

    scores: np.ndarray
    ids: np.ndarray
    batch: int
    queued: float
    searched: float
    probed: np.ndarray | None = None
    complete: np.ndarray | None = None


@dataclass(frozen=True)
class Job:
    """Queries of one request. options: of `search`, as sorted pairs."""

    served: Served
    queries: Queries
    k: int
    options: tuple[tuple[str, Any], ...]
    awaited: Awaited

    @property
    def is_conditional(self) -> bool:
        """Whether only some rows may be found."""
        return any(name in ("filter", "tenant") for name, _ in self.options)

    @property
    def has_info(self) -> bool:
        """Whether the search tells what it read: where that costs little, or the answer depends on it."""
        return self.is_conditional or not (self.served.ragged or self.served.terms)

    def key(self) -> tuple[object, ...]:
        """What jobs of one search share."""
        k = None if self.served.joins_over_k() and not self.is_conditional else self.k
        return id(self.served), self.options, k


class SearchThread:
    """Searches for many requests. batch_max: most queries of one search.

    running: jobs of the search that is under way.
    """

    def __init__(self, *, batch_max: int, batch_wait: float, observe: Observe) -> None:
        self._batch_max, self._batch_wait, self._observe = batch_max, batch_wait, observe
        self._jobs: deque[Job] = deque()
        self._arrived: list[Job] = []
        self._ready = threading.Condition()
        self._ends = False
        self.running = 0
        self._thread = threading.Thread(target=self._run, name="search", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Jobs that wait."""
        return len(self._jobs) + len(self._arrived)

    async def search(
        self, served: Served, queries: Queries, k: int, options: dict[str, Any], deadline: float
    ) -> Found:
        """Hits of a request's queries. Raises RequestRefusedError (too late), and what search raises."""
        job = Job(served, queries, k, tuple(sorted(options.items())), Awaited(deadline))
        if not self._arrived:
            job.awaited.loop.call_soon(self._wake)
        self._arrived.append(job)
        found: Found = await job.awaited.result()
        return found

    def _wake(self) -> None:
        """Hand over what arrived in one turn of the event loop: the thread would begin with the first of them
        and leave the others to the next search.
        """
        with self._ready:
            self._jobs.extend(self._arrived)
            self._arrived.clear()
            self._ready.notify()

    def close(self) -> None:
        """End the thread after the search that runs."""
        with self._ready:
            self._ends = True
            self._ready.notify()
        self._thread.join()

    # ---- the thread ----

    def _run(self) -> None:
        while True:
            with self._ready:
                while not self._jobs and not self._ends:
                    self._ready.wait()
                if self._ends:
                    return
                if self._batch_wait:
                    self._ready.wait_for(lambda: self._ends, self._batch_wait)
                batch = self._take()
            if batch:
                self.running = len(batch)
                self._answer(batch)
                self.running = 0

    def _take(self) -> list[Job]:
        """The first job that somebody waits for, and those that can be searched with it."""
        batch: list[Job] = []
        n, others = 0, []
        while self._jobs and (not batch or n < self._batch_max):
            job = self._jobs.popleft()
            if job.awaited.is_dead():
                continue
            if not batch:
                key = job.key()
            if not batch or (n + job.queries.n <= self._batch_max and job.key() == key):
                batch.append(job)
                n += job.queries.n
            else:
                others.append(job)
        self._jobs.extendleft(reversed(others))
        return batch

    def _answer(self, batch: list[Job]) -> None:
        begun = time.monotonic()
        try:
            settled: list[tuple[Awaited, Any]] = list(self._searched(batch, begun))
        except Exception as exc:  # noqa: BLE001 - the request that it belongs to is told
            if len(batch) > 1:  # one job's fault is not the others'
                for job in batch:
                    self._answer([job])
                return
            settled = [(batch[0].awaited, exc)]
        deliver(settled)

    def _searched(self, batch: list[Job], begun: float) -> Any:
        k = max(job.k for job in batch)
        queries = joined([job.queries for job in batch])
        scores, ids, info = _search(batch[0], queries, k)
        seconds = time.monotonic() - begun
        self._observe("search", seconds)
        self._observe("batch", queries.n)
        self._observe("rows", rows_read(batch[0], queries.n, info))
        start = 0
        for job in batch:
            queued = begun - job.awaited.begun
            self._observe("queue", queued)
            rows = slice(start, start + job.queries.n)
            start += job.queries.n
            facts = (None, None) if info is None else (info.probed[rows], info.complete[rows])
            hits = scores[rows, : job.k], ids[rows, : job.k]
            yield job.awaited, Found(*hits, queries.n, queued, seconds, *facts)


def _search(first: Job, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray, Any]:
    """Scores, ids, and facts of a search with a condition, or None."""
    index: Any = first.served.index
    options = dict(first.options)
    if "filter" in options:
        options["filter"] = filter_value(options["filter"])
    if queries.lengths is not None:
        options["lengths"] = queries.lengths
    if not first.has_info:
        return (*index.search(queries.vectors, k, k_beyond="clip", **options), None)
    found: tuple[np.ndarray, np.ndarray, Any] = index.search(
        queries.vectors, k, k_beyond="clip", return_info=True, **options
    )
    return found


def rows_read(first: Job, n_queries: int, info: Any) -> int:
    """Rows (documents, where each has several vectors) whose codes a search scored, over its queries.

    Documents of several vectors are counted as the candidates that were asked for. Weighted terms are not
    rows: 0.
    """
    if info is not None:
        return int(info.rows_scored.sum())
    if first.served.terms:
        return 0
    index: Any = first.served.index
    if index.spec.partition is None:
        return n_queries * len(index)
    return n_queries * min(len(index), dict(first.options).get("candidates", index.candidates))


def joined(parts: list[Queries]) -> Queries:
    """Queries below each other."""
    if len(parts) == 1:
        return parts[0]
    lengths = [part.lengths for part in parts if part.lengths is not None]
    if isinstance(parts[0].vectors, (TermRows, HybridRows)):
        return Queries(type(parts[0].vectors).joined([part.vectors for part in parts]))
    return Queries(
        np.concatenate([part.vectors for part in parts]), np.concatenate(lengths) if lengths else None
    )
