"""Streamed builds: the folder that index.add and save make, from blocks, in bounded memory."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from cluscomp.errors import (
    DimensionError,
    DiskFullError,
    DTypeError,
    DuplicateIdError,
    EmptyInputError,
    NonFiniteError,
    NotTrainedError,
    OutputExistsError,
    UsageError,
)
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.build.writer import IndexWriter
from cluscomp.indexes.storage.stream import ArrayStream


def stream(index, path, rows, ids=None, *, block=130, **options) -> None:
    with IndexWriter(index, path, **options) as writer:
        for start in range(0, len(rows), block):
            part = slice(start, start + block)
            writer.add(rows[part], None if ids is None else ids[part])
        writer.finish()


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


IDS = {
    "numbered": None,
    "consecutive": np.arange(50, 650),
    "integers": np.random.default_rng(1).permutation(10_000)[:600],
    "texts": [f"dök{i}" for i in range(600)],
}


@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize(
    "key", ["Flat", "SQ8,RFlat", "IVF8,PQ4x4", "OPQ4,IVF8,PQ4,Refine(SQfp16)", "BIVF8(cap=1),PQ4x4"]
)
def test_streamed_folder_equals_the_saved_one(trained, rows, tmp_path, key: str, kind: str) -> None:
    trained(key).add(rows, IDS[kind]).save(tmp_path / "saved")
    stream(trained(key), tmp_path / "streamed", rows, IDS[kind], n_rows=600, max_block_bytes=900)
    saved, streamed = contents(tmp_path / "saved"), contents(tmp_path / "streamed")
    assert saved.keys() == streamed.keys()
    for name in saved.keys() - {"manifest.json"}:
        assert saved[name] == streamed[name], name
    one, two = open_index(tmp_path / "saved"), open_index(tmp_path / "streamed", verify=True)
    assert one.ids.tolist() == two.ids.tolist()
    one.add(rows[:3], ["x", "y", "z"] if kind == "texts" else None)
    two.add(rows[:3], ["x", "y", "z"] if kind == "texts" else None)
    assert one.ids.tolist() == two.ids.tolist()


@pytest.mark.parametrize("block", [1, 7, 600])
def test_block_size_does_not_matter(trained, rows, tmp_path, block: int) -> None:
    stream(trained("IVF8,SQ8"), tmp_path / "a", rows, block=97, max_block_bytes=1)
    stream(trained("IVF8,SQ8"), tmp_path / "b", rows, block=block, max_block_bytes=1 << 20)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_extra_files_are_stored_listed_and_carried_along(trained, rows, tmp_path) -> None:
    (tmp_path / "docs").write_bytes(b"sqlite")
    with IndexWriter(trained("SQ8"), tmp_path / "index") as writer:
        writer.add(rows)
        writer.extra_path("notes.txt").write_text("hello")
        writer.finish(extra_files={"letter.txt": tmp_path / "docs", "report.json": b"{}"})
    index = open_index(tmp_path / "index", verify=True)
    assert set(index.extra_files) == {"notes.txt", "letter.txt", "report.json"}
    assert index.extra_file("letter.txt").read_bytes() == b"sqlite"
    index.add(rows[:2])
    index.save(tmp_path / "copy")
    assert open_index(tmp_path / "copy", verify=True).extra_file("notes.txt").read_text() == "hello"
    with pytest.raises(UsageError, match="no file 'x'; it has"):
        index.extra_file("x")
    index.extra_file("report.json").write_bytes(b"[]")
    with pytest.raises(Exception, match="changed since"):
        index.extra_file("report.json")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden"])
def test_extra_file_names_stay_in_the_folder(trained, rows, tmp_path, name: str) -> None:
    with IndexWriter(trained("SQ8"), tmp_path / "index") as writer:
        writer.add(rows)
        with pytest.raises(UsageError, match="file name"):
            writer.extra_path(name)


@pytest.mark.parametrize("memory", [500, 10_000, 1 << 20])
@pytest.mark.parametrize(
    ("ids", "name"),
    [
        (np.arange(600) % 599 * 3, "id 0 occurs twice, as rows 0 and 599"),
        ([f"d{i % 599}" for i in range(600)], "id 'd0' occurs twice, as rows 0 and 599"),
    ],
)
def test_duplicates_across_blocks(trained, rows, tmp_path, monkeypatch, memory: int, ids, name: str) -> None:
    import cluscomp.indexes.build.id_stream as module

    monkeypatch.setattr(module, "MIN_MEMORY", 1)
    with pytest.raises(DuplicateIdError, match=name):
        stream(trained("SQ8"), tmp_path / "index", rows, ids, max_block_bytes=memory)
    assert list(tmp_path.iterdir()) == []


def test_texts_with_equal_hashes_are_no_duplicates(trained, rows, tmp_path, monkeypatch) -> None:
    import cluscomp.indexes.build.id_stream as module

    monkeypatch.setattr(module, "hash", lambda raw: len(raw), raising=False)
    stream(trained("SQ8"), tmp_path / "index", rows, [f"d{i}" for i in range(600)])
    assert open_index(tmp_path / "index").ids.tolist() == [f"d{i}" for i in range(600)]


def test_errors_leave_nothing_behind(trained, rows, tmp_path) -> None:
    bad = rows.copy()
    bad[300] = np.nan
    faults = [
        (NonFiniteError, r"row 40 \(id 'd300'\)", bad, [f"d{i}" for i in range(600)]),
        (DimensionError, "index has dim 16, rows have dim 8", rows[:, :8], None),
        (DimensionError, "130 rows, but 2 ids", rows, [[1, 2]] * 600),
        (DTypeError, "had str ids", rows, [*(f"d{i}" for i in range(130)), *range(470)]),
    ]
    for kind, message, x, ids in faults:
        with (
            pytest.raises(kind, match=message)
            if ids is None or not isinstance(ids[0], list)
            else pytest.raises(DTypeError)
        ):
            stream(trained("IVF8,SQ8"), tmp_path / "index", x, ids)
        assert list(tmp_path.iterdir()) == []


def test_misuse(trained, rows, tmp_path) -> None:
    with pytest.raises(NotTrainedError):
        IndexWriter(index_factory("SQ8", 16), tmp_path / "index")
    with pytest.raises(UsageError, match="600 rows already"):
        IndexWriter(trained("SQ8").add(rows), tmp_path / "index")
    with pytest.raises(EmptyInputError), IndexWriter(trained("SQ8"), tmp_path / "index") as writer:
        writer.finish()
    with pytest.raises(DimensionError, match="700 rows were announced, but 600 came"):
        stream(trained("SQ8"), tmp_path / "index", rows, n_rows=700)
    with (
        pytest.raises(UsageError, match="all blocks"),
        IndexWriter(trained("SQ8"), tmp_path / "index") as writer,
    ):
        writer.add(rows[:5])
        writer.add(rows[5:9], [5, 6, 7, 8])
    with IndexWriter(trained("SQ8"), tmp_path / "index") as writer:
        writer.add(rows)
        writer.finish()
        for call in (lambda: writer.add(rows), writer.finish):
            with pytest.raises(UsageError, match="finished"):
                call()
        writer.abort()
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    with pytest.raises(OutputExistsError):
        IndexWriter(trained("SQ8"), tmp_path / "index")
    stream(trained("SQ8"), tmp_path / "index", rows[:10], if_exists="replace")
    assert len(open_index(tmp_path / "index")) == 10


def test_full_disk(trained, rows, tmp_path, monkeypatch) -> None:
    original = ArrayStream.append

    def append(self, values):
        if self.rows >= 260:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, values)

    monkeypatch.setattr(ArrayStream, "append", append)
    with pytest.raises(DiskFullError, match="bytes free; nothing was changed"):
        stream(trained("IVF8,SQ8"), tmp_path / "index", rows, n_rows=600)
    assert list(tmp_path.iterdir()) == []


def test_room_is_asked_for_beforehand(trained, tmp_path) -> None:
    with pytest.raises(DiskFullError, match=r"needs \d+ bytes"):
        IndexWriter(trained("IVF8,SQ8"), tmp_path / "index", n_rows=10**15)
    assert list(tmp_path.iterdir()) == []


def test_the_index_itself_is_not_changed(trained, rows, tmp_path) -> None:
    index = trained("IVF8,SQ8")
    index.encoder = {"name": "m"}
    stream(index, tmp_path / "index", rows)
    assert len(index) == 0
    assert open_index(tmp_path / "index").encoder == {"name": "m"}


def test_float16_and_bfloat16_blocks(trained, rows, tmp_path) -> None:
    torch = pytest.importorskip("torch")
    half = torch.from_numpy(rows).to(torch.bfloat16)
    stream(trained("IVF8,SQ8"), tmp_path / "a", half)
    stream(trained("IVF8,SQ8"), tmp_path / "b", half.float().numpy())
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    stream(trained("IVF8,SQ8"), tmp_path / "c", rows.astype(np.float16))
    stream(trained("IVF8,SQ8"), tmp_path / "d", rows.astype(np.float16).astype(np.float32))
    assert contents(tmp_path / "c") == contents(tmp_path / "d")
