"""Commands on indexes and inputs in an object store."""

from __future__ import annotations

import json

import numpy as np
import pytest
from object_bucket import fresh

from cluscomp.objects.address import parse_address
from cluscomp.objects.store import store_of

pytest.importorskip("obstore")


@pytest.fixture
def bucket(monkeypatch, tmp_path) -> str:
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    return fresh("commands")


def test_the_life_of_an_index(invoke, bucket, vectors, tmp_path):
    def run(*args):
        result = invoke(*args, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    address = parse_address(f"{bucket}/x.npy")
    store_of(address).put(address.key, vectors.read_bytes())
    index, ids = f"{bucket}/x.index", tmp_path / "x.ids.txt"
    built = run("build-index", "--embeddings", address, "--ids", ids, "--key", "IVF4,SQ8", "--output", index)
    assert built["output"] == index and built["n"] == 300
    np.save(tmp_path / "new.npy", np.load(vectors)[:3] + 1)
    (tmp_path / "new.txt").write_text("row0\nnew1\nnew2\n")
    rows = ("--embeddings", tmp_path / "new.npy", "--ids", tmp_path / "new.txt")
    assert run("upsert", index, *rows) == {
        "index": index, "written": True, "added": 2, "replaced": 1, "rows": 302, "generation": 2,
    }  # fmt: skip
    assert run("delete", index, "--id", "row5")["deleted"] == 1
    assert run("compact", index, "--all")["segments_after"] == 1
    assert "row0" in invoke("get", index, "--id", "row0").stdout
    assert len(run("search", index, "--query-embeddings", vectors, "-k", 3)) == 300
    facts = run("inspect", index)
    assert facts["n_total"] == 301 and facts["build"]["plan"]["n"] == 300
    assert run("verify", index)["faults"] == []
    assert run("health", index)["state"] in ("ok", "watch", "retrain")
    assert run("convert", index, "--key", "Flat", "--output", f"{bucket}/flat.index")["rows"] == 301
    assert invoke("add", index, *rows).exit_code == 4


def test_wrong_addresses_and_places(invoke, bucket, vectors):
    build = ("build-index", "--embeddings", vectors, "--key", "Flat", "--output")
    assert invoke(*build, f"{bucket}/a").exit_code == 0
    taken = invoke(*build, f"{bucket}/a")
    assert taken.exit_code == 2 and f"{bucket}/a exists already" in taken.stderr
    missing = invoke("search", f"{bucket}/b", "--query-embeddings", vectors)
    assert missing.exit_code == 5 and f"there is no index at {bucket}/b" in missing.stderr
    wrong = invoke("inspect", "s3://bucket/../x")
    assert wrong.exit_code == 2 and "SCHEME://BUCKET/FOLDER" in wrong.stderr
    assert (
        invoke("build-index", "--embeddings", f"{bucket}/none.npy", "--key", "Flat", "-o", "x").exit_code == 4
    )
