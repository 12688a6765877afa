"""Changes over HTTP: commits of the folder, served when they are answered; only for the admin token."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import RequestRefusedError
from cluscomp.indexes.storage.lock import writer_lock

READ, ADMIN = "read-token-0123456789", "admin-token-0123456789"


@pytest.fixture
def path(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "x")
    return tmp_path / "x"


def test_changes_are_saved_and_served(serve, path, rows):
    new = np.ascontiguousarray(rows[:2] * 3)
    with serve({"x": path}, admin_token=ADMIN) as server, server.client(token=ADMIN) as client:
        before = client.index("x")["generation"]
        put = client.put("x", ["5", "9000"], new)
        assert (put["rows"], put["documents"], put["replaced"]) == (3001, 2, 1)
        assert put["generation"] > before and client.index("x")["generation"] == put["generation"]
        assert client.search("x", new[1:], 1)[1].tolist() == [["9000"]]
        deleted = client.delete("x", [5, 7, 77777], missing="ignore")
        assert (deleted["rows"], deleted["documents"]) == (2999, 2)
        expected = cc.open_index(path).search(new, 5)
        compacted = client.compact("x", segments=1, dead=0.0)
        assert compacted["generation"] > deleted["generation"]
        assert len(server.core.registry.current("x").index.segments) == 1
        scores, ids = client.search("x", new, 5)
        assert scores.tobytes() == expected[0].tobytes() and ids.tolist() == expected[1].astype(str).tolist()
    saved = cc.open_index(path)
    assert len(saved) == 2999 and saved.generation == compacted["generation"]


def test_documents_of_several_vectors(serve, late, rows, tmp_path):
    shutil.copytree(late, tmp_path / "late")
    with (
        serve({"late": tmp_path / "late"}, admin_token=ADMIN) as server,
        server.client(token=ADMIN) as client,
    ):
        assert client.put("late", ["a", "d3"], rows[:7], lengths=[3, 4])["replaced"] == 1
        assert client.search("late", rows[:3] * 100, 1, lengths=[3])[1].tolist() == [["a"]]


def test_others_changes_are_taken_up(serve, path, rows):
    with serve({"x": path}, admin_token=ADMIN) as server, server.client(token=ADMIN) as client:
        other = cc.open_index(path)
        other.add(rows[:4])
        other.save(path)
        assert client.index("x")["rows"] == 3000
        assert client.refresh("x")["rows"] == 3004
        other = cc.open_index(path)
        other.delete([0])
        other.save(path)
        assert client.delete("x", ["1"])["rows"] == 3002  # from the newest state, not from the served one


def test_faults_change_nothing(serve, path, rows):
    with serve({"x": path}, admin_token=ADMIN) as server, server.client(token=ADMIN) as client:
        generation = client.index("x")["generation"]
        for call, status in (
            (lambda: client.put("x", ["1", "1"], rows[:2]), 409),
            (lambda: client.put("x", ["1"], rows[:2]), 400),
            (lambda: client.put("x", ["one"], rows[:1]), 400),
            (lambda: client.put("x", ["1"], rows[:1, :5]), 400),
            (lambda: client.put("x", ["1"], rows[:1] * np.inf), 400),
            (lambda: client.delete("x", ["1", "99999"]), 404),
            (lambda: client.delete("x", ["one"]), 404),
            (lambda: client.delete("x", ["1", "1"]), 409),
            (lambda: client.compact("x", segments=0), 422),
            (lambda: client.put("y", ["1"], rows[:1]), 404),
        ):
            with pytest.raises(RequestRefusedError) as caught:
                call()
            assert caught.value.status == status, caught.value
        assert client.index("x")["generation"] == generation


def test_a_locked_folder_is_told(serve, path, rows, monkeypatch):
    monkeypatch.setattr("cluscomp.server.writing.LOCK_SECONDS", 0.05)
    with serve({"x": path}, admin_token=ADMIN) as server, server.client(token=ADMIN) as client:
        with writer_lock(path), pytest.raises(RequestRefusedError) as caught:
            client.put("x", ["1"], rows[:1])
        assert (caught.value.status, caught.value.code) == (503, "locked")
        assert client.put("x", ["1"], rows[:1])["replaced"] == 1


def test_many_writers_lose_nothing(serve, path, rows):
    running = serve({"x": path}, admin_token=ADMIN)
    with running as server, server.client(token=ADMIN) as client, ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda i: client.put("x", [str(9000 + i)], rows[i : i + 1]), range(12)))
    assert sorted(one["rows"] for one in done) == list(range(3001, 3013))
    assert len(cc.open_index(path)) == 3012


def test_only_the_admin_token_changes(serve, path, both):
    bodies = {
        "documents": {"ids": ["1"], "vectors": [[0.0] * 24]}, "documents:delete": {"ids": ["1"]}, "refresh": {}, "compact": {},
    }  # fmt: skip
    for route, body in bodies.items():
        assert both.post(f"/v1/indexes/small/{route}", json=body).status_code == 404  # no such route
    for token, status in ((None, 401), ("another-token-012345", 403)):
        refused_all(serve({"x": path}, admin_token=ADMIN), bodies, token, status)
    for token, status in ((None, 401), (READ, 403)):
        refused_all(serve({"x": path}, admin_token=ADMIN, read_token=READ), bodies, token, status)
    assert len(cc.open_index(path)) == 3000


def refused_all(running, bodies, token, status):
    headers = {} if token is None else {"x-api-key": token}
    with running as server, server.http(headers=headers) as http:
        for route, body in bodies.items():
            assert http.post(f"/v1/indexes/x/{route}", json=body).status_code == status
