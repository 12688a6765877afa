"""Folders that are no index, or a damaged one: each fault has its own error, with numbers and remedy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from stored_files import file_name, file_of

from cluscomp.errors import (
    CorruptIndexError,
    ForeignFileError,
    IndexFolderError,
    IndexMissingError,
    NewerFormatError,
)
from cluscomp.indexes import index_factory, open_index

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


@pytest.fixture
def saved(make_index, tmp_path) -> Path:
    index = make_index("OPQ4,IVF8,PQ4x4,Refine(SQ8)", "l2", [f"doc{i}" for i in range(600)])
    index.delete(["doc5", "doc9"])
    index.save(tmp_path / "index")
    return tmp_path / "index"


def edit(folder: Path, **fields) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, value in fields.items():
        manifest[name] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_missing_folder_and_missing_manifest(tmp_path) -> None:
    with pytest.raises(IndexMissingError, match="there is no index at .*build-index") as caught:
        open_index(tmp_path / "nothing")
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.exit_code == 5
    with pytest.raises(IndexMissingError, match=r"has no manifest\.json"):
        open_index(tmp_path)


@pytest.mark.parametrize(
    "name", ["segment0.codes.npy", "segment0.ids_text.npy", "transform0.matrix.npy", "segment0.deleted.npy"]
)
def test_truncated_array_names_both_sizes(saved: Path, name: str) -> None:
    name = file_name(saved, name)
    size = (saved / name).stat().st_size
    with (saved / name).open("r+b") as file:
        file.truncate(size - 3)
    with pytest.raises(
        CorruptIndexError, match=rf"{name} has {size - 3} bytes, but the manifest says {size}"
    ):
        open_index(saved)
    with (saved / name).open("ab") as file:
        file.write(bytes(9))
    with pytest.raises(CorruptIndexError, match=rf"{size + 6} bytes, but the manifest says {size}"):
        open_index(saved)


def test_missing_array(saved: Path) -> None:
    file_of(saved, "segment0.positions").unlink()
    with pytest.raises(CorruptIndexError, match=r"\.positions\.npy is missing"):
        open_index(saved)


def test_altered_bytes_are_found_by_verify(saved: Path) -> None:
    raw = bytearray(file_of(saved, "segment0.codes").read_bytes())
    raw[500] ^= 1
    file_of(saved, "segment0.codes").write_bytes(raw)
    open_index(saved)
    with pytest.raises(CorruptIndexError, match="checksum"):
        open_index(saved, verify=True)


def test_altered_header(saved: Path) -> None:
    raw = file_of(saved, "segment0.codes").read_bytes()
    file_of(saved, "segment0.codes").write_bytes(raw.replace(b"|u1", b"|i1"))
    with pytest.raises(CorruptIndexError, match="does not begin with the header"):
        open_index(saved)


@pytest.mark.parametrize("field", ["format_version", "min_reader_version"])
def test_newer_format_names_both_versions(saved: Path, field: str) -> None:
    edit(saved, **{field: 7})
    with pytest.raises(NewerFormatError, match=r"version 7.*reads version 3; upgrade"):
        open_index(saved)


def test_git_lfs_pointers(saved: Path) -> None:
    file_of(saved, "segment0.codes").write_bytes(LFS)
    with pytest.raises(ForeignFileError, match=r"\.codes\.npy is a git-LFS pointer.*git lfs pull"):
        open_index(saved)
    (saved / "manifest.json").write_bytes(LFS)
    with pytest.raises(ForeignFileError, match=r"manifest\.json is a git-LFS pointer"):
        open_index(saved)


def test_manifest_that_is_not_json(saved: Path) -> None:
    for raw in (b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b'{"format": "cluscomp-index"'):
        (saved / "manifest.json").write_bytes(raw)
        with pytest.raises(CorruptIndexError, match="not valid JSON"):
            open_index(saved)
    for raw in (b"[]", b"3", b'{"format": "lance"}', b"{}"):
        (saved / "manifest.json").write_bytes(raw)
        with pytest.raises(ForeignFileError, match="another tool"):
            open_index(saved)


HEADS = {
    "a faiss index": b"IxFI\x10\x00\x00\x00",
    "a faiss index (fourcc IwPQ)": b"IwPQ\x10\x00\x00\x00",
    "NumPy .npy": b"\x93NUMPY\x01\x00v\x00{'descr'",
    "Parquet": b"PAR1\x15\x04\x15",
    "HDF5": b"\x89HDF\r\n\x1a\n\x00",
    "SQLite": b"SQLite format 3\x00",
    "git-LFS pointer": LFS,
    "zip": b"PK\x03\x04\x14\x00",
    "pickle": b"\x80\x04\x95\x1a\x00",
    "no cluscomp index": b"hello world",
}


@pytest.mark.parametrize("looks_like", HEADS)
def test_files_of_other_tools(tmp_path, looks_like: str) -> None:
    (tmp_path / "file").write_bytes(HEADS[looks_like])
    with pytest.raises(ForeignFileError) as caught:
        open_index(tmp_path / "file")
    assert looks_like in str(caught.value)


def test_real_faiss_file_is_recognised(tmp_path, rows) -> None:
    faiss = pytest.importorskip("faiss")
    faiss.omp_set_num_threads(1)
    for key in (
        "Flat",
        "PQ4x4",
        "IVF4,Flat",
        "HNSW8",
        "PCA4,Flat",
        "IDMap,Flat",
        "SQ8",
        "LSH",
        "IVF4,PQ4x4",
        "PQ4x4,RFlat",
    ):
        index = faiss.index_factory(16, key)
        index.train(rows)
        faiss.write_index(index, str(tmp_path / "index.faiss"))
        with pytest.raises(ForeignFileError, match="a faiss index"):
            open_index(tmp_path / "index.faiss")


@pytest.mark.parametrize(
    ("names", "looks_like"),
    [
        (["plan.json", "centroids.pt", "metadata.json"], "PLAID"),
        (["0.codes.pt", "0.residuals.pt"], "PLAID"),
        (["centroids.npy", "bucket_cutoffs.npy", "metadata.json"], "fast-plaid"),
        (["index", "docid"], "pyserini"),
        (["corpus.jsonl", "queries.jsonl"], "BEIR"),
        (["index.faiss", "index.pkl"], "faiss"),
    ],
)
def test_folders_of_other_tools(tmp_path, names: list[str], looks_like: str) -> None:
    for name in names:
        (tmp_path / name).write_text("x")
    with pytest.raises(ForeignFileError, match=looks_like):
        open_index(tmp_path)


def test_manifest_given_instead_of_its_folder(saved: Path) -> None:
    with pytest.raises(ForeignFileError, match="pass its folder"):
        open_index(saved / "manifest.json")


@pytest.mark.parametrize(
    "name",
    ["../secret.npy", "/etc/passwd", "a/b.npy", "..", ".", "", "a\\b", "nul\0", "manifest.json", "a" * 200],
)
@pytest.mark.parametrize("table", ["files", "extra_files"])
def test_file_names_that_leave_the_folder(saved: Path, name: str, table: str) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    entry = next(iter(manifest["files"].values()))
    edit(saved, **{table: manifest[table] | {name: entry}})
    with pytest.raises(CorruptIndexError, match="file name"):
        open_index(saved)


@pytest.mark.parametrize(
    "fields",
    [
        {"dim": 0},
        {"dim": -4},
        {"dim": 10**30},
        {"dim": "16"},
        {"dim": 32},
        {"dim": True},
        {"metric": "dot"},
        {"metric": None},
        {"key": "Flat"},
        {"key": "HNSW32"},
        {"key": "IVF999999999,Flat"},
        {"key": 3},
        {"seeds": {}},
        {"seeds": {"train": -1}},
        {"encoder": 5},
        {"settings": None},
        {"settings": {"nprobe": 99}},
        {"settings": {"nprobe": "many"}},
        {"settings": {"refine_factor": 1e400}},
        {"segments": {}},
        {"segments": [{}]},
        {"generation": 0},
        {"generation": "1"},
        {"generation": 2**60},
        {"trained": None},
        {"trained": "0123456789abcdeg"},
        {"trained": "../../../etc/pass"},
        {"retired": None},
        {"retired": [{}]},
        {"retired": [{"file": "thesis.docx", "generation": 1, "time": 0}]},
        {"retired": [{"file": "../s0123456789abcdef.codes.npy", "generation": 1, "time": 0}]},
        {"retired": [{"file": "build.json", "generation": 1, "time": 0}]},
        {"retired": [{"file": "segment0.codes.npy", "generation": 1, "time": -1}]},
        {"segments": []},
        {"files": {}},
        {"id_kind": "int64"},
        {"id_kind": 4},
        {"next_id": "0"},
        {"format_version": "1"},
        {"format_version": 0},
        {"created_by": None},
        {"extra_files": {"docs.sqlite": {"bytes": 5, "sha256": "0" * 64}}},
    ],
)
def test_senseless_manifest_values(saved: Path, fields: dict) -> None:
    edit(saved, **fields)
    with pytest.raises(CorruptIndexError):
        open_index(saved)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "segment0"},
        {"name": "s0123456789abcdef"},
        {"name": None},
        {"rows": 10**15},
        {"rows": 2**63},
        {"deleted": 601},
        {"deleted": 0},
        {"deleted": 3},
        {"deletions": None},
        {"deletions": "../x.npy"},
        {"deletions": "s0123456789abcdef.del1.npy"},
        {"deleted": 0, "deletions": None},
        {"ids": "int64"},
        {"ids": "range", "first_id": 2**63 - 10},
        {"statistics": []},
        {"statistics": None},
        {"statistics": {"rows": 5}},
        {"statistics": {"rows": 0, "sampled": 1, "square": 1.0}},
        {"statistics": {"rows": 5, "sampled": 1, "square": "1"}},
        {"statistics": {"cost": {"p50": 1.0}}},
        {"statistics": {"errors": [1.0, None]}},
        {"statistics": {"error": -1.0}},
    ],
)
def test_senseless_segments(saved: Path, fields: dict) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    manifest["segments"][0] |= fields
    edit(saved, segments=manifest["segments"])
    with pytest.raises(CorruptIndexError):
        open_index(saved)


def test_two_segments_of_one_name(saved: Path) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    edit(saved, segments=manifest["segments"] * 2)
    with pytest.raises(CorruptIndexError, match="names two segments alike"):
        open_index(saved)


@pytest.mark.parametrize(
    "entry",
    [
        {"shape": [600, 2**60]},
        {"shape": [-1, 2]},
        {"shape": [600]},
        {"shape": []},
        {"shape": "600"},
        {"shape": [600.0, 2]},
        {"dtype": "|O"},
        {"dtype": "<f8"},
        {"dtype": 7},
        {"bytes": 2**70},
        {"bytes": -1},
        {"bytes": 1.5},
        {"sha256": "xyz"},
        {"sha256": None},
    ],
)
def test_senseless_file_entries(saved: Path, entry: dict) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    manifest["files"][file_name(saved, "segment0.codes")] |= entry
    edit(saved, files=manifest["files"])
    with pytest.raises(CorruptIndexError):
        open_index(saved)


def rewrite(folder: Path, name: str, change) -> None:
    """Change an array in place, as a damaged disk or an attacker would."""
    file = file_of(folder, name)
    array = np.load(file).copy()
    change(array)
    file.write_bytes(file.read_bytes()[:128] + array.tobytes())


@pytest.mark.parametrize("value", [-1, 601, 2**62])
def test_wrong_list_offsets(saved: Path, value: int) -> None:
    rewrite(saved, "segment0.offsets", lambda a: a.__setitem__(3, value))
    with pytest.raises(CorruptIndexError, match="offsets"):
        open_index(saved)


def test_wrong_positions_are_found_when_used(make_index, queries, tmp_path) -> None:
    make_index("IVF8,SQ8,RFlat", "ip").save(tmp_path / "index")
    rewrite(tmp_path / "index", "segment0.positions", lambda a: a.__setitem__(slice(None), 2**31 - 1))
    with pytest.raises(CorruptIndexError, match="position 2147483647, but the segment has 600 rows"):
        open_index(tmp_path / "index").search(queries, 3)
    rewrite(tmp_path / "index", "segment0.positions", lambda a: a.__setitem__(slice(None), -7))
    with pytest.raises(CorruptIndexError):
        open_index(tmp_path / "index").search(queries, 3)


def test_wrong_text_ids_are_found_when_used(saved: Path, queries) -> None:
    rewrite(saved, "segment0.ids_offsets", lambda a: a.__setitem__(slice(1, None), 2**60))
    with pytest.raises(CorruptIndexError, match="ids of the index are damaged"):
        open_index(saved).search(queries, 3)
    rewrite(saved, "segment0.ids_text", lambda a: a.__setitem__(slice(None), 255))
    with pytest.raises(CorruptIndexError):
        open_index(saved).search(queries, 3)


@pytest.mark.parametrize("positions", [[5, 700], [-1, 5], [9, 5], [5, 5]])
def test_wrong_tombstones(saved: Path, positions: list[int]) -> None:
    rewrite(saved, "segment0.deleted", lambda a: a.__setitem__(slice(None), positions))
    with pytest.raises(CorruptIndexError, match="deleted rows"):
        open_index(saved)


@pytest.mark.parametrize(
    "name", ["transform0.matrix", "partition.centroids", "codec.codebooks", "refine.vmin"]
)
def test_nan_in_trained_arrays(saved: Path, name: str) -> None:
    rewrite(saved, name, lambda a: a.reshape(-1).__setitem__(0, np.nan))
    with pytest.raises(CorruptIndexError, match=f"{name}.npy holds NaN"):
        open_index(saved)


def test_rotation_that_is_none(saved: Path) -> None:
    rewrite(saved, "transform0.matrix", lambda a: a.__setitem__(slice(None), 3))
    with pytest.raises(CorruptIndexError, match="transform0 are inconsistent"):
        open_index(saved)


@pytest.mark.skipif(not hasattr(__import__("os"), "mkfifo"), reason="needs named pipes")
def test_pipe_instead_of_a_file_does_not_block(saved: Path) -> None:
    import os

    file_of(saved, "segment0.codes").unlink()
    os.mkfifo(file_of(saved, "segment0.codes"))
    with pytest.raises(CorruptIndexError, match="not a regular file"):
        open_index(saved)
    os.mkfifo(saved.parent / "pipe")
    with pytest.raises(ForeignFileError):
        open_index(saved.parent / "pipe")


def test_errors_of_a_folder_are_one_family() -> None:
    for kind in (CorruptIndexError, ForeignFileError, IndexMissingError, NewerFormatError):
        assert issubclass(kind, IndexFolderError)
        assert kind.exit_code == 5


@pytest.mark.parametrize("key", ["IVF2,PQ4x4", "PQ4x4,RFlat"])
def test_format_version_1_had_another_order_of_4_bit_codes(rng, tmp_path, key):
    rows = rng.normal(size=(300, 8)).astype("f4")
    index_factory(key, 8).train(rows).add(rows).save(tmp_path / "i")
    edit(tmp_path / "i", format_version=1, min_reader_version=1)
    with pytest.raises(CorruptIndexError, match="version 1.*rebuild"):
        open_index(tmp_path / "i")
