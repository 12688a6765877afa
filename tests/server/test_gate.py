"""Who is let in: hosts, origins, tokens, sizes; what is full says so at once; what is late ends."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from server_held import Held
from server_waits import wait_until

import cluscomp as cc
from cluscomp.errors import RequestRefusedError, UsageError
from cluscomp.server.settings import ServerSettings

READ, ADMIN = "read-token-0123456789", "admin-token-0123456789"
VECTOR = {"vectors": [[0.5] * 24]}


def code(answer):
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::2]", ""])
def test_foreign_names_of_the_host_are_refused(both, host):
    assert code(both.get("/v1/indexes", headers={"host": host})) == (400, "host")
    assert code(both.get("/", headers={"host": host})) == (400, "host")
    assert both.get("/health", headers={"host": host}).text == "ok"


def test_names_of_the_loopback_and_allowed_ones_are_let_in(serve, folder):
    with serve({"small": folder}, allowed_hosts=("search.example",)) as server, server.http() as http:
        for host in ("localhost", "LOCALHOST:1", "[::1]:8765", "search.example:443"):
            assert http.get("/v1/indexes", headers={"host": host}).status_code == 200


def test_pages_of_other_origins_may_not_ask(serve, folder):
    with serve({"small": folder}, cors=("https://page.example",)) as server, server.http() as http:
        path = "/v1/indexes/small/search"
        assert code(http.post(path, json=VECTOR, headers={"origin": "http://evil.example"})) == (
            403,
            "origin",
        )
        assert http.post(path, json=VECTOR, headers={"origin": server.url}).status_code == 200
        answer = http.post(path, json=VECTOR, headers={"origin": "https://page.example"})
        assert answer.headers["access-control-allow-origin"] == "https://page.example"
        assert "access-control-allow-origin" not in http.get("/v1/indexes").headers


@pytest.mark.parametrize(
    "origin", ["*", "https://a.org/", "a.org", "null", "https://A.org", "ftp://a.org", "https://a.org:x", ""]
)
def test_what_no_browser_says_is_no_origin(origin):
    with pytest.raises(UsageError, match="is no origin"):
        ServerSettings(cors=(origin,))


def test_names_of_origins():
    for origin in ("https://a-b.example.org", "http://localhost:3000", "http://[::1]:80"):
        assert ServerSettings(cors=(origin,)).cors == (origin,)


def test_tokens(serve, folder):
    with serve({"small": folder}, read_token=READ, admin_token=ADMIN) as server, server.http() as http:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"x-api-key": READ + "x"}, {"x-api-key": "ä"}):
            for path in ("/v1/indexes", "/v1/nothing", "/metrics"):
                answer = http.get(path, headers={name: value.encode() for name, value in headers.items()})
                assert code(answer) == (401, "token") and answer.headers["www-authenticate"] == "Bearer"
        for headers in ({"authorization": f"Bearer {READ}"}, {"x-api-key": ADMIN}):
            assert http.get("/v1/indexes", headers=headers).status_code == 200
        assert http.get("/health").status_code == http.get("/").status_code == 200


@pytest.mark.parametrize("name", ["..", "%2e%2e", "a%2Fb", "small%00", "x" * 65, "-a", "%2Fetc"])
def test_names_that_look_like_paths_are_unknown(both, name):
    for path in (f"/v1/indexes/{name}", f"/v1/indexes/{name}/search"):
        answer = both.post(path, json=VECTOR) if path.endswith("search") else both.get(path)
        assert answer.status_code in (404, 405), answer.text


def raw(port, *parts, wait=0.0):
    """Send bytes, and return the status of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(wait)
        return int(connection.recv(4096).split()[1])


HEAD = b"POST /v1/indexes/small/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def test_bodies_beyond_the_limit_are_refused_with_and_without_a_length(serve, folder):
    with serve({"small": folder}, max_body=2000, body_timeout=0.5) as server, server.http() as http:
        search = "/v1/indexes/small/search"
        assert code(http.post(search, content=b" " * 2001)) == (413, "body")
        assert code(http.post(search, content=(b" " * 100 for _ in range(21)))) == (413, "body")
        assert raw(server.port, HEAD, b"Content-Length: 999999999999999999999999\r\n\r\n") in (400, 413)
        assert http.post(search, json=VECTOR).status_code == 200
        assert raw(server.port, HEAD, b"Content-Length: 100\r\n\r\n", b"{") == 408  # the rest never comes
        assert http.get("/health").text == "ok"


def test_a_full_queue_refuses_at_once_and_serves_what_waits(serve, folder, queries):
    with serve({"small": folder}, queue=8, batch_max=1) as server, server.client() as client:
        held = Held(server)
        with ThreadPoolExecutor(10) as pool:
            first = pool.submit(client.search, "small", queries[:1], 3)
            assert held.begun.wait(20)
            waiting = [pool.submit(client.search, "small", queries[:1], 3) for _ in range(8)]
            wait_until(lambda: held.searcher.depth == 8)
            with pytest.raises(RequestRefusedError) as caught:
                client.search("small", queries[:1], 3)
            held.release.set()
            assert all(one.result()[0].shape == (1, 3) for one in (first, *waiting))
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (429, "busy", 1)


def test_late_requests_end_at_their_deadline_and_are_not_searched(serve, folder, queries):
    with serve({"small": folder}, batch_max=1) as server, server.client() as client:
        held = Held(server)
        for _ in range(2):  # one that is being searched, one that waits
            with pytest.raises(RequestRefusedError) as caught:
                client.search("small", queries[:1], 3, timeout_ms=50)
            assert (caught.value.status, caught.value.code) == (504, "deadline")
        searched = []
        held.original, original = lambda batch: (searched.append(batch), original(batch)), held.original
        held.release.set()
        assert client.search("small", queries[:1], 3)[0].shape == (1, 3)
        assert len(searched) == 2


def test_draining_servers_say_that_they_are_not_ready(serve, folder):
    with serve({"small": folder}) as server, server.http() as http:
        assert http.get("/ready").text == "ready"
        server.core.draining = True
        assert code(http.get("/ready")) == code(http.get("/v1/indexes")) == (503, "draining")
        answer = http.post("/v1/indexes/small/search", json=VECTOR)  # others on this connection would be lost
        assert code(answer) == (503, "draining") and answer.headers["connection"] == "close"
        assert http.get("/health").text == "ok"


def test_no_answer_is_without_policy_and_id(both):
    ids = set()
    for path in ("/", "/docs", "/page.js", "/v1/indexes", "/nothing", "/openapi.json"):
        headers = both.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        ids.add(headers["x-request-id"])
    assert len(ids) == 6


def test_the_log_has_a_line_a_request_and_no_texts(serve, folder, tmp_path):
    file = tmp_path / "log.jsonl"
    with serve({"small": folder}, read_token=READ, log=file) as server, server.http() as http:
        answer = http.post(
            "/v1/indexes/small/search", json={"text": "secret words"}, headers={"x-api-key": READ}
        )
        http.post("/v1/indexes/small/search", json=VECTOR, headers={"x-api-key": READ})
    first, second = map(json.loads, file.read_text().splitlines())
    assert first["id"] == answer.headers["x-request-id"] and first["status"] == 400
    assert (second["route"], second["status"], second["batch"]) == ("/v1/indexes/{name}/search", 200, 1)
    assert "secret" not in file.read_text() and READ not in file.read_text() and len(second["token"]) == 8


def test_counters(serve, folder, late, queries):
    read = cc.open_index(folder).search(queries[:3], 3, nprobe=3, return_info=True)[2].rows_scored.sum()
    folders = {"small": folder, "late": late}
    with serve(folders) as server, server.http() as http, server.client() as client:
        client.search("small", queries[:3], 3, nprobe=3)
        before = http.get("/metrics").text
        client.search("late", queries[:3], 3, candidates=20, lengths=[3])
        http.get("/v1/indexes/none")
        text = http.get("/metrics").text
    assert 'cluscomp_requests_total{route="/v1/indexes/{name}/search",status="200"} 2.0' in text
    assert 'cluscomp_requests_total{route="/v1/indexes/{name}",status="404"} 1.0' in text
    assert "cluscomp_batch_size_sum 3.0" in before and "cluscomp_open_indexes 2.0" in text
    assert 0 < read < 9000 and f"cluscomp_rows_read_total {float(read)}" in before
    assert f"cluscomp_rows_read_total {float(read + 20)}" in text
    assert 'cluscomp_refresh_failed{index="small"} 0.0' in text


def test_other_machines_need_a_token():
    from cluscomp.server.settings import ServerSettings

    for host in ("0.0.0.0", "::", "example.org"):
        with pytest.raises(UsageError, match="read_token_file"):
            ServerSettings(host=host)
        ServerSettings(host=host, read_token=READ)
        ServerSettings(host=host, insecure=True)
    for host in ("127.0.0.1", "127.8.0.1", "::1", "localhost"):
        ServerSettings(host=host)
