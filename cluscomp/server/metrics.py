"""What the server counts, in the text form of Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cluscomp.errors import require

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        client = require("prometheus_client", extra="serve", why="the metrics of `cluscomp serve`")
        self._client, self._registry = client, client.CollectorRegistry()
        own = {"namespace": "cluscomp", "registry": self._registry}
        self._requests = client.Counter("requests", "Requests answered.", ["route", "status"], **own)
        self._seconds = client.Histogram(
            "request_seconds", "Seconds of a request.", ["route"], buckets=SECONDS, **own
        )
        self._counters: dict[tuple[str, int], tuple[Any, Any]] = {}  # labels are slow to look up
        self._observed = {
            "queue": client.Histogram(
                "queue_seconds", "Seconds that a search waited.", buckets=SECONDS, **own
            ),
            "search": client.Histogram("search_seconds", "Seconds of a search.", buckets=SECONDS, **own),
            "encode": client.Histogram(
                "encode_seconds", "Seconds of encoding a request's texts.", buckets=SECONDS, **own
            ),
            "batch": client.Histogram("batch_size", "Queries of a search.", buckets=BATCHES, **own),
        }
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
        """Count an answered request."""
        counters = self._counters.get((route, status))
        if counters is None:
            counters = self._requests.labels(route, str(status)), self._seconds.labels(route)
            self._counters[route, status] = counters
        counters[0].inc()
        counters[1].observe(seconds)

    def observe(self, what: str, value: float) -> None:
        """Count a search, an encoding or a wait; `searching.Observe`."""
        if what == "rows":
            self._rows.inc(value)
        else:
            self._observed[what].observe(value)

    def state(self, index: str, generation: int, failed: bool) -> None:
        """Tell the generation of an index, and whether a newer one cannot be opened."""
        self._generation.labels(index).set(generation)
        self._failed.labels(index).set(int(failed))

    def text(self) -> tuple[bytes, str]:
        """All counters, and their media type."""
        return self._client.generate_latest(self._registry), self._client.CONTENT_TYPE_LATEST
