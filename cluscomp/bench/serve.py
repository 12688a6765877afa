"""`cluscomp bench serve`: how many searches a second a server answers, beside a bare route over faiss."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from cluscomp.bench.load import Load, closed_loop, open_loop, request_bytes
from cluscomp.errors import UsageError
from cluscomp.progress import Progress, silent

HOST, CONNECTIONS, REQUESTS = "127.0.0.1", 32, 512
FORMS = ("vectors_b64", "vectors")
COLUMNS = (
    "server", "vectors", "load", "offered/s", "served/s", "p50 ms", "p99 ms", "refused", "p99 ms of refusals",
    "failed",
)  # fmt: skip


@dataclass(frozen=True)
class ServeRow:
    """Medians over the rounds. load: "idle", one connection; "peak", 32 of them; "half" and "twice" the peak
    of cluscomp at random moments. refused: answers with 429; failed: all others but 200.
    """

    server: str
    form: str
    load: str
    offered: float | None
    served: float
    p50_ms: float | None
    p99_ms: float | None
    refused: float
    refused_p99_ms: float | None
    failed: int


def bench_serve(
    folder: Path,
    *,
    k: int = 10,
    seconds: float = 4.0,
    rounds: int = 3,
    peers: Sequence[str] = (),
    seed: int = 0,
    progress: Progress = silent,
) -> list[ServeRow]:
    """Measure a server of an index of single vectors, in processes of their own, with this one as the client.

    Queries are stored rows with noise. All servers run at the same time and are asked in turns. peers:
    "faiss", a bare FastAPI route over the same codes. Raises UsageError for another kind of index or peer.
    """
    if set(peers) - {"faiss"}:
        raise UsageError(f"peers are {', '.join(peers)}; the only one of a server is faiss")
    queries = _queries(folder, seed)
    commands = {"cluscomp": ["cluscomp", "serve", f"x={folder}", "--port", "0", "--no-encoder"]}
    if peers:
        commands["faiss route"] = ["cluscomp.bench.faiss_route", str(folder)]
    with _running(commands) as ports:
        bodies = {form: _bodies(queries, k, form) for form in FORMS}
        return _measured(ports, bodies, seconds, rounds, seed, progress)


def _measured(
    ports: dict[str, int],
    bodies: dict[str, list[bytes]],
    seconds: float,
    rounds: int,
    seed: int,
    progress: Progress,
) -> list[ServeRow]:
    rows, steps = [], len(bodies) * (2 * rounds * len(ports) + 2 * rounds)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress("serve", done, steps)

    for form, sent in bodies.items():
        asked = {name: _requests(port, sent) for name, port in ports.items()}
        found: dict[tuple[str, str], list[Load]] = {}
        for _ in range(rounds):
            for name, port in ports.items():
                for load, connections in (("idle", 1), ("peak", CONNECTIONS)):
                    measured = closed_loop(HOST, port, asked[name], connections, seconds)
                    found.setdefault((name, load), []).append(measured)
                    step()
        peak = median(load.served for load in found["cluscomp", "peak"])
        for number in range(rounds):
            for load, share in (("half", 0.5), ("twice", 2.0)):
                port = ports["cluscomp"]
                measured = open_loop(HOST, port, asked["cluscomp"], share * peak, seconds, seed + number)
                found.setdefault(("cluscomp", load), []).append(measured)
                step()
        rows += [_row(name, form, load, loads) for (name, load), loads in found.items()]
    return rows


def _row(name: str, form: str, load: str, loads: list[Load]) -> ServeRow:
    return ServeRow(
        server=name,
        form=form,
        load=load,
        offered=loads[0].offered,
        served=median(one.served for one in loads),
        p50_ms=_middle([one.milliseconds(0.5) for one in loads]),
        p99_ms=_middle([one.milliseconds(0.99) for one in loads]),
        refused=median(one.count(429) for one in loads),
        refused_p99_ms=_middle([one.milliseconds(0.99, 429) for one in loads]),
        failed=sum(n for one in loads for status, n in one.statuses().items() if status not in (200, 429)),
    )


def cells(row: ServeRow) -> list[str]:
    """A row as text, by COLUMNS."""

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.2f}"

    return [
        row.server, row.form, row.load, number(row.offered), number(row.served), number(row.p50_ms),
        number(row.p99_ms), number(row.refused), number(row.refused_p99_ms), str(row.failed),
    ]  # fmt: skip


def _middle(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _queries(folder: Path, seed: int) -> np.ndarray:
    from cluscomp.indexes.index import Index, open_index

    index = open_index(folder)
    if not isinstance(index, Index):
        raise UsageError(f"{folder} does not store single vectors, which this measures: {index.key!r}")
    rng = np.random.default_rng(seed)
    rows = index.vectors(rng.permutation(index.ids)[:REQUESTS].tolist())
    noise = rng.standard_normal(rows.shape).astype(np.float32) * (0.1 * float(rows.std()) + 1e-9)
    return np.ascontiguousarray(rows + noise)


def _bodies(queries: np.ndarray, k: int, form: str) -> list[bytes]:
    if form == "vectors":
        return [json.dumps({"vectors": [row], "k": k}).encode() for row in queries.tolist()]
    shape = [1, queries.shape[1]]
    packed = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in queries]
    return [
        json.dumps({"vectors_b64": {"dtype": "float32", "shape": shape, "data": data}, "k": k}).encode()
        for data in packed
    ]


def _requests(port: int, bodies: list[bytes]) -> list[bytes]:
    return [request_bytes(HOST, port, "/v1/indexes/x/search", body) for body in bodies]


@contextmanager
def _running(commands: dict[str, list[str]]) -> Iterator[dict[str, int]]:
    """Start programs of this package; the port of each stands in the first line of its stderr."""
    started: list[subprocess.Popen[Any]] = []
    try:
        ports = {}
        for name, (module, *arguments) in commands.items():
            command = [sys.executable, "-m", module, *arguments]
            process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            started.append(process)
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.match(r"http://[^:]+:(\d+)", line)
            if found is None:
                raise UsageError(f"{name} did not start: {line}{process.stderr.read()}".strip())
            ports[name] = int(found[1])
        yield ports
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(20)
