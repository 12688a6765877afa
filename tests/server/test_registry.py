"""The table of names: newer states take over between two requests, broken ones do not."""

from __future__ import annotations

import os
import shutil
import threading

import pytest
from server_waits import wait_until

import cluscomp as cc
from cluscomp.errors import IndexMissingError, RequestRefusedError, UsageError
from cluscomp.server.registry import Registry, parse_indexes


def test_names_come_from_arguments_or_folders(tmp_path):
    found = parse_indexes(["a=x/one", str(tmp_path / "two.index"), "odd name!/three"])
    assert list(found) == ["a", "two", "three"]
    assert str(found["a"]) == "x/one"
    with pytest.raises(UsageError, match="two indexes are called 'one'"):
        parse_indexes(["one", "x/one"])
    with pytest.raises(UsageError, match="gives no name"):
        parse_indexes(["/"])


def test_only_names_of_the_table_are_known(folder):
    registry = Registry({"small": folder})
    for name in ("..", "/etc", str(folder), "SMALL"):
        with pytest.raises(RequestRefusedError) as caught:
            registry.current(name)
        assert caught.value.status == 404


def test_a_folder_that_is_none_is_told_at_the_start(tmp_path):
    with pytest.raises(IndexMissingError):
        Registry({"none": tmp_path / "none"})


def test_indexes_of_a_root_are_opened_when_asked_for_and_closed_when_too_many(folder, tmp_path):
    for name in ("one", "two.index", "three", "three.index", "four.partial"):
        shutil.copytree(folder, tmp_path / name)
    (tmp_path / "empty").mkdir()
    shutil.copytree(folder, tmp_path / "-odd")
    registry = Registry({}, root=tmp_path, max_open=2)
    assert registry.names() == ["one", "three", "two"] and not registry.open_states()
    assert registry.current("three").folder == tmp_path / "three"
    for name in ("one", "two", "one", "three"):
        assert len(registry.current(name).index) == 3000
    assert [served.name for served in registry.open_states()] == ["one", "three"]
    shutil.rmtree(tmp_path / "one")
    shutil.copytree(folder, tmp_path / "four")
    registry.rescan()
    assert registry.names() == ["four", "three", "two"]


def test_a_new_state_is_served_and_a_broken_one_is_not(folder, rows, tmp_path):
    path, seen = tmp_path / "x", []
    shutil.copytree(folder, path)
    registry = Registry({"x": path}, changed=lambda name, slot: seen.append(slot.failed))
    old = registry.current("x")
    assert not registry.refresh("x")
    index = cc.open_index(path)
    index.add(rows[:5])
    index.save(path)
    assert registry.refresh("x") and not registry.refresh("x")
    new = registry.current("x")
    assert (len(old.index), len(new.index)) == (3000, 3005) and new.generation > old.generation
    manifest = (path / "manifest.json").read_bytes()
    (path / "manifest.json").write_text("{")
    assert not registry.refresh("x") and registry.current("x") is new and "x" in registry.failures()
    registry.refresh("x")
    assert len(seen) == 2 and seen[0] is None and seen[1]  # told once
    (path / "manifest.json").write_bytes(manifest)
    assert registry.refresh("x") and not registry.failures()


def test_swaps_under_load_lose_no_request_and_no_descriptor(serve, folder, queries, tmp_path):
    path = tmp_path / "x"
    shutil.copytree(folder, path)
    errors, done, answers = [], threading.Event(), []

    def ask(client):
        while not done.is_set():
            try:
                answers.append(client.ask("x", vectors=queries[:2], k=3)["generation"])
            except RequestRefusedError as exc:
                errors.append(exc)

    with serve({"x": path}, refresh=0.02) as server, server.client() as client:
        threads = [threading.Thread(target=ask, args=(client,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        counts = []
        try:
            for number in range(50):
                index = cc.open_index(path)
                index.delete([number])
                index.save(path)
                wait_until(lambda: len(server.core.registry.current("x").index) == 3000 - number - 1)  # noqa: B023
                counts.append(len(os.listdir("/proc/self/fd")))
        finally:
            done.set()
            for thread in threads:
                thread.join()
    assert not errors and len(set(answers)) > 10
    assert max(counts[25:]) <= max(counts[5:25]) + 3


def test_a_broken_state_shows_in_the_counters(serve, folder, queries, tmp_path):
    path = tmp_path / "x"
    shutil.copytree(folder, path)
    with serve({"x": path}, refresh=0.02) as server, server.client() as client, server.http() as http:
        (path / "manifest.json").write_text("{")
        wait_until(lambda: 'cluscomp_refresh_failed{index="x"} 1.0' in http.get("/metrics").text)
        assert client.search("x", queries[:1], 3)[0].shape == (1, 3)
