"""A folder with all that an index may hold, changed anywhere: it works, or an error of ours says what is wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluscomp.errors import CluscompError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.verify import verify_index

DIM = 8
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
USUAL, MANY = 25, 1000
OPTIONS: dict[str, Any] = {
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
    "deadline": None,
}


def make(kind: str, folder: Path) -> None:
    """Two segments with deleted rows, texts and attributes; ids are texts, or numbers with gaps."""
    rng = np.random.default_rng(0)
    documents = kind == "documents"
    x = rng.standard_normal((60, 3, DIM) if documents else (60, DIM)).astype(np.float32)
    ids = np.arange(60) * 3 if kind == "numbers" else [f"é{i}" for i in range(60)]
    index: Any = index_factory("Pool2,IVF4,PQ4x4" if documents else "RR,IVF4,PQ2x4,RFlat", DIM).train(x)
    for part in (slice(0, 45), slice(45, 60)):
        facts = [{"year": 1990 + i % 9, "tags": ["a", "b"][: i % 3]} for i in range(60)[part]]
        texts = None if kind == "numbers" else [(name, "title", "text") for name in ids[part]]
        named = {"ids": ids[part]} if texts is None else {"documents": texts}
        index.add(x[part], attributes=facts, **named)
    index.delete([ids[1], ids[50]])
    index.save(folder)


@pytest.fixture(scope="module", params=["texts", "numbers", "documents"])
def pristine(request, tmp_path_factory) -> Path:
    path = Path(tmp_path_factory.mktemp("pristine") / "index")
    make(request.param, path)
    use(path)  # with all of it in use
    shutil.rmtree(path)
    make(request.param, path)
    return path


def use(path: Path) -> None:
    """Everything that reads a folder, and a deletion and an addition that are saved."""
    index: Any = open_index(path)
    x = np.ones((3, 2, DIM) if index.spec.pool else (3, DIM), np.float32)
    k = min(5, max(1, len(index)))
    index.search(x, k, nprobe=4)
    index.search(x, 1, nprobe=4, filter="year > 1993")
    index.describe()
    taken = index.ids[[0, -1]]
    index.get(taken)
    index.vectors(taken[:1])
    index.delete(taken[:1])
    index.add(x[:1], [10_000] if taken.dtype.kind == "i" else ["new"])
    index.save(path)
    open_index(path).save(path, grace=0)


def endure(path: Path) -> None:
    for step in (verify_index, use, verify_index, lambda folder: open_index(folder).compact(segments=1)):
        try:
            step(path)
        except CluscompError:
            continue


def copied(pristine: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "fuzz"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pristine, folder)
    return folder


def check_manifest(pristine: Path, tmp_path: Path, data: st.DataObject) -> None:
    manifest = json.loads((pristine / "manifest.json").read_text())
    node = manifest
    while True:  # walk to a random place and put something else there
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if isinstance(node[key], (dict, list)) and data.draw(st.integers(0, 4)):
            node = node[key]
            continue
        node[key] = data.draw(JSON)
        break
    folder = copied(pristine, tmp_path)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    endure(folder)


def check_file(pristine: Path, tmp_path: Path, data: st.DataObject) -> None:
    folder = copied(pristine, tmp_path)
    files = sorted(path.name for path in pristine.iterdir() if path.stat().st_size)
    victim = folder / data.draw(st.sampled_from(files))
    raw = bytearray(victim.read_bytes())
    match data.draw(st.sampled_from(["bytes", "cut", "grow", "noise"])):
        case "bytes":
            for place, value in data.draw(
                st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255)), max_size=9)
            ):
                raw[place] = value
        case "cut":
            del raw[data.draw(st.integers(0, len(raw))) :]
        case "grow":
            raw += data.draw(st.binary(max_size=300))
        case "noise":
            start = data.draw(st.integers(0, len(raw) - 1))
            rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
            raw[start:] = rng.bytes(len(raw) - start)
    victim.write_bytes(raw)
    endure(folder)


@settings(max_examples=USUAL, **OPTIONS)
@given(data=st.data())
def test_any_change_of_the_manifest(pristine: Path, tmp_path: Path, data: st.DataObject) -> None:
    check_manifest(pristine, tmp_path, data)


@settings(max_examples=USUAL, **OPTIONS)
@given(data=st.data())
def test_any_change_of_a_file(pristine: Path, tmp_path: Path, data: st.DataObject) -> None:
    check_file(pristine, tmp_path, data)


@pytest.mark.slow
@settings(max_examples=MANY, **OPTIONS)
@given(data=st.data())
def test_many_changes_of_the_manifest(pristine: Path, tmp_path: Path, data: st.DataObject) -> None:
    check_manifest(pristine, tmp_path, data)


@pytest.mark.slow
@settings(max_examples=MANY, **OPTIONS)
@given(data=st.data())
def test_many_changes_of_a_file(pristine: Path, tmp_path: Path, data: st.DataObject) -> None:
    check_file(pristine, tmp_path, data)


@pytest.mark.parametrize("kind", ["texts", "numbers", "documents"])
def test_a_flipped_bit_in_any_file_is_found_and_named(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    make(kind, folder)
    files = [path for path in sorted(folder.iterdir()) if path.suffix in (".npy", ".sqlite")]
    assert len(files) > 20
    for path in files:
        whole = path.read_bytes()
        for place in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
            assert path.name in {fault.file for fault in verify_index(folder)}
        path.write_bytes(whole)
    assert verify_index(folder) == []


def test_a_column_that_lacks_a_row_is_found(tmp_path: Path) -> None:
    """The file and what the manifest says of it agree with each other, but not with the rows."""
    folder = tmp_path / "index"
    make("texts", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    name = next(name for name in manifest["files"] if ".attr" in name and "year" in name)
    np.save(folder / name, np.load(folder / name)[:-1])
    raw = (folder / name).read_bytes()
    entry = manifest["files"][name]
    entry["shape"][0] -= 1
    entry |= {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    faults = verify_index(folder)
    assert faults and "year" in faults[0].message
