"""What a server must keep under load: bits, batches, newer states without a failed request, and a steady process."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
from server_waits import wait_until

import cluscomp as cc
from cluscomp.server.client import packed


def test_a_thousand_searches_at_once_are_bits_of_direct_ones(serve, folder, flat):
    """Sent in one burst over 50 connections, 20 one after the other on each; some searches answer many of them."""
    queries = np.random.default_rng(9).standard_normal((1000, 24)).astype(np.float32)
    wanted = {
        name: cc.open_index(path).search(queries, 5) for name, path in (("small", folder), ("flat", flat))
    }
    with serve({"small": folder, "flat": flat}, queue=1000) as server:
        found = asyncio.run(burst(server.port, queries))
    for number, (status, answer) in enumerate(found):
        scores, ids = wanted[named(number)]
        assert status == 200
        hits = [(hit["id"], hit["score"]) for hit in answer["results"][0]["hits"]]
        assert hits == [
            (str(one), score) for one, score in zip(ids[number], scores[number].tolist(), strict=True)
        ]
    assert max(answer["batch"] for _, answer in found) > 1


def named(number):
    return "flat" if number % 4 == 0 else "small"


async def burst(port, queries):
    found = [None] * len(queries)

    async def client(first):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(first, len(queries), 50):
            body = json.dumps({"vectors_b64": packed(queries[number : number + 1]), "k": 5}).encode()
            head = f"POST /v1/indexes/{named(number)}/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            found[number] = int(answer.split()[1]), json.loads(await reader.readexactly(length))
        writer.close()

    await asyncio.gather(*(client(first) for first in range(50)))
    return found


def test_fifty_newer_states_under_load(serve, folder, rows, queries, tmp_path):
    """Every search is answered, by one state or the next; descriptors and memory do not grow with their number."""
    path = tmp_path / "x"
    shutil.copytree(folder, path)
    with serve({"x": path}, refresh=0.01) as server:
        statuses, generations, ends = [], set(), threading.Event()

        def ask(number):
            with server.http() as http:
                while not ends.is_set():
                    body = {"vectors_b64": packed(queries[number : number + 1]), "k": 3}
                    answer = http.post("/v1/indexes/x/search", json=body)
                    statuses.append(answer.status_code)
                    if answer.status_code == 200:
                        generations.add(answer.json()["generation"])

        askers = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
        for asker in askers:
            asker.start()
        index, open_files, mapped = cc.open_index(path), [], []
        try:
            for number in range(50):
                index.upsert(rows[number : number + 1], [number])
                if number % 5 == 4:
                    index.compact(segments=1, dead=0.0)
                index.save(path, grace=0)
                wait_until(lambda: server.core.registry.current("x").generation == index.generation)
                if number in (9, 29, 49):
                    gc.collect()  # what else left rings behind before
                    open_files.append(len(os.listdir("/proc/self/fd")))
                    mapped.append(Path("/proc/self/maps").read_text().count("/x/"))
        finally:
            ends.set()
            for asker in askers:
                asker.join(20)
        assert server.core.registry.failures() == {}
    assert set(statuses) == {200} and len(statuses) > 50 and len(generations) > 10
    assert open_files[2] <= open_files[0] + 10 and mapped[2] <= mapped[0] + 40, (open_files, mapped)
