"""Indexes as tools of a language model: by raw JSON-RPC over pipes, and by the client of the package `mcp`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import UnknownKeyError, UsageError
from cluscomp.server.mcp import MAX_K, IndexTools

PROGRAM = [sys.executable, "-m", "cluscomp", "serve", "--mcp"]
TEXTS = {
    "cat": ("Cats", "a cat sleeps on the warm mat", 2020),
    "money": (None, "stock prices fell " + "again " * 400, 2024),
    "ship": ("Ships", "the ship left the harbour with a cat", 2022),
}


@pytest.fixture
def folder(tmp_path):
    index = cc.index_factory("Sparse(bm25)", 1)
    texts = [text for _, text, _ in TEXTS.values()]
    index.train(texts)
    index.add(
        texts,
        list(TEXTS),
        documents=[(title, text) for title, text, _ in TEXTS.values()],
        attributes={"year": [year for *_, year in TEXTS.values()]},
    )
    index.save(tmp_path / "notes.index")
    return tmp_path / "notes.index"


# ---- the tools themselves ----


def test_search(folder):
    tools = IndexTools({"notes": folder})
    found = tools.search("cat")
    assert (found["index"], found["rows"]) == ("notes", 3)
    scores, ids = cc.open_index(folder).search(["cat"], 2)
    assert [(hit["id"], hit["score"]) for hit in found["hits"]] == [
        (name, round(score, 6)) for name, score in zip(ids[0].tolist(), scores[0].tolist(), strict=True)
    ]
    assert found["hits"][0] == {"id": "cat", "score": found["hits"][0]["score"], "title": "Cats", "text": TEXTS["cat"][1], "attributes": {"year": 2020}}  # fmt: skip
    assert [hit["id"] for hit in tools.search("cat", filter="year > 2020")["hits"]] == ["ship"]
    assert tools.search("nothing at all")["hits"] == []
    cut = tools.search("stock", max_chars=5)["hits"][0]
    assert cut["text"] == "stock" and cut["text_is_cut"] and "title" not in cut
    assert "text" not in tools.search("stock", max_chars=0)["hits"][0]


def test_get(folder):
    found = IndexTools({"notes": folder}).get(["ship", "nosuch", "money", "ship"])
    assert [one["id"] for one in found["documents"]] == ["ship", "money"] and found["missing"] == ["nosuch"]
    assert found["documents"][1]["text"] == TEXTS["money"][1]


def test_newer_states_are_taken_up(folder):
    tools = IndexTools({"notes": folder})
    with cc.open_index(folder).writer() as index:
        index.delete("cat")
    assert [hit["id"] for hit in tools.search("cat")["hits"]] == ["ship"]


def test_several_indexes_and_what_a_model_is_told(folder, tmp_path):
    cc.index_factory("Flat", 4).add(np.eye(4)[:2]).save(tmp_path / "plain")
    tools = IndexTools({"notes": folder, "plain": tmp_path / "plain"})
    assert "- notes: 3 documents; attributes: year (int64)" in tools.about() and "- plain: 2" in tools.about()
    assert tools.search("cat", index="notes")["hits"]
    with pytest.raises(UsageError, match="one of notes, plain, but is None"):
        tools.search("cat")
    with pytest.raises(UsageError, match="knows no encoder"):
        tools.search("cat", index="plain")
    assert tools.get(["1", "9"], index="plain") == {
        "index": "plain",
        "documents": [{"id": "1"}],
        "missing": ["9"],
    }
    at_root = IndexTools({}, root=tmp_path)
    assert at_root.get(["0"], index="plain")["documents"] == [{"id": "0"}]


def test_wrong_calls(folder, tmp_path):
    tools = IndexTools({"notes": folder})
    for settings in (
        {"k": 0},
        {"k": MAX_K + 1},
        {"max_chars": -1},
        {"filter": "year ~ 3"},
        {"index": "../x"},
    ):
        with pytest.raises(UsageError):
            tools.search("cat", **settings)
    with pytest.raises(UnknownKeyError, match="'year'"):
        tools.search("cat", filter="yeer > 3")
    for query in ("", "  ", "x" * 20_000):
        with pytest.raises(UsageError, match="characters"):
            tools.search(query)
    for ids in ([], ["x"] * 101):
        with pytest.raises(UsageError, match="ids"):
            tools.get(ids)
    with pytest.raises(UsageError, match="without encoders"):
        IndexTools({"notes": folder}, encoder=False).search("cat")
    owned = cc.index_factory("Flat", 4)
    owned.declare_attributes({"owner": cc.Field("text", tenant=True)})
    owned.add(np.eye(4), attributes={"owner": ["a"] * 4}).save(tmp_path / "owned")
    with pytest.raises(UsageError, match="tenants"):
        IndexTools({"owned": tmp_path / "owned"})


# ---- over pipes ----


@pytest.fixture
def mcp():
    return pytest.importorskip("mcp.server.mcpserver")


class Pipes:
    """`cluscomp serve --mcp` with its standard input and output."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [*PROGRAM, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )
        self.number = 0

    def send(self, method, params=None, *, answered=True):
        message = {"jsonrpc": "2.0", "method": method, "params": params or {}}
        if answered:
            self.number += 1
            message["id"] = self.number
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        if not answered:
            return None
        answer = json.loads(self.process.stdout.readline())
        assert answer["jsonrpc"] == "2.0" and answer["id"] == self.number
        return answer

    def greet(self):
        asked = {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "0"},
        }
        result = self.send("initialize", asked)["result"]
        self.send("notifications/initialized", answered=False)
        return result

    def call(self, name, **arguments):
        return self.send("tools/call", {"name": name, "arguments": arguments})["result"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()


def test_json_rpc_over_pipes(mcp, folder):
    with Pipes(folder) as server:
        greeting = server.greet()
        assert greeting["serverInfo"] == {"name": "cluscomp", "version": cc.__version__}
        assert greeting["protocolVersion"] == "2025-06-18" and "tools" in greeting["capabilities"]
        assert "- notes: 3 documents" in greeting["instructions"]
        tools = {tool["name"]: tool for tool in server.send("tools/list")["result"]["tools"]}
        assert set(tools) == {"search", "get"}
        for tool in tools.values():
            assert tool["annotations"]["readOnlyHint"] is True and tool["description"]
        schema = tools["search"]["inputSchema"]
        assert schema["required"] == ["query"] and set(schema["properties"]) == {"query", "k", "index", "filter", "max_chars"}  # fmt: skip
        found = server.call("search", query="cat", k=1)
        assert not found.get("isError")
        assert found["structuredContent"]["hits"][0]["id"] == "cat"
        assert json.loads(found["content"][0]["text"]) == found["structuredContent"]
        assert server.call("get", ids=["ship"])["structuredContent"]["documents"][0]["title"] == "Ships"
        for name, arguments in [("search", {"query": "cat", "k": 0}), ("search", {}), ("get", {"ids": "cat"}), ("search", {"query": "cat", "filter": "nosuch > 1"}), ("delete", {"ids": ["cat"]})]:  # fmt: skip
            answer = server.send("tools/call", {"name": name, "arguments": arguments})
            assert "error" in answer or answer["result"]["isError"]
        told = server.call("search", query="cat", filter="yeer > 1")
        assert "'year'" in told["content"][0]["text"]  # the model can mend its filter
        server.process.stdin.close()
        assert server.process.wait(30) == 0
        assert "Traceback" not in server.process.stderr.read()


def test_rubbish_on_the_pipe_ends_nothing(mcp, folder):
    with Pipes(folder) as server:
        server.greet()
        server.process.stdin.write("no json\n" + '{"jsonrpc": "2.0", "id": 99}\n' + "[1, 2]\n")
        server.process.stdin.flush()
        server.process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 5, "method": "ping"}) + "\n")
        server.process.stdin.flush()
        for line in server.process.stdout:
            if json.loads(line).get("id") == 5:
                break
        else:
            pytest.fail("no answer")


async def test_by_the_client_of_the_package(mcp, folder):
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    parameters = StdioServerParameters(command=PROGRAM[0], args=[*PROGRAM[1:], str(folder)])
    async with stdio_client(parameters) as (reading, writing), ClientSession(reading, writing) as session:
        await session.initialize()
        assert {tool.name for tool in (await session.list_tools()).tools} == {"search", "get"}
        found = await session.call_tool("search", {"query": "harbour"})
        assert [hit["id"] for hit in found.structured_content["hits"]] == ["ship"]
        wrong = await session.call_tool("search", {"query": "cat", "k": 1000})
        assert wrong.is_error


def exit_code(*arguments):
    done = subprocess.run(
        [*PROGRAM, *map(str, arguments)], input="", capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


def test_exit_codes(mcp, folder, tmp_path):
    assert exit_code(folder)[0] == 0
    assert exit_code()[0] == 2
    assert exit_code(tmp_path / "nosuch")[0] == 5
    (tmp_path / "token").write_text("x" * 40)
    code, told = exit_code(folder, "--read-token-file", tmp_path / "token")
    assert code == 2 and "--read-token-file is for HTTP" in told


def test_without_the_package_it_says_what_to_install(folder):
    hidden = "import sys; sys.modules['mcp'] = None; from cluscomp.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", hidden, "serve", "--mcp", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "pip install 'cluscomp[mcp]'" in done.stderr


def test_the_settings_of_a_client_in_the_guide_are_json():
    page = Path(__file__).resolve().parents[3] / "docs" / "integrations.md"
    if not page.is_file():
        pytest.skip("the suite runs without the source tree")
    block = page.read_text(encoding="utf-8").split("```json\n")[1].split("```")[0]
    server = json.loads(block)["mcpServers"]["notes"]
    assert server["command"] == "cluscomp" and server["args"][:2] == ["serve", "--mcp"]
