"""What the server counts, in the text form of Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cluscomp.errors import require

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_HISTOGRAMS = {
    "queue": ("queue_seconds", "Seconds that a search waited.", SECONDS),
    "search": ("search_seconds", "Seconds of a search.", SECONDS),
    "encode": ("encode_seconds", "Seconds of encoding a request's texts.", SECONDS),
    "batch": ("batch_size", "Queries of a search.", BATCHES),
}


class Tally:
    """A histogram that one thread adds to, without the locks of the client library, which take longer than
    the rest. bounds: of its buckets, which a value at the bound belongs to.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds, self._counts, self._sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def sample(self) -> tuple[list[tuple[str, float]], float]:
        """Bounds with the number of values up to each, and the sum of all values."""
        total, buckets = 0, []
        for bound, count in zip([*map(float, self._bounds), "+Inf"], list(self._counts), strict=True):
            total += count
            buckets.append((str(bound), float(total)))
        return buckets, self._sum


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        client = require("prometheus_client", extra="serve", why="the metrics of `cluscomp serve`")
        self._client, self._registry = client, client.CollectorRegistry()
        own = {"namespace": "cluscomp", "registry": self._registry}
        self._requests: dict[tuple[str, int], int] = {}
        self._seconds: dict[str, Tally] = {}
        self._observed = {name: Tally(bounds) for name, (_, _, bounds) in _HISTOGRAMS.items()}
        self._registry.register(self)
        self._rows = client.Counter("rows_read", "Rows whose codes were scored.", **own)
        self._generation = client.Gauge("generation", "Generation that is served.", ["index"], **own)
        self._failed = client.Gauge(
            "refresh_failed", "1 while a newer state cannot be opened.", ["index"], **own
        )
        self._open = client.Gauge("open_indexes", "Indexes that are open.", **own)
        self._depth = client.Gauge("queue_depth", "Searches that wait.", **own)

    def watch(self, depth: Callable[[], int], n_open: Callable[[], int]) -> None:
        """Ask these functions whenever the counters are read."""
        self._depth.set_function(depth)
        self._open.set_function(n_open)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request; for the event loop."""
        known = self._requests.get((route, status))
        if known is None:
            self._seconds.setdefault(route, Tally(SECONDS))
        self._requests[route, status] = (known or 0) + 1
        self._seconds[route].add(seconds)

    def observe(self, what: str, value: float) -> None:
        """Count a search, an encoding or a wait; `searching.Observe`. One thread for each."""
        if what == "rows":
            self._rows.inc(value)
        else:
            self._observed[what].add(value)

    def state(self, index: str, generation: int, failed: bool) -> None:
        """Tell the generation of an index, and whether a newer one cannot be opened."""
        self._generation.labels(index).set(generation)
        self._failed.labels(index).set(int(failed))

    def text(self) -> tuple[bytes, str]:
        """All counters, and their media type."""
        return self._client.generate_latest(self._registry), self._client.CONTENT_TYPE_LATEST

    def collect(self) -> Iterator[Any]:
        """What was added up here, as the client library asks for it."""
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        counted = CounterMetricFamily("cluscomp_requests", "Requests answered.", labels=["route", "status"])
        for (route, status), number in list(self._requests.items()):
            counted.add_metric([route, str(status)], number)
        yield counted
        took = HistogramMetricFamily("cluscomp_request_seconds", "Seconds of a request.", labels=["route"])
        for route, tally in list(self._seconds.items()):
            took.add_metric([route], *tally.sample())
        yield took
        for name, tally in self._observed.items():
            yield HistogramMetricFamily(
                f"cluscomp_{_HISTOGRAMS[name][0]}", _HISTOGRAMS[name][1], *tally.sample()
            )
