"""Keys of ids on disk: what they are, that a lookup touches little of them, and that wrong ones are noticed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash_reference
from stored_files import arrays_of, file_of

from cluscomp.errors import CorruptIndexError, DuplicateIdError, InputError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.build import id_stream
from cluscomp.indexes.build.writer import IndexWriter
from cluscomp.indexes.segments.ids import TextIds

FORMAT_2 = Path(__file__).with_name("format2")
NAMES = [f"ü{row % 97}/{row}" for row in range(600)]
NUMBERS = (np.arange(600) * 7919 % 10_007 - 5000).tolist()


def stored(folder: Path, number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.load(file_of(folder, f"segment{number}.{name}")) for name in ("idhash", "idrows"))  # type: ignore[return-value]


def test_keys_are_sorted_hashes_and_their_rows(make_index, tmp_path) -> None:
    make_index("SQ8", ids=NAMES).save(tmp_path / "text")
    keys, rows = stored(tmp_path / "text")
    hashes = [xxhash_reference.xxh64(name.encode()) for name in NAMES]
    assert (keys.dtype, rows.dtype) == (np.uint64, np.int32)
    assert rows.tolist() == sorted(range(600), key=lambda row: (hashes[row], row))
    assert keys.tolist() == sorted(hashes)
    make_index("SQ8", ids=NUMBERS).save(tmp_path / "int")
    keys, rows = stored(tmp_path / "int")
    assert keys.dtype == np.int64 and keys.tolist() == sorted(NUMBERS)
    assert [NUMBERS[row] for row in rows] == sorted(NUMBERS)
    make_index("SQ8").save(tmp_path / "range")
    assert arrays_of(tmp_path / "range", 0) == {"codes"}


@pytest.mark.parametrize("ids", [NAMES, NUMBERS], ids=["text", "int"])
def test_every_way_to_a_segment_gives_the_same_keys(ids, trained, rows, tmp_path, monkeypatch) -> None:
    trained("SQ8").add(rows, ids).save(tmp_path / "saved")
    monkeypatch.setattr(id_stream, "MIN_MEMORY", 1)
    for memory in (1 << 20, 7 * id_stream.KEY_BYTES, id_stream.KEY_BYTES):  # one class, many, one a key
        with IndexWriter(trained("SQ8"), tmp_path / f"built{memory}", max_block_bytes=memory) as writer:
            writer.add(rows[:250], ids[:250])
            writer.add(rows[250:], ids[250:])
            writer.finish()
        for got, wanted in zip(stored(tmp_path / f"built{memory}"), stored(tmp_path / "saved"), strict=True):
            np.testing.assert_array_equal(got, wanted)
    parts = trained("SQ8").add(rows[:100], ids[:100]).add(rows[100:], ids[100:])
    parts.save(tmp_path / "parts")
    parts = open_index(tmp_path / "parts")
    parts.compact(segments=1)
    parts.save(tmp_path / "parts")
    for got, wanted in zip(stored(tmp_path / "parts"), stored(tmp_path / "saved"), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_classes_of_keys_hold_what_memory_allows(trained, rows, tmp_path, monkeypatch) -> None:
    """Also of numbers that lie unevenly."""
    ids = np.unique((np.random.default_rng(0).pareto(1, 20_000) * 1e4).astype(np.int64))[:9000]
    ids = np.random.default_rng(1).permutation(ids)
    sizes, between = [], id_stream.IdStream._keys_between

    def measured(*arguments: Any) -> Any:
        found = between(*arguments)
        sizes.append(len(found[0]))
        return found

    monkeypatch.setattr(id_stream.IdStream, "_keys_between", measured)
    monkeypatch.setattr(id_stream, "MIN_MEMORY", 1)
    memory = 1000 * id_stream.KEY_BYTES
    with IndexWriter(trained("SQ8"), tmp_path / "i", max_block_bytes=memory) as writer:
        writer.add(np.tile(rows, (15, 1))[: len(ids)], ids)
        writer.finish()
    assert sum(sizes) == len(ids) and len(sizes) == -(-len(ids) // 1000)
    assert max(sizes) < 1500
    assert stored(tmp_path / "i")[0].tolist() == sorted(ids.tolist())


@pytest.mark.parametrize("ids", [NAMES, NUMBERS], ids=["text", "int"])
def test_an_opened_index_makes_no_keys(ids, make_index, rows, queries, tmp_path, monkeypatch) -> None:
    make_index("IVF8,SQ8", ids=ids).save(tmp_path / "i")
    index, plain = open_index(tmp_path / "i"), make_index("IVF8,SQ8", ids=ids)
    monkeypatch.setattr(TextIds, "hashes", _few(TextIds.hashes))
    monkeypatch.setattr(np, "argsort", _few(np.argsort))
    new = ["new", "newer"] if ids is NAMES else [99_991, 99_992]
    for change in (
        lambda i: i.delete([ids[5], ids[599], ids[0]]),
        lambda i: i.add(rows[:2], new),
        lambda i: i.upsert(rows[:1], [ids[7]]),
        lambda i: i.delete([new[0], ids[0], ids[8]], missing="ignore"),
    ):
        change(index)
    index.save(tmp_path / "i")
    monkeypatch.undo()
    plain.delete([ids[5], ids[599], ids[0]])
    plain.add(rows[:2], new).upsert(rows[:1], [ids[7]])
    plain.delete([new[0], ids[8]])
    again = open_index(tmp_path / "i", verify=True)
    assert again.ids.tolist() == plain.ids.tolist() == index.ids.tolist()
    with pytest.raises(DuplicateIdError):
        again.add(rows[:1], [ids[100]])
    with pytest.raises(InputError):
        again.delete([ids[5]])
    np.testing.assert_array_equal(again.vectors([ids[9], new[1]]), plain.vectors([ids[9], new[1]]))


def _few(function: Any) -> Any:
    """A function of arrays or columns of ids, which must have few elements."""

    def called(values: Any, *arguments: Any, **options: Any) -> Any:
        assert len(values) < 50, "made of all ids"
        return function(values, *arguments, **options)

    return called


DELETES_ONE = """
    import os, sys
    from pathlib import Path
    from cluscomp.indexes import open_index

    def forget():
        # what the system keeps of the files in memory
        for file in Path(sys.argv[1]).glob("*.npy"):
            handle = os.open(file, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)

    def read():
        return int(dict(line.split(": ") for line in open("/proc/self/io"))["read_bytes"])

    forget()
    start = read()
    index = open_index(sys.argv[1])
    index.delete(["document 123456"])
    index.save(sys.argv[1])
    one = read() - start
    forget()
    start = read()
    for file in Path(sys.argv[1]).glob("*.npy"):
        file.read_bytes()
    print(one, read() - start, len(index))
"""


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="needs the counters of Linux")
def test_deleting_one_text_id_of_many_reads_little(tmp_path) -> None:
    """Of 10 MB of ids and keys, less than 1 MB from the disk."""
    n = 300_000
    index = index_factory("PQ1x4", 4).train(np.random.default_rng(0).standard_normal((99, 4), np.float32))
    index.add(np.zeros((n, 4), np.float32), [f"document {row}" for row in range(n)])
    index.save(tmp_path / "i")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DELETES_ONE), str(tmp_path / "i")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    one, everything, left = map(int, done.stdout.split())
    if everything < 10e6:
        pytest.skip("this file system does not read from a disk")
    assert left == n - 1 and one < 1e6


def test_folders_without_keys_find_their_ids_as_before(tmp_path) -> None:
    import shutil

    name = next(path.name for path in sorted(FORMAT_2.iterdir()) if list(path.glob("*ids_text*")))
    shutil.copytree(FORMAT_2 / name, tmp_path / "i")
    index = open_index(tmp_path / "i")
    first, *others = index.ids.tolist()
    index.delete([first])
    assert index.ids.tolist() == others
    index.save(tmp_path / "i")
    keys, rows = stored(tmp_path / "i")
    assert len(keys) == len(rows) == index.segments[0].n_rows
    assert open_index(tmp_path / "i").delete([others[0]]) == 1


def test_wrong_keys_lead_nowhere_else(make_index, tmp_path) -> None:
    def spoil(name: str, values: Any) -> None:
        file = file_of(tmp_path / "i", f"segment0.{name}")
        array = np.load(file)
        array[:] = values
        file.write_bytes(file.read_bytes()[:128] + array.tobytes())

    for ids in (NAMES, NUMBERS):
        make_index("SQ8", ids=ids).save(tmp_path / "i", if_exists="replace")
        spoil("idrows", 2**31 - 1)
        with pytest.raises(CorruptIndexError, match="leads to row 2147483647, but there are 600 rows"):
            open_index(tmp_path / "i").delete([ids[3]])
        spoil("idrows", -1)
        with pytest.raises(CorruptIndexError):
            open_index(tmp_path / "i").delete([ids[3]])
        spoil("idrows", 0)
        with pytest.raises((CorruptIndexError, InputError)):  # another id, or none
            open_index(tmp_path / "i").delete([ids[3]])
        spoil("idhash", 5)
        with pytest.raises(InputError, match="not in the index"):
            open_index(tmp_path / "i").delete([ids[3]])
