"""`cluscomp bench serve`: how many searches a second a server answers, beside a bare route over faiss."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from cluscomp.bench.load import Load, closed_loop, open_loop, request_bytes
from cluscomp.errors import UsageError
from cluscomp.process import raise_open_files
from cluscomp.progress import Progress, silent

HOST, CONNECTIONS, MANY, REQUESTS = "127.0.0.1", 32, 128, 512
FORMS, TEXT = ("vectors_b64", "vectors"), "text"
COLUMNS = (
    "server", "queries", "load", "offered/s", "served/s", "p50 ms", "p99 ms", "refused", "p99 ms of refusals",
    "failed", "p99 ms late", "processor us",
)  # fmt: skip
NEAR, MORE = 0.9, 1.5
"""Share of its peak at which a peer is asked at random moments, and how many times that rate we are."""


@dataclass(frozen=True)
class ServeRow:
    """Medians over the rounds. load: "idle", one connection; "peak", 32 of them; "many", 128 of them; "half"
    and "twice" the larger rate of these two at random moments, of cluscomp; "near", a peer at .9 of its own
    peak at random moments, and cluscomp at 1.5 times that rate. refused: answers with 429; failed: all others
    but 200. late_p99_ms: how late the client sent a request that arrived, which the times of answers contain:
    where this is most of them, they tell of the client. processor_us: processor time of the server for each
    answer, on all its threads.
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
    late_p99_ms: float | None
    processor_us: float | None


@dataclass(frozen=True)
class Program:
    """A server that runs. pid: its process."""

    port: int
    pid: int

    def processor_seconds(self) -> float:
        """Processor time of the process so far, on all threads; 0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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

    Queries are stored rows with noise; where the index remembers an encoder and stores texts, titles are
    searched for, too. All servers run at the same time and are asked in turns. peers: "faiss", a bare FastAPI
    route over the same codes. Raises UsageError for another kind of index or peer.
    """
    if set(peers) - {"faiss"}:
        raise UsageError(f"peers are {', '.join(peers)}; the only one of a server is faiss")
    bodies = _all_bodies(folder, k, seed)
    encodes = "--encoder" if TEXT in bodies else "--no-encoder"
    commands = {"cluscomp": ["cluscomp", "serve", f"x={folder}", "--port", "0", encodes]}
    if peers:
        commands["faiss route"] = ["cluscomp.bench.faiss_route", str(folder)]
    raise_open_files()
    with _running(commands) as programs:
        rows: list[ServeRow] = []
        for number, (form, sent) in enumerate(bodies.items()):
            asked = {"cluscomp": programs["cluscomp"]} if form == TEXT else programs
            rows += _Form(form, asked, sent, seconds, seed).measured(rounds)
            progress("serve", number + 1, len(bodies))
        return rows


class _Form:
    """Measurements with queries of one form."""

    def __init__(
        self, form: str, programs: dict[str, Program], bodies: list[bytes], seconds: float, seed: int
    ) -> None:
        self._form, self._programs, self._seconds, self._seed = form, programs, seconds, seed
        self._requests = {name: _requests(program.port, bodies) for name, program in programs.items()}
        self._found: dict[tuple[str, str], list[tuple[Load, float]]] = {}

    def measured(self, rounds: int) -> list[ServeRow]:
        """All loads in turns, those at random moments after the peaks are known."""
        for _ in range(rounds):
            for name in self._programs:
                self._closed(name, "idle", 1)
                self._closed(name, "peak", CONNECTIONS)
            self._closed("cluscomp", "many", MANY)
        peaks = {name: self._served(name, "peak") for name in self._programs}
        most = max(peaks["cluscomp"], self._served("cluscomp", "many"))
        for number in range(rounds):
            for load, share in (("half", 0.5), ("twice", 2.0)):
                self._open("cluscomp", load, share * most, number)
            for name in self._programs.keys() - {"cluscomp"}:
                self._open(name, "near", NEAR * peaks[name], number)
                self._open("cluscomp", "near", MORE * NEAR * peaks[name], number)
        return [_row(name, self._form, load, loads) for (name, load), loads in self._found.items()]

    def _served(self, name: str, load: str) -> float:
        return median(found.served for found, _ in self._found[name, load])

    def _closed(self, name: str, load: str, connections: int) -> None:
        port, requests = self._programs[name].port, self._requests[name]
        self._add(name, load, lambda: closed_loop(HOST, port, requests, connections, self._seconds))

    def _open(self, name: str, load: str, rate: float, number: int) -> None:
        port, requests = self._programs[name].port, self._requests[name]
        seed = self._seed + number
        self._add(name, load, lambda: open_loop(HOST, port, requests, rate, self._seconds, seed))

    def _add(self, name: str, load: str, measure: Callable[[], Load]) -> None:
        before = self._programs[name].processor_seconds()
        found = measure()
        spent = self._programs[name].processor_seconds() - before
        self._found.setdefault((name, load), []).append((found, spent))


def _row(name: str, form: str, load: str, measured: list[tuple[Load, float]]) -> ServeRow:
    loads = [one for one, _ in measured]
    times = [spent / one.count(200) * 1e6 for one, spent in measured if spent and one.count(200)]
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
        late_p99_ms=_middle([one.late_milliseconds(0.99) for one in loads]),
        processor_us=median(times) if times else None,
    )


def cells(row: ServeRow) -> list[str]:
    """A row as text, by COLUMNS."""

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.2f}"

    return [
        row.server, row.form, row.load, number(row.offered), number(row.served), number(row.p50_ms),
        number(row.p99_ms), number(row.refused), number(row.refused_p99_ms), str(row.failed),
        number(row.late_p99_ms), number(row.processor_us),
    ]  # fmt: skip


def _middle(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _all_bodies(folder: Path, k: int, seed: int) -> dict[str, list[bytes]]:
    """Bodies of searches by form."""
    from cluscomp.indexes.index import Index, open_index

    index = open_index(folder)
    if not isinstance(index, Index):
        raise UsageError(f"{folder} does not store single vectors, which this measures: {index.key!r}")
    rng = np.random.default_rng(seed)
    ids = rng.permutation(index.ids)[:REQUESTS].tolist()
    rows = index.vectors(ids)
    noise = rng.standard_normal(rows.shape).astype(np.float32) * (0.1 * float(rows.std()) + 1e-9)
    found = {form: _bodies(np.ascontiguousarray(rows + noise), k, form) for form in FORMS}
    if index.encoder is not None and index.has_texts:
        texts = [(one.title or one.text or "").strip()[:200] for one in index.get(ids, vectors=False)]
        found[TEXT] = [json.dumps({"text": text or "text", "k": k}).encode() for text in texts]
    return found


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
def _running(commands: dict[str, list[str]]) -> Iterator[dict[str, Program]]:
    """Start programs of this package; the port of each stands in the first line of its stderr."""
    started: list[subprocess.Popen[Any]] = []
    try:
        programs = {}
        for name, (module, *arguments) in commands.items():
            command = [sys.executable, "-m", module, *arguments]
            process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            started.append(process)
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.match(r"http://[^:]+:(\d+)", line)
            if found is None:
                raise UsageError(f"{name} did not start: {line}{process.stderr.read()}".strip())
            programs[name] = Program(int(found[1]), process.pid)
        yield programs
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(20)
